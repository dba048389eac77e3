"""The loop that keeps leases and learns counts: one round trip at a time, for all broadcasts together.

Rule 1: who comes or goes is told at once; what comes while a round trip is under way goes with the next.
Rule 2: everything else (renewals, other nodes' changes, ghosts, lost pushes) is seen by a slow round every
        second.
Rule 3: after a failure, and in a new life of the leases, everything that is held here is registered again.
        While Redis is away only the slow round tries.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from csn_rt.bus.leases import Ask, Count, Leases, Purpose
from csn_rt.features.viewers.board import END_S, Board
from csn_rt.features.viewers.presence import Presence, Taken
from csn_rt.features.viewers.tally import Tally, Telling

log = structlog.get_logger(__name__)

SLOW_S: Final = 1.0
PACE_S: Final = 0.005
"""The least time between rounds for readers: a crowd that subscribes is served by 200 rounds a second."""
WAIT_S: Final = 1.0
"""How long a caller waits for his own count; then he gets the last one."""


class Counting:
    def __init__(
        self,
        leases: Leases,
        board: Board,
        presence: Presence,
        tell: Callable[[Sequence[Telling]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._board = board
        self._presence = presence
        self._tell = tell
        self._clock = clock
        self._due: dict[str, float] = {}
        self._slow_at = clock()
        self._began_at = -PACE_S
        """When the last round began."""
        self._is_away = False
        self._wake = asyncio.Event()
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._count_for_ever(), name="viewers-counting")

    async def close(self) -> None:
        while self._task is not None and not self._task.done():
            # The driver loses a cancellation that comes together with an answer (`wait_for`, Python 3.11).
            self._task.cancel()
            await asyncio.wait([self._task], timeout=END_S)

    def hurry(self, broadcast_id: str) -> None:
        """Something of this broadcast is to be told now."""
        self._put_due(broadcast_id, self._clock())
        self._wake.set()

    def hurry_all(self) -> None:
        self._slow_at = self._clock()
        self._wake.set()

    async def wait_counted(self, broadcast_id: str, *, is_urgent: bool = True) -> None:
        """Return after a round that began later than now, or when there will be none soon."""
        if self._is_away or self._board.on_air(broadcast_id) is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(broadcast_id, []).append(future)
        self._put_due(broadcast_id, self._clock() if is_urgent else self._began_at + PACE_S)
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await future

    async def end(self, broadcast_id: str) -> Count | None:
        """The last count of a broadcast, which takes and tells nothing from now on."""
        tally = self._board.on_air(broadcast_id)
        if tally is None:
            return None
        ask = _ask(broadcast_id, tally, Taken([], []), self._clock(), purpose="end")
        [count] = await self._leases.count([ask])
        return count

    async def round(self) -> None:
        """One round trip for what is due."""
        now = self._began_at = self._clock()
        due = self._take_due(now)
        waiters = [future for broadcast_id in due for future in self._waiters.pop(broadcast_id, ())]
        parts = [
            _Part(each, tally, self._presence.take(each, now, is_full=tally.needs_all), tally.needs_all)
            for each in due
            if (tally := self._board.on_air(each))
        ]
        try:
            if parts:
                await self._ask(parts, now)
        finally:
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    async def _ask(self, parts: Sequence["_Part"], now: float) -> None:
        asks = [_ask(part.broadcast_id, part.tally, part.taken, now) for part in parts]
        counts: Sequence[Count | None] = [None] * len(parts)
        try:
            counts = await self._leases.count(asks)
        finally:
            now = self._clock()
            self._note_away(counts, now)
            for part, count in zip(parts, counts, strict=True):
                if self._board.on_air(part.broadcast_id) is part.tally:  # else it ended meanwhile
                    self._take_in(part, count, now)

    def _take_in(self, part: "_Part", count: Count | None, now: float) -> None:
        if count is None:
            self._presence.give_back(part.broadcast_id, part.taken)
            people = self._presence.people(part.broadcast_id, now)
            self._tell(part.tally.uncounted(now, people))
        else:
            self._tell(part.tally.counted(count, now, was_full=part.is_full))
            self._plan(part.broadcast_id, part.tally, count, now)

    def _take_due(self, now: float) -> Iterable[str]:
        if now >= self._slow_at:
            self._slow_at = now + SLOW_S
            self._presence.forget_silent(now)
            self._due.clear()
            return {*self._board.broadcasts(), *self._waiters}
        if self._is_away:
            return ()
        due = [broadcast_id for broadcast_id, at in self._due.items() if at <= now]
        for broadcast_id in due:
            del self._due[broadcast_id]
        return due

    def _note_away(self, counts: Sequence[Count | None], now: float) -> None:
        was_away, self._is_away = self._is_away, all(count is None for count in counts)
        if self._is_away:
            # Spread, so that the nodes do not come back all at the same moment.
            self._slow_at = now + SLOW_S * random.uniform(0.3, 1.0)
        if was_away is not self._is_away:
            log.info("viewer_counts_stale" if self._is_away else "viewer_counts_fresh")

    def _plan(self, broadcast_id: str, tally: Tally, count: Count, now: float) -> None:
        """When to ask again, if before the next slow round."""
        if count.is_ended:
            self._board.hurry()
        elif tally.needs_all:
            self._put_due(broadcast_id, now)
        elif wait_ms := count.settles_in_ms or count.tells_in_ms:
            self._put_due(broadcast_id, now + (wait_ms + 1) / 1000)

    def _put_due(self, broadcast_id: str, at: float) -> None:
        self._due[broadcast_id] = min(at, self._due.get(broadcast_id, at))

    async def _count_for_ever(self) -> None:
        while True:
            next_at = min([self._slow_at, *([] if self._is_away else self._due.values())])
            if (wait_s := next_at - self._clock()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
            self._wake.clear()
            try:
                await self.round()
            except Exception:
                log.exception("counting_failed")
                await asyncio.sleep(SLOW_S)


class _Part(msgspec.Struct, frozen=True):
    """One broadcast's part of a round."""

    broadcast_id: str
    tally: Tally
    taken: Taken
    is_full: bool


def _ask(broadcast_id: str, tally: Tally, taken: Taken, now: float, purpose: Purpose = "tell") -> Ask:
    return Ask(
        broadcast_id=broadcast_id,
        age_ms=tally.age_ms(now),
        holds=taken.holds,
        ends=taken.ends,
        seq_floor=tally.seq,
        peak_floor=tally.peak,
        purpose=purpose,
    )
