"""Publishes to Redis: one task, one connection, natural batches.

Rule 1: `put` never waits. What does not fit is dropped and counted.
Rule 2: all that is waiting goes in one round trip; meanwhile the next batch gathers.
Rule 3: a batch is tried again once if the connection turns out to be closed, because that is only noticed by
        writing; after a time-out or a second failure it is dropped and counted.
"""

import asyncio
from collections import deque

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

from csn_rt.bus.base import BusStatistics
from csn_rt.bus.redis_connection import ANSWER_S, back_off_s, connect, new_connection, read_reply

log = structlog.get_logger(__name__)

MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_BATCH = 500


class Message(msgspec.Struct, frozen=True):
    name: bytes
    """Redis' name of the channel."""
    payload: bytes
    is_counted: bool = True
    """False for canaries."""


class RedisWriter:
    def __init__(self, url: str, statistics: BusStatistics) -> None:
        self._url = url
        self._statistics = statistics
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._has_work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self._connection: AbstractConnection | None = None
        self._failures = 0
        """Batches dropped since the last one that was sent."""

    def put(self, message: Message) -> None:
        size = len(message.payload)
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
            self._statistics.dropped += message.is_counted
            return
        self._waiting.append(message)
        self._waiting_bytes += size
        self._has_work.set()
        self._is_drained.clear()

    async def wait_drained(self) -> None:
        """Return when nothing is waiting or under way."""
        await self._is_drained.wait()

    async def run(self) -> None:
        """Write for ever; ends by cancellation only."""
        try:
            while True:
                await self._has_work.wait()
                batch = self._take()
                if await self._send(batch):
                    self._statistics.published += sum(message.is_counted for message in batch)
                    self._failures = 0
                else:
                    self._statistics.dropped += sum(message.is_counted for message in batch)
                    self._failures += 1
                if not self._waiting:
                    self._is_drained.set()
                if self._failures:
                    await asyncio.sleep(back_off_s(self._failures))
        finally:
            await self._disconnect()

    def _take(self) -> list[Message]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        self._waiting_bytes -= sum(len(message.payload) for message in batch)
        if not self._waiting:
            self._has_work.clear()
        return batch

    async def _send(self, batch: list[Message]) -> bool:
        for _ in range(2):
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._exchange(batch)
            except Exception as exc:  # noqa: BLE001  whatever it is, the writer lives on and the connection does not
                if not self._failures:  # the first of a row says it all
                    log.warning("bus_write_failed", error=f"{type(exc).__name__}: {exc}", messages=len(batch))
                await self._disconnect()
                if isinstance(exc, TimeoutError | RedisTimeoutError):
                    return False
            else:
                return True
        return False

    async def _exchange(self, batch: list[Message]) -> None:
        if self._connection is None:
            self._connection = new_connection(self._url)
        connection = self._connection
        await connect(connection)
        commands = [(b"PUBLISH", message.name, message.payload) for message in batch]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        for _ in batch:
            await read_reply(connection)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
