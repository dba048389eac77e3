"""What the node needs of a bus: events between nodes, as fast as they come and with no promise.

A message may be lost, come twice or out of order; offsets make that harmless. `publish` never waits: what
cannot be sent is dropped and counted, because the log has it. The newest of a channel that was dropped may be
sent later, so that receivers see what they lack.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from csn_rt.wire.names import Channel


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """Events of one channel, one after another, as they travel between nodes (MessagePack)."""

    origin: str
    """The node that sent it."""
    channel: Channel
    epoch: str
    offset: int
    """Offset of the first event; each following one is one higher."""
    events: list[bytes]
    redacts: list[int] = []
    """Earlier offsets whose data that of the last event here replaces; an envelope ends at such an event."""


class BusDown(Exception):
    """The bus does not answer. Work goes on without it, more slowly."""


class BusStatistics(msgspec.Struct):
    """Counted since the start."""

    published: int = 0
    """Envelopes that were sent."""
    dropped: int = 0
    """Envelopes that were not sent, because the bus was down or too much was waiting."""
    received: int = 0
    malformed: int = 0
    """Messages that were no envelope."""
    reconnects: int = 0


class Bus(Protocol):
    @property
    def is_up(self) -> bool:
        """False after three missed canaries."""

    @property
    def is_sure(self) -> bool:
        """False as soon as a connection is lost or a canary stays away: messages may be missing already."""

    @property
    def lag_s(self) -> float | None:
        """How long the last canary was under way; None before the first."""

    async def start(self, receive: Callable[[Envelope], None], status: Callable[[bool], None]) -> None:
        """Begin to deliver. `receive` gets every envelope of a subscribed channel; `status` hears of up and
        down, and of up again after every reconnect, when messages may have been missed."""

    def publish(self, envelope: Envelope) -> None: ...

    async def subscribe(self, channel: Channel) -> None:
        """Return once messages of this channel will arrive; raises BusDown after a second without an answer,
        and goes on trying: the channel stays wanted until `unsubscribe`."""

    def unsubscribe(self, channel: Channel) -> None: ...

    async def close(self) -> None: ...

    def statistics(self) -> BusStatistics: ...
