"""What every feature stands on: who calls, and how a change is made and told.

Rule 1: the change and its events are one transaction; `Unit.publish` is the only way out, and nothing is told
        before the commit. A rollback tells nobody.
Rule 2: telling never waits and never fails: a lost push is seen by its missing offset and fetched.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal, Protocol

import msgspec
import uuid_utils

from csn_rt.core.identity import Identity
from csn_rt.db import log
from csn_rt.db.log import Outgoing
from csn_rt.db.queries import Connection
from csn_rt.telemetry import metrics
from csn_rt.wire.events import Event
from csn_rt.wire.names import Channel
from csn_rt.wire.published import Published

_encoder = msgspec.json.Encoder()


def new_id() -> str:
    """A UUIDv7: unique, and sorted by the time of its making."""
    return str(uuid_utils.uuid7())


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls an operation, and from where: what the audit log wants to know."""

    identity: Identity
    via: Literal["websocket", "http", "internal"] = "internal"
    request_id: str = ""
    ip: str = ""
    user_agent: str = ""

    @property
    def user_id(self) -> str:
        return self.identity.user_id


class Database(Protocol):
    """What features need of the pool. Both raise Unavailable when the database is away."""

    def connection(self) -> AbstractAsyncContextManager[Connection]: ...

    def transaction(self) -> AbstractAsyncContextManager[Connection]: ...


class Unit:
    """One transaction and the events that it will tell."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.outgoing: list[Outgoing] = []

    def publish(self, channel: Channel, event: Event, *, redacts: Sequence[int] = ()) -> None:
        """Tell this event after the commit; it is numbered and kept in the same transaction.

        `redacts` are offsets of earlier events of the channel whose data this one takes away.
        """
        self.outgoing.append(Outgoing(channel, _encoder.encode(event), tuple(redacts)))


class Context:
    """Made once per process and handed to every feature."""

    def __init__(self, db: Database, tell: Callable[[Sequence[Published]], None]) -> None:
        self.db = db
        self.tell = tell

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction of the database, its time to the commit measured."""
        started = time.perf_counter()
        async with self.db.transaction() as connection:
            yield connection
        metrics.commit_s.observe(time.perf_counter() - started)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """Change and tell as one: commits at the end of the block, then publishes."""
        async with self.transaction() as connection:
            unit = Unit(connection)
            yield unit
            published = await log.append(connection, unit.outgoing)
        if published:
            self.tell(published)
