"""The operations of chat."""

import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from csn_rt.db import log
from csn_rt.db.batch import Batcher
from csn_rt.errors import Forbidden, NotFound
from csn_rt.features.chat import posting, store
from csn_rt.features.chat.draft import Draft
from csn_rt.features.chat.limits import Limits
from csn_rt.features.chat.posting import Answer
from csn_rt.features.chat.rules import TextInvalid, clean_text
from csn_rt.features.context import Caller, Context, new_id
from csn_rt.wire.chat import (
    ChatDeleted,
    ChatHistory,
    ChatPage,
    ChatRetract,
    ChatRetracted,
    ChatSend,
    ChatSent,
    Drop,
)
from csn_rt.wire.names import stream_chat


class Chat:
    def __init__(self, ctx: Context, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ctx = ctx
        self._clock = clock
        self._limits = Limits()
        self._posting: Batcher[Draft, ChatSent] = Batcher(self._post)

    async def close(self) -> None:
        """Return when everything that was sent is answered."""
        await self._posting.wait_drained()

    async def send(self, caller: Caller, params: ChatSend) -> ChatSent:
        """Say something in a stream's chat; a retry with the same client_id gets the same message back.

        What chat's rules refuse is no error: the answer says why as its `drop`.

        Raises NotFound: there is no such stream.
        """
        try:
            text = clean_text(params.text)
        except TextInvalid as exc:
            return ChatSent(sent=False, drop=Drop(code="text_invalid", message=str(exc)))
        draft = Draft(new_id(), params.stream_id, caller.identity, text, params.client_id)
        verdict = self._limits.judge(draft, int(self._clock() * 1000))
        if verdict.is_final:
            return ChatSent(sent=False, drop=verdict.drop)
        if verdict.drop is not None:
            return await self._posting.put(replace(draft, drop=verdict.drop))
        try:
            answer = await self._posting.put(draft)
        except Exception:
            self._limits.take_back(draft)
            raise
        if not answer.sent:
            self._limits.take_back(draft)
        return answer

    async def history(self, caller: Caller, params: ChatHistory) -> ChatPage:  # noqa: ARG002  everyone sees the same
        """Read what was said in a stream's chat, newest first, also after the stream has ended.

        Raises NotFound: there is no such stream.
        """
        async with self._ctx.db.connection() as connection:
            messages = await store.read_page(connection, params.stream_id, params.before, params.limit + 1)
        if messages is None:
            raise NotFound("no such stream")
        items = messages[: params.limit]
        return ChatPage(items=items, next=items[-1].sequence if len(messages) > len(items) else None)

    async def retract(self, caller: Caller, params: ChatRetract) -> ChatRetracted:
        """Take back one's own message; to do it again gives the same answer.

        Raises NotFound: there is no such message, or it is no longer shown.
        Raises Forbidden: it is somebody else's.
        """
        async with self._ctx.unit() as unit:
            found = await store.find(unit.connection, params.message_id)
            if found is None or not (found.is_shown or found.user_id == caller.user_id):
                raise NotFound("no such message")
            if found.user_id != caller.user_id:
                raise Forbidden("only its author can retract a message")
            channel = stream_chat(found.stream_id)
            now, _ = await log.lock(unit.connection, [channel])
            sequence = await store.retract(unit.connection, params.message_id, now)
            if sequence is not None:
                event = ChatDeleted(id=params.message_id, stream_id=found.stream_id)
                unit.publish(channel, event, redacts=[sequence])
        return ChatRetracted(id=params.message_id, stream_id=found.stream_id, state="deleted")

    async def _post(self, drafts: Sequence[Draft]) -> list[Answer]:
        return await posting.post(self._ctx, drafts)
