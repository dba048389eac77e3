"""The hot write path: everything that waits to be said, in all chats, is judged, stored and numbered at once.

Rule 1: one transaction for all. What it tells goes out after the commit; then its senders have their answers.
Rule 2: the channels are locked before the drafts are judged. So a sequence is the offset of its event, the
        messages of a stream are in the order in which their drafts came, and `sent_at` never goes back.
Rule 3: drafts with the same key are one message, whether they come together, later, or through another node.
"""

from collections.abc import Iterable, Sequence

import msgspec

from csn_rt.db import log
from csn_rt.db.log import Outgoing
from csn_rt.db.queries import Connection
from csn_rt.errors import NotFound
from csn_rt.features.chat import store
from csn_rt.features.chat.draft import Draft
from csn_rt.features.chat.store import Judged
from csn_rt.features.context import Context
from csn_rt.wire.chat import ChatMessage, ChatSent, Drop
from csn_rt.wire.names import stream_chat
from csn_rt.wire.published import Published

Answer = ChatSent | Exception

_NO_SUCH_STREAM = "no such stream"

_encoder = msgspec.json.Encoder()


async def post(ctx: Context, drafts: Sequence[Draft]) -> list[Answer]:
    """One answer for each draft, in order."""
    async with ctx.transaction() as connection:
        answers, published = await _write(connection, drafts)
    if published:
        ctx.tell(published)
    return [answers.get(draft.key) or NotFound(_NO_SUCH_STREAM) for draft in drafts]


async def _write(
    connection: Connection, drafts: Sequence[Draft]
) -> tuple[dict[tuple[str, str, str], Answer], list[Published]]:
    stream_ids = {draft.stream_id for draft in drafts}
    now, heads = await log.lock_born(connection, map(stream_chat, stream_ids))
    if len(heads) < len(stream_ids):
        # Never spoken in, or no chats at all: only chats that exist get a channel.
        chats = await store.find_chats(connection, stream_ids)
        if chats:
            now, heads = await log.lock(connection, map(stream_chat, chats))
    distinct = _distinct(draft for draft in drafts if stream_chat(draft.stream_id) in heads)
    if not distinct or now is None:
        return {}, []
    own_heads = [heads[stream_chat(draft.stream_id)].offset for draft in distinct]
    judged = await store.insert(connection, distinct, own_heads, now)
    published = await _append(connection, [each.message for each in judged if each.is_new and each.message])
    answers = {draft.key: _answer(draft, each) for draft, each in zip(distinct, judged, strict=True)}
    return answers, published


def _distinct(drafts: Iterable[Draft]) -> list[Draft]:
    """One draft per key, the first that may be said if there is one."""
    by_key: dict[tuple[str, str, str], Draft] = {}
    for draft in drafts:
        known = by_key.get(draft.key)
        if known is None or (known.drop is not None and draft.drop is None):
            by_key[draft.key] = draft
    return list(by_key.values())


async def _append(connection: Connection, messages: Sequence[ChatMessage]) -> list[Published]:
    events = [Outgoing(stream_chat(message.stream_id), _encoder.encode(message)) for message in messages]
    published = await log.append(connection, events)
    if [message.sequence for message in messages] != [event.offset for event in published]:
        raise AssertionError("rule 2: a message was numbered without the lock of its channel")
    return published


def _answer(draft: Draft, judged: Judged) -> Answer:
    match judged.outcome:
        case "posted" | "stored":
            return ChatSent(sent=True, message=judged.message)
        case "refused":
            return ChatSent(sent=False, drop=draft.drop)
        case "chat_ended":
            return ChatSent(sent=False, drop=Drop(code="chat_ended", message="the stream has ended"))
        case "unknown":
            return NotFound(_NO_SUCH_STREAM)
