"""The streams that this node has to do with, as the database has them.

Rule 1: a stream stays here while somebody here subscribes to its count, watches it, or asked a moment ago.
Rule 2: all of them are read again every second, in one query, and at once when there is a sign of change:
        what another node started, ended or hid is known here within that second, also without Redis.
Rule 3: one reading runs at a time, so that an older one is never learnt after a newer.
Rule 4: when a broadcast is over, nothing of it counts here any more.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from csn_rt.db.batch import Batcher
from csn_rt.errors import NotFound, Unavailable
from csn_rt.features.context import Database
from csn_rt.features.viewers import store
from csn_rt.features.viewers.presence import Presence
from csn_rt.features.viewers.tally import Stream, Tally, Telling

log = structlog.get_logger(__name__)

REFRESH_S: Final = 1.0
END_S: Final = 0.5
"""A task that was told to end and has not is told again."""
INTEREST_S: Final = 5.0
"""Whoever asked for a count asks again soon: it is kept fresh for that long."""


class Board:
    """`tell` gets what a stream's change makes known; `changed` the broadcasts that came or went."""

    def __init__(
        self,
        db: Database,
        presence: Presence,
        tell: Callable[[Sequence[Telling]], None],
        changed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._presence = presence
        self._tell = tell
        self._changed = changed
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._on_air: dict[str, Tally] = {}
        self._watchers: dict[str, int] = {}
        self._asked_at: dict[str, float] = {}
        self._reads: Batcher[str, Stream] = Batcher(self._read)
        self._must_refresh = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._refresh_for_ever(), name="viewers-board")

    async def close(self) -> None:
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=END_S)

    def on_air(self, broadcast_id: str) -> Tally | None:
        """The tally of a broadcast, while it is live."""
        return self._on_air.get(broadcast_id)

    def broadcasts(self) -> Iterable[str]:
        return self._on_air.keys()

    def watch(self, stream_id: str) -> None:
        """Somebody subscribes here; each call is paired with an `unwatch`."""
        self._watchers[stream_id] = self._watchers.get(stream_id, 0) + 1
        if stream_id not in self._tallies:
            self.hurry()

    def unwatch(self, stream_id: str) -> None:
        count = self._watchers.get(stream_id, 0) - 1
        if count > 0:
            self._watchers[stream_id] = count
        else:
            self._watchers.pop(stream_id, None)

    def hurry(self) -> None:
        """There is a sign of change: read now."""
        self._must_refresh.set()

    async def get(self, stream_id: str) -> Tally:
        """The stream's tally. One that is not on air is looked up again: another node may have started it.

        Raises NotFound, or Unavailable if the database is away and the stream was not known yet.
        """
        tally = self._tallies.get(stream_id)
        if tally is None or tally.stream.on_air is None:
            try:
                tally = await self.read(stream_id)
            except Unavailable:
                if tally is None:
                    raise
        self._asked_at[stream_id] = self._clock()
        return tally

    async def get_on_air(self, stream_id: str, broadcast_id: str) -> Tally | None:
        """The stream's tally if that broadcast is on air."""
        tally = await self.get(stream_id)
        if tally.stream.on_air not in {None, broadcast_id}:
            tally = await self.read(stream_id)
        return tally if tally.stream.on_air == broadcast_id else None

    async def read(self, stream_id: str, *, is_everywhere: bool = False) -> Tally:
        """The tally of the stream as it is in the database now; its change is told here, or to all nodes."""
        return self.learn(await self._reads.put(stream_id), is_everywhere=is_everywhere)

    def learn(self, stream: Stream, *, is_everywhere: bool = False) -> Tally:
        now = self._clock()
        tally = self._tallies.get(stream.stream_id)
        before = tally.stream.on_air if tally is not None else None
        if tally is None:
            tally = self._tallies[stream.stream_id] = Tally(stream, now)
        self._tell(tally.learn(stream, now, is_everywhere=is_everywhere))
        if before is not None and before != stream.on_air:
            self._leave_air(before)
        if stream.on_air is not None and before != stream.on_air:
            self._on_air[stream.on_air] = tally
            self._changed(stream.on_air)
        return tally

    async def refresh(self) -> None:
        """Read every stream that matters here; forget the others."""
        now = self._clock()
        ids = self._of_interest(now)
        for stream_id in self._tallies.keys() - ids:
            self._forget(stream_id)
        for problem in await asyncio.gather(*map(self._reread, ids), return_exceptions=True):
            if problem is not None:
                raise problem

    async def _reread(self, stream_id: str) -> None:
        try:
            await self.read(stream_id)
        except NotFound:
            self._forget(stream_id)

    def _of_interest(self, now: float) -> set[str]:
        self._asked_at = {stream_id: at for stream_id, at in self._asked_at.items() if now - at < INTEREST_S}
        tallies = map(self._on_air.get, self._presence.broadcasts())
        watched_here = {tally.stream.stream_id for tally in tallies if tally is not None}
        return {*self._watchers, *self._asked_at, *watched_here}

    def _forget(self, stream_id: str) -> None:
        tally = self._tallies.pop(stream_id, None)
        if tally is not None and tally.stream.on_air is not None:
            self._leave_air(tally.stream.on_air)

    def _leave_air(self, broadcast_id: str) -> None:
        self._on_air.pop(broadcast_id, None)
        self._presence.drop(broadcast_id)

    async def _read(self, stream_ids: Sequence[str]) -> list[Stream | Exception]:
        async with self._db.connection() as connection:
            streams = await store.read_streams(connection, list(set(stream_ids)))
        return [streams.get(stream_id) or NotFound("there is no such stream") for stream_id in stream_ids]

    async def _refresh_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._must_refresh.wait()
            self._must_refresh.clear()
            try:
                await self.refresh()
            except Unavailable:
                log.info("streams_not_read")
            except Exception:
                log.exception("reading_streams_failed")
            # Signs of change come in bursts; a few reads a second are enough for all of them.
            await asyncio.sleep(REFRESH_S / 10)
