"""Rows of chat to wire structs.

Rule 1: whoever writes messages of a stream holds the lock of its chat channel first (`db.log.lock`), so that
        sequences are the offsets of the channel and a retry sees what was accepted before.
Rule 2: the database has the final word about what is a retry, what exists and what has ended.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal, cast

from asyncpg import Record
from msgspec import Struct

from csn_rt.db.queries import Connection, query
from csn_rt.features.chat.draft import Draft
from csn_rt.features.chat.rules import display_name, safe_avatar
from csn_rt.wire.chat import ChatMessage, ChatUser
from csn_rt.wire.roles import Role

_FIND_CHATS = query("find_chats")
_INSERT = query("insert_chat_messages")
_READ = query("read_chat_messages")
_READ_PAGE = query("read_chat_page")
_FIND = query("find_chat_message")
_RETRACT = query("retract_chat_message")

_AFTER_ALL: Final = 2**63 - 1

Outcome = Literal["posted", "stored", "refused", "chat_ended", "unknown"]


class Judged(Struct, frozen=True):
    outcome: Outcome
    message: ChatMessage | None
    """The new message if it was posted, the one of the first attempt if it was stored before, else None."""

    @property
    def is_new(self) -> bool:
        return self.outcome == "posted"


class Found(Struct, frozen=True):
    stream_id: str
    user_id: str
    is_shown: bool


async def find_chats(connection: Connection, stream_ids: Collection[str]) -> set[str]:
    """Those of the streams that exist and may be seen."""
    return {row["id"] for row in await _FIND_CHATS.rows(connection, list(stream_ids))}


async def insert(
    connection: Connection, drafts: Sequence[Draft], heads: Sequence[int], now: datetime
) -> list[Judged]:
    """Judge the drafts, each with the head of its channel, and store what may be said. All keys differ."""
    names = [display_name(draft.sender.name, draft.sender.user_id) for draft in drafts]
    avatars = [safe_avatar(draft.sender.avatar_url) for draft in drafts]
    rows = await _INSERT.rows(
        connection,
        [draft.id for draft in drafts],
        [draft.stream_id for draft in drafts],
        [draft.sender.user_id for draft in drafts],
        names,
        [draft.sender.role for draft in drafts],
        avatars,
        [draft.text for draft in drafts],
        [draft.client_id for draft in drafts],
        [draft.drop is not None for draft in drafts],
        heads,
        now,
    )
    stored_ids = [row["stored_id"] for row in rows if row["outcome"] == "stored"]
    stored = await _read(connection, stored_ids) if stored_ids else {}
    judged = []
    for draft, name, avatar_url, row in zip(drafts, names, avatars, rows, strict=True):
        message = stored.get(row["stored_id"])
        if row["outcome"] == "posted":
            user = ChatUser(id=draft.sender.user_id, name=name, role=draft.sender.role, avatar_url=avatar_url)
            message = ChatMessage(
                id=draft.id,
                stream_id=draft.stream_id,
                sequence=row["sequence"],
                user=user,
                text=draft.text,
                sent_at=now,
                client_id=draft.client_id,
            )
        judged.append(Judged(row["outcome"], message))
    return judged


async def read_page(
    connection: Connection, stream_id: str, before: int | None, limit: int
) -> list[ChatMessage] | None:
    """Visible messages, newest first; None if there is no such chat."""
    rows = await _READ_PAGE.rows(connection, stream_id, _AFTER_ALL if before is None else before, limit)
    return [_message(row) for row in rows if row["id"] is not None] if rows else None


async def find(connection: Connection, message_id: str) -> Found | None:
    row = await _FIND.row(connection, message_id)
    return Found(**row) if row else None


async def retract(connection: Connection, message_id: str, now: datetime) -> int | None:
    """Delete it in its author's name; answers its sequence if viewers saw it until now and must be told."""
    return cast("int | None", await _RETRACT.value(connection, message_id, now))


async def _read(connection: Connection, ids: Sequence[str]) -> dict[str, ChatMessage]:
    return {row["id"]: _message(row) for row in await _READ.rows(connection, ids)}


def _message(row: Record) -> ChatMessage:
    user = ChatUser(
        id=row["user_id"], name=row["user_name"], role=Role(row["user_role"]), avatar_url=row["avatar_url"]
    )
    return ChatMessage(
        id=row["id"],
        stream_id=row["stream_id"],
        sequence=row["sequence"],
        user=user,
        text=row["text"],
        sent_at=row["sent_at"],
        client_id=row["client_id"],
    )
