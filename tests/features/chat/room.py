"""A chat feature as one node has it, with what it told and a clock that a test can move."""

from typing import Any

from csn_rt.core.identity import Identity
from csn_rt.db import log
from csn_rt.db.pool import Database
from csn_rt.features.chat import Chat
from csn_rt.features.context import Caller, Context, new_id
from csn_rt.wire.chat import ChatHistory, ChatMessage, ChatRetract, ChatRetracted, ChatSend, ChatSent
from csn_rt.wire.names import stream_chat
from csn_rt.wire.published import Published
from csn_rt.wire.roles import Role
from tests.support.clock import Clock
from tests.support.telling import Told


class Room:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.told = Told()
        self.clock = Clock()
        self.chat = Chat(Context(db, self.told), clock=self.clock)

    async def say(
        self, stream_id: str, text: str, *, by: Caller | None = None, client_id: str = ""
    ) -> ChatSent:
        params = ChatSend(stream_id=stream_id, text=text, client_id=client_id or new_id())
        return await self.chat.send(by or fan(), params)

    async def post(self, stream_id: str, text: str, *, by: Caller | None = None) -> ChatMessage:
        """Say something that must be accepted."""
        answer = await self.say(stream_id, text, by=by)
        assert answer.message is not None, answer
        return answer.message

    async def read(self, stream_id: str, *, before: int | None = None, limit: int = 50) -> list[str]:
        page = await self.chat.history(fan(), ChatHistory(stream_id=stream_id, before=before, limit=limit))
        return [message.text for message in page.items]

    def told_on(self, stream_id: str) -> list[dict[str, Any]]:
        """The events of its chat channel, decoded."""
        return self.told.events(stream_chat(stream_id))

    async def retract(self, message_id: str, *, by: Caller) -> ChatRetracted:
        return await self.chat.retract(by, ChatRetract(message_id=message_id))


async def logged(db: Database, stream_id: str) -> list[Published]:
    """What a replay of the chat channel would tell."""
    async with db.connection() as connection:
        return await log.read_after(connection, stream_chat(stream_id), 0, 10_000)


async def rows(db: Database, statement: str, *args: object) -> list[dict[str, Any]]:
    async with db.connection() as connection:
        return [dict(row) for row in await connection.fetch(statement, *args)]


def fan(user_id: str = "ann", role: Role = Role.USER, **more: str) -> Caller:
    return Caller(identity=Identity(user_id=user_id, role=role, name=user_id.title(), **more))
