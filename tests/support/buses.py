"""Buses to test, and what is behind them: the same words for memory, Redis and a cluster of Redis."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol, Self

from csn_rt.bus.base import Bus, Envelope
from csn_rt.bus.memory import MemoryBus, MemoryHub
from csn_rt.bus.redis import RedisBus
from csn_rt.wire.names import Channel
from tests.support.proxy import Proxy
from tests.support.redis_cluster import RedisCluster

CANARY_S = 0.1
WAIT_S = 5.0


async def eventually(condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


class Listener:
    """A node on the bus: keeps what it received and what it was told about the bus."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.received: list[Envelope] = []
        self.told: list[bool] = []

    async def start(self) -> Self:
        await self.bus.start(self.received.append, self.told.append)
        return self

    def say(self, channel: str, offset: int = 1, text: bytes = b"{}") -> Envelope:
        envelope = Envelope("someone", Channel(channel), "abc", offset, [text])
        self.bus.publish(envelope)
        return envelope

    async def heard(self, count: int) -> list[Envelope]:
        await eventually(lambda: len(self.received) >= count)
        return self.received

    async def heard_nothing(self) -> bool:
        """Long enough for a message that was already on its way."""
        await asyncio.sleep(0.05)
        return not self.received


class Behind(Protocol):
    """What several buses share, and its fault."""

    def new_bus(self) -> Bus: ...

    async def go_down(self) -> None: ...

    async def come_back(self) -> None: ...


class BehindMemory:
    def __init__(self) -> None:
        self._hub = MemoryHub()

    def new_bus(self) -> Bus:
        return MemoryBus(self._hub)

    async def go_down(self) -> None:
        self._hub.go_down()

    async def come_back(self) -> None:
        self._hub.come_back()


class BehindRedis:
    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._outage = AsyncExitStack()
        self._count = 0

    def new_bus(self) -> RedisBus:
        self._count += 1
        return RedisBus(self.proxy.url, f"node-{self._count}", canary_s=CANARY_S)

    async def go_down(self) -> None:
        await self._outage.enter_async_context(self.proxy.unreachable())

    async def come_back(self) -> None:
        await self._outage.aclose()


class BehindCluster:
    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster
        self._outage = AsyncExitStack()
        self._count = 0

    def new_bus(self) -> RedisBus:
        self._count += 1
        return RedisBus(self.cluster.url, f"node-{self._count}", canary_s=CANARY_S)

    async def go_down(self) -> None:
        await self._outage.enter_async_context(self.cluster.unreachable())

    async def come_back(self) -> None:
        await self._outage.aclose()
