"""Publishes to Redis: one task, one connection, natural batches.

Rule 1: `put` never waits. What does not fit is dropped and counted. The newest of each channel that was
        dropped is sent after the next batch that is.
Rule 2: all that is waiting goes in one round trip; meanwhile the next batch gathers.
Rule 3: what a server of a cluster refuses is given back, message by message; the rest of the batch was sent.
Rule 4: a batch is tried again once if the connection turns out to be closed, because that is only noticed by
        writing; after a time-out or a second failure it is dropped and counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import TimeoutError as RedisTimeoutError

from csn_rt.bus.base import BusStatistics
from csn_rt.bus.redis_connection import ANSWER_S, back_off_s, connect, new_connection, read_reply
from csn_rt.bus.redis_messages import Message, Untold, counted
from csn_rt.bus.redis_slots import REFUSALS

log = structlog.get_logger(__name__)

MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_BATCH = 500


class RedisWriter:
    def __init__(
        self,
        url: str,
        verb: bytes,
        statistics: BusStatistics,
        refused: Callable[[Sequence[Message]], None],
    ) -> None:
        self._url = url
        self._verb = verb
        self._statistics = statistics
        self._refused = refused
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._under_way: list[Message] = []
        self._untold = Untold()
        self._has_work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self._connection: AbstractConnection | None = None
        self._failures = 0
        """Batches dropped since the last one that was sent."""

    def put(self, message: Message) -> None:
        size = len(message.payload)
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
            self.drop(message)
            return
        self._waiting.append(message)
        self._waiting_bytes += size
        self._has_work.set()
        self._is_drained.clear()

    def drop(self, message: Message) -> None:
        self._statistics.dropped += message.is_counted
        self._untold.keep(message)

    async def wait_drained(self, most_s: float) -> None:
        """Return when nothing is waiting or under way, or after that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._is_drained.wait()

    def unsent(self) -> list[Message]:
        """After the end: what was waiting, what nobody was told of, and what may have been sent or not."""
        left = [*self._under_way, *self._take(len(self._waiting)), *self._untold.take(len(self._untold))]
        self._under_way = []
        return [message for message in left if not message.is_canary]

    async def run(self) -> None:
        """Write for ever; ends by cancellation only."""
        try:
            while True:
                await self._has_work.wait()
                await self._write(self._take(MAX_BATCH))
                while not self._failures and self._untold:
                    await self._write(self._untold.take(MAX_BATCH))
                    if self._waiting:
                        break  # it has the next turn
                if not self._waiting:
                    self._is_drained.set()
                if self._failures:
                    await asyncio.sleep(back_off_s(self._failures))
        finally:
            await self._disconnect()

    async def _write(self, batch: list[Message]) -> None:
        self._under_way = batch
        refused = await self._send(batch)
        self._under_way = []
        if refused is None:
            self._failures += 1
            for message in batch:
                self.drop(message)
        else:
            self._statistics.published += counted(batch) - counted(refused)
            self._failures = 0
            if refused:
                self._refused(refused)

    def _take(self, most: int) -> list[Message]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
        self._waiting_bytes -= sum(len(message.payload) for message in batch)
        if not self._waiting:
            self._has_work.clear()
        return batch

    async def _send(self, batch: list[Message]) -> list[Message] | None:
        """What was refused; None: nothing was sent, as far as is known."""
        for _ in range(2):
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await self._exchange(batch)
            except Exception as exc:  # noqa: BLE001  whatever it is, the writer lives on and the connection does not
                if not self._failures:  # the first of a row says it all
                    log.warning("bus_write_failed", error=f"{type(exc).__name__}: {exc}", messages=len(batch))
                await self._disconnect()
                if isinstance(exc, TimeoutError | RedisTimeoutError):
                    break
        return None

    async def _exchange(self, batch: list[Message]) -> list[Message]:
        if self._connection is None:
            self._connection = new_connection(self._url)
        connection = self._connection
        await connect(connection)
        commands = [(self._verb, message.name, message.payload) for message in batch]
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        refused = []
        for message in batch:
            try:
                await read_reply(connection)
            except REFUSALS:
                refused.append(message)
        return refused

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
