"""The bus inside one process: several nodes share a hub. The twin of the Redis bus, with its manners.

Rule 1: a message is handed over in a later turn of the event loop, never inside `publish`.
Rule 2: while the hub is down nothing is delivered, and what is published is dropped and counted.
"""

import asyncio
from collections.abc import Callable

import structlog

from csn_rt.bus.base import BusDown, BusStatistics, Envelope
from csn_rt.wire.names import Channel

log = structlog.get_logger(__name__)


class MemoryHub:
    """What is between the nodes. `go_down` and `come_back` are the faults that it can have."""

    def __init__(self) -> None:
        self.is_up = True
        self._buses: list[MemoryBus] = []

    def go_down(self) -> None:
        self._turn(is_up=False)

    def come_back(self) -> None:
        """Also when it was not down: the nodes hear what they hear after a reconnect."""
        self._turn(is_up=True)

    def add(self, bus: "MemoryBus") -> None:
        self._buses.append(bus)

    def remove(self, bus: "MemoryBus") -> None:
        if bus in self._buses:
            self._buses.remove(bus)

    def pass_on(self, envelope: Envelope) -> None:
        if self.is_up:
            for bus in self._buses:
                bus.deliver(envelope)

    def _turn(self, *, is_up: bool) -> None:
        self.is_up = is_up
        for bus in list(self._buses):
            bus.status(is_up)


class MemoryBus:
    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._wanted: set[Channel] = set()
        self._receive: Callable[[Envelope], None] | None = None
        self._statistics = BusStatistics()
        self.status: Callable[[bool], None] = lambda _is_up: None

    @property
    def is_up(self) -> bool:
        return self._hub.is_up and self._receive is not None

    @property
    def is_sure(self) -> bool:
        return self.is_up

    @property
    def lag_s(self) -> float | None:
        return 0.0 if self.is_up else None

    async def start(self, receive: Callable[[Envelope], None], status: Callable[[bool], None]) -> None:
        self._receive = receive
        self.status = status
        self._hub.add(self)
        status(self._hub.is_up)

    def publish(self, envelope: Envelope) -> None:
        if not self.is_up:
            self._statistics.dropped += 1
            return
        self._statistics.published += 1
        asyncio.get_running_loop().call_soon(self._hub.pass_on, envelope)

    async def subscribe(self, channel: Channel) -> None:
        self._wanted.add(channel)
        await asyncio.sleep(0)
        if not self.is_up:
            raise BusDown

    def unsubscribe(self, channel: Channel) -> None:
        self._wanted.discard(channel)

    async def close(self) -> None:
        self._hub.remove(self)
        self._receive = None

    def statistics(self) -> BusStatistics:
        return self._statistics

    def deliver(self, envelope: Envelope) -> None:
        if self._receive is None or envelope.channel not in self._wanted:
            return
        self._statistics.received += 1
        try:
            self._receive(envelope)
        except Exception:
            log.exception("bus_receive_failed", channel=envelope.channel)
