"""Hears what a feature tells, in place of a node: `Context(db, told)`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from csn_rt.db.pool import Database
from csn_rt.db.queries import Connection
from csn_rt.wire.names import Channel
from csn_rt.wire.published import Published


class Told:
    def __init__(self) -> None:
        self.published: list[Published] = []

    def __call__(self, published: Sequence[Published]) -> None:
        self.published.extend(published)

    def events(self, channel: Channel) -> list[dict[str, Any]]:
        """What was told on that channel so far, decoded, in order."""
        return [msgspec.json.decode(each.data) for each in self.published if each.channel == channel]

    def clear(self) -> None:
        self.published.clear()


class WatchedDatabase:
    """Knows whether its last transaction has been committed."""

    def __init__(self, db: Database) -> None:
        self.is_committed = False
        self.connection = db.connection
        self._db = db

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        self.is_committed = False
        async with self._db.transaction() as connection:
            yield connection
        self.is_committed = True
