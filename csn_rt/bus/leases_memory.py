"""Leases inside one process: the twin of leases.lua, with the same rules (see leases.py)."""

import time
from collections.abc import Callable, Sequence

from csn_rt.bus.leases import Ask, Count, LeaseTimes


class MemoryLeaseStore:
    """What is between the nodes. `lose_all`, `go_down` and `come_back` are the faults that it can have."""

    def __init__(self, times: LeaseTimes | None = None, clock: Callable[[], float] = time.time) -> None:
        self.times = times or LeaseTimes()
        self.is_up = True
        self._clock = clock
        self._broadcasts: dict[str, _Broadcast] = {}

    def count(self, ask: Ask) -> Count | None:
        if not self.is_up:
            return None
        broadcast = self._broadcasts.setdefault(ask.broadcast_id, _Broadcast(self.times))
        return broadcast.count(ask, self._clock())

    def lose_all(self) -> None:
        self._broadcasts.clear()

    def go_down(self) -> None:
        self.is_up = False

    def come_back(self) -> None:
        self.is_up = True


class MemoryLeases:
    """One node's access to the store."""

    def __init__(self, store: MemoryLeaseStore) -> None:
        self._store = store

    async def count(self, asks: Sequence[Ask]) -> list[Count | None]:
        return [self._store.count(ask) for ask in asks]

    async def close(self) -> None:
        """Nothing is held."""


class _Broadcast:
    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._leases: dict[tuple[str, str], int] = {}
        self._life = 0
        self._seq = self._staff_seq = 0
        self._told = (-1, -1, -1)
        self._told_at = self._seen_at = self._settles_at = self._ended_at = 0
        self._viewers = self._peak = self._viewer_ms = 0

    def count(self, ask: Ask, clock: float) -> Count:
        now = int(clock * 1000)
        has_gap = abs(now - self._seen_at) > self._times.gap_ms and self._leases
        if not self._life or has_gap:
            self._lose(ask, clock)
        is_ended = self._ended_at > 0 and now - self._ended_at < self._times.pause_ms
        if not is_ended:
            self._ended_at = 0
            self._take(ask, now)
        self._recount(now)
        tells_at = 0
        is_changed = is_staff_changed = False
        if now >= self._settles_at and not is_ended:
            self._peak = max(self._peak, self._viewers, ask.peak_floor)
            news = (self._viewers, self._peak, len(self._leases))
            if ask.purpose == "tell" and news != self._told:
                if now >= self._told_at + self._times.pace_ms or now < self._told_at:
                    is_changed, is_staff_changed = news[:2] != self._told[:2], True
                    self._tell(news, ask, now, is_changed=is_changed)
                else:
                    tells_at = self._told_at + self._times.pace_ms
        if ask.purpose == "end":
            self._ended_at = now
            self._seq, self._staff_seq = _bump(self._seq, ask, now), _bump(self._staff_seq, ask, now)
        return Count(
            self._viewers,
            len(self._leases),
            *self._told,
            self._peak,
            self._seq,
            self._staff_seq,
            now,
            self._life,
            is_changed,
            is_staff_changed,
            max(0, self._settles_at - now),
            tells_at - now if tells_at else 0,
            is_ended,
            self._viewer_ms,
        )

    def _lose(self, ask: Ask, clock: float) -> None:
        now = int(clock * 1000)
        self._leases.clear()
        self._life = max(int(clock * 1_000_000), self._life + 1)
        self._told = (-1, -1, -1)
        self._told_at = self._ended_at = 0
        self._seen_at = now
        self._viewers = self._peak = self._viewer_ms = 0
        is_old = ask.age_ms > self._times.settle_ms or ask.peak_floor > 0
        self._settles_at = now + self._times.settle_ms if is_old else 0

    def _take(self, ask: Ask, now: int) -> None:
        for hold in ask.holds:
            key = (hold.person, hold.session_id)
            self._leases[key] = max(self._leases.get(key, 0), now + hold.remaining_ms)
        for end in ask.ends:
            self._leases.pop((end.person, end.session_id), None)

    def _recount(self, now: int) -> None:
        self._leases = {key: ends_at for key, ends_at in self._leases.items() if ends_at > now}
        if now >= self._settles_at:
            self._viewer_ms += self._viewers * max(0, now - max(self._seen_at, self._settles_at))
        self._viewers = len({person for person, _ in self._leases})
        self._seen_at = now

    def _tell(self, news: tuple[int, int, int], ask: Ask, now: int, *, is_changed: bool) -> None:
        self._told, self._told_at = news, now
        self._staff_seq = _bump(self._staff_seq, ask, now)
        if is_changed:
            self._seq = _bump(self._seq, ask, now)


def _bump(seq: int, ask: Ask, now: int) -> int:
    return max(seq + 1, ask.seq_floor + 1, now)
