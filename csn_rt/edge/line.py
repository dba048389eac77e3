"""One channel on this node: its topic, the events that came too early, and the flush that is due.

Rule 1: an event is taken only as the next in line; one that is ahead is held, one that is behind is dropped.
        So a line has no holes, no doubles and one order, whatever the bus does.
Rule 2: what comes while a flush is due goes with it. The time from the beginning of one flush to that of the
        next grows with the room; the first event after that time goes at once.
"""

import asyncio
from enum import Enum
from typing import Final, Generic

from csn_rt.core.ring import Latest, Offer, Ring
from csn_rt.core.topic import MemoryT, Peer, Topic
from csn_rt.telemetry import metrics
from csn_rt.wire.published import Published

MAX_HELD: Final = 1_000
INTERVAL_PER_PEER_S: Final = 30e-6
"""From one flush to the next, start to start. A flush costs 10 to 13 µs a socket where there are thousands:
this leaves more than half of the loop to everything else."""
MAX_INTERVAL_S: Final = 0.26
"""With this a message has reached each of 9,000 sockets within 0.4 s (p99)."""
MIN_REST: Final = 0.3
"""And at least so much of what the last flush took, from its end: a bigger room, or a busier loop."""
CONFLATED_INTERVAL_S: Final = 0.25
SLICE_SOCKETS: Final = 20
"""About 0.2 ms of writing. A call crosses several turns of the loop, and each may bring a slice: with slices
of 100 a history beside a room of 1,000 took 24 ms (p95), with 20 it took 12, and the flush as long as before
(2026-11-22)."""
MAX_SLICES: Final = 100
"""The slices of a very big room are larger, so that it does not take longer than its interval."""
MAX_BACKLOG: Final = 384
MAX_BACKLOG_BYTES: Final = 786_432
"""Events that may wait for a flush: three quarters of the ring, so that no flush comes after its events are
forgotten. Beyond, a flush goes to everyone at once, which holds up everything else."""


class Taken(Enum):
    """What a line needs after it was offered events."""

    IN_LINE = "in line"
    MISSING = "missing"
    """There is a hole before a held event."""
    OTHER_EPOCH = "other epoch"
    """The channel's numbering began anew: nothing that is remembered counts."""


class Line(Generic[MemoryT]):
    def __init__(self, topic: Topic[MemoryT], *, is_conflated: bool) -> None:
        self.topic: Topic[MemoryT] = topic
        self.idle_since = 0.0
        """When it was opened or left last; means something only while nobody is there."""
        self.repair: asyncio.Task[bool] | None = None
        self.wanted_up_to = 0
        """What is known to be there, while it is repaired."""
        self._is_conflated = is_conflated
        self._held: dict[int, Published] = {}
        self._flush_due: asyncio.Handle | None = None
        self._began_at = 0.0
        self._flushed_at = 0.0
        self._waiting_since = 0.0
        """When the oldest event of the next flush came."""
        self._unflushed_bytes = 0

    @property
    def held_up_to(self) -> int:
        """The newest event that is held; 0 when none is."""
        return max(self._held, default=0)

    def take(self, event: Published) -> Taken:
        memory = self.topic.memory
        if isinstance(memory, Ring) and event.epoch != memory.epoch:
            if memory.epoch:
                return Taken.OTHER_EPOCH
            memory.epoch = event.epoch  # the channel was unborn when it was opened
        offer = self._append(event)
        if offer is Offer.AHEAD:
            # Beyond the bound it is dropped, and fetched from the log in its turn.
            if len(self._held) < MAX_HELD:
                self._held[event.offset] = event
        elif offer is Offer.APPENDED:
            while (following := self._held.pop(memory.top + 1, None)) is not None:
                self._append(following)
        return Taken.MISSING if self._held else Taken.IN_LINE

    def forget_held(self) -> None:
        top = self.topic.memory.top
        self._held = {offset: event for offset, event in self._held.items() if offset > top}

    def restart(self) -> list[Peer]:
        """The memory began anew: answers the subscribers that were lost by it."""
        self._held.clear()
        self.wanted_up_to = 0
        return self.topic.restart()

    def close(self) -> None:
        if self._flush_due is not None:
            self._flush_due.cancel()
        if self.repair is not None:
            self.repair.cancel()

    def _append(self, event: Published) -> Offer:
        memory: Ring | Latest = self.topic.memory
        if not self.topic.backlog:
            self._waiting_since = asyncio.get_running_loop().time()
        size = len(event.data) * (1 + len(event.redacts))
        is_next = event.offset == memory.top + 1
        if is_next and self._unflushed_bytes and self._unflushed_bytes + size > MAX_BACKLOG_BYTES:
            self.flush()
        offer = memory.offer(event.offset, event.data)
        if offer is Offer.APPENDED:
            self._unflushed_bytes += size
            if isinstance(memory, Ring):
                for offset in event.redacts:
                    memory.redact(offset, event.data)
            self._schedule_flush()
        return offer

    def _schedule_flush(self) -> None:
        if self.topic.backlog >= MAX_BACKLOG or self._unflushed_bytes >= MAX_BACKLOG_BYTES:
            self.flush()
        elif self._flush_due is None:
            rest_s = (self._flushed_at - self._began_at) * MIN_REST
            due = max(self._began_at + self._interval_s, self._flushed_at + rest_s)
            loop = asyncio.get_running_loop()
            self._flush_due = loop.call_at(max(loop.time(), due), self._flush_slice)

    @property
    def _interval_s(self) -> float:
        if self._is_conflated:
            return CONFLATED_INTERVAL_S
        return min(MAX_INTERVAL_S, len(self.topic) * INTERVAL_PER_PEER_S)

    def flush(self) -> None:
        """Write all that is new to everyone, now."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        if self.topic.is_flushing:
            metrics.deliveries.inc(self.topic.flush())
        self._flush_begins()
        metrics.deliveries.inc(self.topic.flush())
        self._flush_ended()

    def _flush_slice(self) -> None:
        if not self.topic.is_flushing:
            self._flush_begins()
        metrics.deliveries.inc(self.topic.flush(max(SLICE_SOCKETS, len(self.topic) // MAX_SLICES)))
        if self.topic.is_flushing:
            self._flush_due = asyncio.get_running_loop().call_soon(self._flush_slice)
            return
        self._flush_due = None
        self._flush_ended()
        if self.topic.backlog:
            self._schedule_flush()

    def _flush_begins(self) -> None:
        self._unflushed_bytes = 0
        self._began_at = asyncio.get_running_loop().time()

    def _flush_ended(self) -> None:
        self._flushed_at = asyncio.get_running_loop().time()
        metrics.fan_out_s.observe(self._flushed_at - self._waiting_since)
        self._waiting_since = self._flushed_at
