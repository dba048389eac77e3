"""One event of one channel, numbered and encoded: what goes from a committed transaction to every node."""

import msgspec

from csn_rt.wire.names import Channel


class Published(msgspec.Struct, frozen=True):
    channel: Channel
    epoch: str
    """The life of the channel's numbering; empty for viewer counts, which have none."""
    offset: int
    """1, 2, 3 … without holes where `Area.has_head`; else a number that grows with newness."""
    data: bytes
    """The event as one line of JSON, encoded once in the whole cluster."""
    redacts: tuple[int, ...] = ()
    """Earlier offsets of the channel whose data must not be told again: this event's own replaces it."""
