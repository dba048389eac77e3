"""What a node remembers of a channel: its newest events, or only the newest one.

Rule 1: a ring holds consecutive offsets that end at `top`. It takes top + 1 and nothing else.
Rule 2: it is bounded by count and by bytes; the oldest goes first, never the newest.
Rule 3: a redacted event keeps its offset and loses its content, so that a replay shows what is left of it.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from csn_rt.wire.published import Published

# 512 chat messages are several minutes of a busy room (100/s: five seconds), and at about 400 bytes each 200
# KiB.
MAX_EVENTS: Final = 512
MAX_BYTES: Final = 1_048_576


class Offer(Enum):
    """What became of an event that was offered."""

    APPENDED = "appended"
    BEHIND = "behind"
    """Known already, or older than what is known: dropped."""
    AHEAD = "ahead"
    """Events before it are missing: not taken."""


class Ring:
    """The newest events of a numbered channel."""

    __slots__ = ("_bytes", "_events", "epoch", "max_bytes", "max_events", "top")

    def __init__(
        self, epoch: str, top: int, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES
    ) -> None:
        self.epoch = epoch
        self.top = top
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._events: dict[int, bytes] = {}
        self._bytes = 0

    @property
    def oldest(self) -> int:
        """The offset of the oldest event held; top + 1 when none is."""
        return self.top - len(self._events) + 1

    def offer(self, offset: int, data: bytes) -> Offer:
        if offset <= self.top:
            return Offer.BEHIND
        if offset > self.top + 1:
            return Offer.AHEAD
        self._events[offset] = data
        self._bytes += len(data)
        self.top = offset
        self._forget_oldest()
        return Offer.APPENDED

    def after(self, position: int) -> list[tuple[int, bytes]] | None:
        """Every event after the position, oldest first; None if some of them are no longer (or not yet)
        held."""
        if position < self.oldest - 1 or position > self.top:
            return None
        return [(offset, self._events[offset]) for offset in range(position + 1, self.top + 1)]

    def count_after(self, position: int) -> int:
        return self.top - position

    def prepend(self, published: Sequence[Published]) -> None:
        """Fill an empty ring with the events that lead up to its top; a hole keeps only what comes after
        it."""
        kept: list[tuple[int, bytes]] = []
        wanted = self.top
        for event in reversed(published):
            if event.offset != wanted:
                break
            kept.append((event.offset, event.data))
            wanted -= 1
        self._events = dict(reversed(kept))
        self._bytes = sum(map(len, self._events.values()))
        self._forget_oldest()

    def redact(self, offset: int, data: bytes) -> None:
        """Replace an event's content if it is still held."""
        if offset in self._events:
            self._bytes += len(data) - len(self._events[offset])
            self._events[offset] = data
            self._forget_oldest()

    def restart(self, epoch: str, top: int) -> None:
        """Forget everything and stand at this position: what lies between cannot be had."""
        self.epoch = epoch
        self.top = top
        self._events.clear()
        self._bytes = 0

    def _forget_oldest(self) -> None:
        while len(self._events) > self.max_events or (self._bytes > self.max_bytes and len(self._events) > 1):
            self._bytes -= len(self._events.pop(self.oldest))


class Latest:
    """The newest value of a channel whose older values do not matter. Offsets only grow; holes mean
    nothing."""

    __slots__ = ("_data", "top")

    def __init__(self) -> None:
        self.top = 0
        self._data = b""

    def offer(self, offset: int, data: bytes) -> Offer:
        if offset <= self.top:
            return Offer.BEHIND
        self.top = offset
        self._data = data
        return Offer.APPENDED

    def after(self, position: int) -> list[tuple[int, bytes]]:
        return [(self.top, self._data)] if position < self.top else []

    def count_after(self, position: int) -> int:
        return int(position < self.top)
