"""Several nodes on one database and one store of leases, with subscribers that hear what a node delivers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uuid_utils

from csn_rt.bus.leases import Leases
from csn_rt.core.identity import Identity
from csn_rt.db.pool import Database
from csn_rt.features.context import Caller, Context
from csn_rt.features.viewers.sessions import Sessions
from csn_rt.features.viewers.streams import Streams
from csn_rt.features.viewers.viewers import Viewers
from csn_rt.wire import names
from csn_rt.wire.published import Published
from csn_rt.wire.roles import Role
from csn_rt.wire.viewers import (
    SessionEnd,
    SessionHeartbeat,
    SessionStart,
    SessionStarted,
    StreamEnd,
    StreamStart,
    ViewerCount,
    ViewersGet,
)


def caller(name: str, role: Role = Role.USER) -> Caller:
    return Caller(identity=Identity(user_id=name, role=role, name=name))


def anonymous(name: str) -> Caller:
    return caller(name, Role.ANONYMOUS)


ADMIN = caller("admin", Role.ADMIN)
MODERATOR = caller("moderator", Role.MODERATOR)


class Node:
    """The features of one node, and a place where its subscribers' pushes arrive, newest first."""

    def __init__(self, stage: "Stage", name: str, leases: Leases) -> None:
        self.name = name
        self.leases = leases
        self.pushes: list[tuple[float, Published]] = []
        self.told_everywhere: list[Published] = []
        self._stage = stage
        self._newest: dict[str, int] = {}
        self.ctx = Context(stage.db, self._tell)
        self.viewers = Viewers(self.ctx, leases=leases, tell_here=self.deliver, clock=stage.clock)
        self.sessions = Sessions(self.ctx, viewers=self.viewers, node_id=name, clock=stage.clock)
        self.streams = Streams(self.ctx, viewers=self.viewers)

    def deliver(self, published: Sequence[Published]) -> None:
        for event in published:
            if event.offset > self._newest.get(event.channel, -1):
                self._newest[event.channel] = event.offset
                self.pushes.append((time.monotonic(), event))

    def _tell(self, published: Sequence[Published]) -> None:
        self.told_everywhere.extend(published)
        for node in self._stage.nodes:
            if node is self or self._stage.is_bus_up:
                node.deliver(published)

    def heard(self, stream_id: str, *, staff: bool = False) -> list[dict[str, Any]]:
        """What subscribers of the stream's count on this node got so far."""
        channel = (names.stream_viewers_staff if staff else names.stream_viewers)(stream_id)
        return [msgspec.json.decode(each.data) for _, each in self.pushes if each.channel == channel]

    def heard_numbers(self, stream_id: str) -> list[int | None]:
        return [push["viewers"] for push in self.heard(stream_id)]

    async def snapshot(self, stream_id: str, *, staff: bool = False) -> dict[str, Any]:
        return msgspec.json.decode(await self.viewers.snapshot(stream_id, staff=staff))

    async def start(self, who: Caller, stream_id: str, **more: Any) -> SessionStarted:
        return await self.sessions.start(who, SessionStart(stream_id=stream_id, **more))

    async def beat(self, who: Caller, session_id: str, state: str = "playing") -> None:
        await self.sessions.heartbeat(who, SessionHeartbeat(session_id=session_id, state=state))

    async def end(self, who: Caller, session_id: str) -> None:
        await self.sessions.end(who, SessionEnd(session_id=session_id))

    async def count(self, stream_id: str, who: Caller | None = None) -> ViewerCount:
        [count] = (await self.viewers.get(who or anonymous("x"), ViewersGet(stream_ids=[stream_id]))).items
        return count

    async def go_on_air(self, stream_id: str) -> str:
        return (await self.streams.start(ADMIN, StreamStart(stream_id=stream_id))).broadcast_id

    async def go_off_air(self, stream_id: str):
        return await self.streams.end(ADMIN, StreamEnd(stream_id=stream_id))

    async def look(self) -> None:
        """A slow round and a reading of the streams, now."""
        await self.viewers._board.refresh()
        self.viewers.bus_changed(is_up=True)
        await self.viewers._counting.round()

    async def open(self) -> None:
        await self.viewers.start()

    async def close(self) -> None:
        await self.viewers.close()
        await self.sessions.close()
        await self.leases.close()


class Stage:
    def __init__(self, db: Database, new_leases: Callable[[], Leases], clock: Callable[[], float]) -> None:
        self.db = db
        self.clock = clock
        self.is_bus_up = True
        self.nodes: list[Node] = []
        self._new_leases = new_leases
        self._closing: list[Node] = []

    async def node(self, name: str, leases: Leases | None = None) -> Node:
        node = Node(self, name, leases or self._new_leases())
        self.nodes.append(node)
        self._closing.append(node)
        await node.open()
        return node

    async def kill(self, node: Node) -> None:
        """The node stops without a word: no loop runs, nothing is ended."""
        self.nodes.remove(node)
        await node.viewers.close()

    async def close(self) -> None:
        for node in self._closing:
            await node.close()

    async def stream(self, **columns: Any) -> str:
        """A published live stream that is not on air yet."""
        stream_id = str(uuid_utils.uuid7())
        row = {"state": "published", "hide_viewer_count": False, **columns}
        async with self.db.connection() as connection:
            await connection.execute(
                """INSERT INTO content
                          (id, kind, title, slug, state, live_state, hide_viewer_count, published_at)
                   VALUES ($1, 'live', 'A game', $2, $3, 'scheduled', $4, $5::timestamptz)""",
                stream_id,
                f"game-{stream_id}",
                row["state"],
                row["hide_viewer_count"],
                None if row["state"] == "draft" else (await connection.fetchval("SELECT now()")),
            )
        return stream_id

    async def execute(self, statement: str, *args: Any) -> None:
        async with self.db.connection() as connection:
            await connection.execute(statement, *args)

    async def rows(self, statement: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.connection() as connection:
            return [dict(row) for row in await connection.fetch(statement, *args)]

    async def row(self, statement: str, *args: Any) -> dict[str, Any]:
        [row] = await self.rows(statement, *args)
        return row

    async def pass_time(self, seconds: float) -> None:
        """Only with a clock that can jump: in steps, with a slow round of every node after each."""
        steps = max(1, round(seconds))
        for _ in range(steps):
            self.clock.jump(seconds / steps)  # type: ignore[attr-defined]
            for node in self.nodes:
                await node.look()


async def eventually(is_true: Callable[[], Any], within_s: float = 2.0) -> float:
    """Wait until it is so; answers how long it took."""
    started = time.monotonic()
    while not is_true():
        assert time.monotonic() - started < within_s, "it did not become so in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - started
