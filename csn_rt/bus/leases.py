"""Who watches a broadcast, counted over all nodes: a set of leases with ends, never +1/-1.

Rule 1: a session holds a lease until a time; a person is a viewer while one of the person's sessions holds
        one. Whoever is not renewed is gone by itself, and ending twice is ending once.
Rule 2: `count` may be sent again with the same arguments: nothing in it adds up.
Rule 3: the first to ask after a change is answered `is_changed`, with a number larger than all before it, and
        at most once per pace: so one node tells it, and all nodes together keep the pace. A change that came
        too early is answered with `tells_in_ms`: ask again then.
Rule 4: when what was known is lost (emptied, restored from an old copy, its clock set, nobody heard for a
        while), `life` is a new one and the count is unsettled for a moment, in which every node registers
        again all that it holds. Nothing is told meanwhile.
Rule 5: an ended broadcast takes and tells nothing for a moment, until every node has heard of its end.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Purpose = Literal["read", "tell", "end"]


class Hold(msgspec.Struct, frozen=True):
    """A session's lease, which lasts at least for `remaining_ms` from now on."""

    person: str
    session_id: str
    remaining_ms: int


class End(msgspec.Struct, frozen=True):
    person: str
    session_id: str


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What one node has to say about one broadcast, and to ask."""

    broadcast_id: str
    age_ms: int
    """How long ago it began: of one that is older than a moment, or that had a peak, having nobody means
    that all were lost."""
    holds: Sequence[Hold] = ()
    ends: Sequence[End] = ()
    seq_floor: int = 0
    """Numbers given out are larger than this."""
    peak_floor: int = 0
    """The highest peak that the asker knows of."""
    purpose: Purpose = "tell"
    """tell: what is answered as changed will be told. read: it will not. end: the broadcast is over."""


class Count(msgspec.Struct, frozen=True, array_like=True):
    """The order of the fields is that of the script's answer."""

    viewers: int
    sessions: int
    told: int
    """What was told last, and so belongs to `seq`; -1: nothing yet. The same of the following two."""
    told_peak: int
    told_sessions: int
    peak: int
    seq: int
    """Number of the newest thing told to everyone; it grows with newness and is about the time in ms."""
    staff_seq: int
    at_ms: int
    """Redis' time."""
    life: int
    is_changed: bool
    is_staff_changed: bool
    settles_in_ms: int
    """0: settled."""
    tells_in_ms: int
    """0: nothing waits to be told."""
    is_ended: bool
    viewer_ms: int
    """Sum over the time of this life of how many watched: viewers times milliseconds."""


class LeaseTimes(msgspec.Struct, frozen=True, kw_only=True):
    settle_ms: int = 2_500
    """Nodes ask every second: in this time each has found the new life and registered its own again."""
    pace_ms: int = 250
    """At most four pushes a second."""
    gap_ms: int = 5_000
    """Nobody asked so long about a broadcast that has viewers: nodes were away, and leases ended unheard."""
    pause_ms: int = 5_000
    """How long an end is kept in mind; nodes read the streams' states every second."""
    keep_ms: int = 3_600_000
    """Keys are forgotten after an hour without being asked for."""


class Leases(Protocol):
    async def count(self, asks: Sequence[Ask]) -> list[Count | None]:
        """Register, end and count, in one round trip; None for each ask that was not answered in time."""

    async def close(self) -> None: ...
