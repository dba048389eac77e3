"""The bus over one Redis or Valkey, by pub/sub.

Rule 1: the only proof of life is a canary that comes back. One is sent every second, from this node through
        Redis to itself. Three that stay away, and the bus is down.
Rule 2: the canary's channel is subscribed last on a new connection, so its confirmation says that every
        wanted channel is subscribed. The first canary after that makes `status(True)`, also if the loss was
        too short to be noticed otherwise: messages may have been missed.
Rule 3: a connection that is deaf for three canaries is thrown away; reconnecting goes on for ever.
Rule 4: nothing that arrives, and nothing that a receiver does with it, ends the reader.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec
import structlog
import uuid_utils
from redis.asyncio.connection import AbstractConnection

from csn_rt.bus.base import BusDown, BusStatistics, Envelope
from csn_rt.bus.redis_connection import ANSWER_S, back_off_s, connect, new_connection, read_reply
from csn_rt.bus.redis_writer import Message, RedisWriter
from csn_rt.bus.subscriptions import Subscriptions
from csn_rt.wire.names import Channel

log = structlog.get_logger(__name__)

PREFIX: Final = b"csn:"
_CANARY_PREFIX: Final = b"csn-canary:"
"""Apart from PREFIX, so that no channel's name can be a canary's."""
_MISSES = 3
_JOINS_PER_COMMAND = 500


class RedisBus:
    def __init__(self, url: str, node_id: str, *, canary_s: float = 1.0) -> None:
        self._url = url
        self._canary_s = canary_s
        self._canary_name = _CANARY_PREFIX + node_id.encode()
        self._life = str(uuid_utils.uuid7())
        """Tells our canaries from those of an earlier process of the same name."""
        self._statistics = BusStatistics()
        self._writer = RedisWriter(url, self._statistics)
        self._subscriptions = Subscriptions()
        self._has_asks = asyncio.Event()
        self._waiters: dict[Channel, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._receive: Callable[[Envelope], None] = lambda _envelope: None
        self._status: Callable[[bool], None] = lambda _is_up: None
        self._is_up = False
        self._is_announced = False
        """Whether `status(True)` was told on this connection."""
        self._was_up = asyncio.Event()
        self._lag_s: float | None = None
        self._misses = 0
        self._heard_at = 0.0
        self._failures = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
        self._decode_canary = msgspec.msgpack.Decoder(tuple[str, float]).decode

    @property
    def is_up(self) -> bool:
        return self._is_up

    @property
    def lag_s(self) -> float | None:
        return self._lag_s

    def statistics(self) -> BusStatistics:
        return self._statistics

    async def start(self, receive: Callable[[Envelope], None], status: Callable[[bool], None]) -> None:
        """Return when the bus is up, or after a second without it: `status` has been told which."""
        self._receive = receive
        self._status = status
        self._tasks = [
            asyncio.create_task(self._writer.run(), name="bus-writer"),
            asyncio.create_task(self._listen_forever(), name="bus-listener"),
            asyncio.create_task(self._send_canaries(), name="bus-canaries"),
        ]
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._was_up.wait()
        except TimeoutError:
            self._tell(is_up=False)

    def publish(self, envelope: Envelope) -> None:
        if not self._is_up:
            self._statistics.dropped += 1
            return
        self._writer.put(Message(PREFIX + envelope.channel.encode(), self._encode(envelope)))

    async def subscribe(self, channel: Channel) -> None:
        self._subscriptions.want(channel)
        if self._subscriptions.is_settled(channel):
            return
        self._has_asks.set()
        if not self._is_up:
            raise BusDown
        waiter = self._waiters.setdefault(channel, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.shield(waiter)
        except TimeoutError:
            raise BusDown from None

    def unsubscribe(self, channel: Channel) -> None:
        self._subscriptions.unwant(channel)
        self._has_asks.set()
        self._give_up(channel)

    async def close(self) -> None:
        """Send what is waiting, for a second at most, and end every task."""
        if self._is_up:
            await asyncio.wait([asyncio.create_task(self._writer.wait_drained())], timeout=ANSWER_S)
        self._is_up = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for channel in list(self._waiters):
            self._give_up(channel)
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    # --- listening

    async def _listen_forever(self) -> None:
        while True:
            connection = new_connection(self._url)
            self._is_announced = False
            self._subscriptions.lost()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await connect(connection)
                await _first_to_end(self._read(connection), self._ask(connection), self._end_if_deaf())
            except Exception as exc:  # noqa: BLE001  whatever it is, the way out is a new connection
                if self._failures == 0:  # the first of a row says it all
                    log.warning("bus_connection_lost", error=f"{type(exc).__name__}: {exc}")
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(back_off_s(self._failures))
            self._failures += 1

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            match await read_reply(connection):
                case [b"message", name, payload]:
                    self._message_came(name, payload)
                case [b"subscribe", name, _]:
                    self._subscribed(name)
                case [b"unsubscribe", name, _]:
                    if self._subscriptions.left(_channel(name)):
                        self._has_asks.set()
                case reply:
                    log.warning("bus_reply_unknown", reply=repr(reply)[:200])

    async def _ask(self, connection: AbstractConnection) -> None:
        """Subscribe what is wanted, then the canary's channel (rule 2), then follow what is wanted."""
        joins, _ = self._subscriptions.due()
        await _send(connection, b"SUBSCRIBE", [*map(_name, joins), self._canary_name])
        while True:
            await self._has_asks.wait()
            self._has_asks.clear()
            joins, leaves = self._subscriptions.due()
            await _send(connection, b"SUBSCRIBE", [_name(channel) for channel in joins])
            await _send(connection, b"UNSUBSCRIBE", [_name(channel) for channel in leaves])

    async def _end_if_deaf(self) -> None:
        began_at = time.monotonic()
        while True:
            await asyncio.sleep(self._canary_s)
            if time.monotonic() - max(began_at, self._heard_at) > _MISSES * self._canary_s:
                raise BusDown("no canary came back")

    def _subscribed(self, name: bytes) -> None:
        if name == self._canary_name:
            self._send_canary()
            return
        channel = _channel(name)
        if self._subscriptions.joined(channel):
            self._has_asks.set()
        elif waiter := self._waiters.pop(channel, None):
            waiter.set_result(None)

    def _message_came(self, name: bytes, payload: bytes) -> None:
        try:
            if name == self._canary_name:
                self._canary_came(*self._decode_canary(payload))
                return
            envelope = self._decode_envelope(payload)
        except msgspec.MsgspecError as exc:
            self._statistics.malformed += 1
            count = self._statistics.malformed
            if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood of them must not flood the log
                log.warning("bus_message_malformed", channel=repr(name)[:200], error=str(exc), count=count)
            return
        if envelope.channel in self._subscriptions.wanted:
            self._statistics.received += 1
            try:
                self._receive(envelope)
            except Exception:
                log.exception("bus_receive_failed", channel=envelope.channel)

    # --- proof of life

    async def _send_canaries(self) -> None:
        while True:
            heard_at = self._heard_at
            self._send_canary()
            await asyncio.sleep(self._canary_s)
            if self._heard_at == heard_at:
                self._misses += 1
                if self._misses >= _MISSES and self._is_up:
                    self._tell(is_up=False)

    def _send_canary(self) -> None:
        payload = self._encode((self._life, time.monotonic()))
        self._writer.put(Message(self._canary_name, payload, is_counted=False))

    def _canary_came(self, life: str, sent_at: float) -> None:
        if life != self._life:
            log.warning("bus_node_id_shared", canary=self._canary_name.decode())
            return
        self._heard_at = time.monotonic()
        self._lag_s = self._heard_at - sent_at
        self._misses = 0
        self._failures = 0
        if not self._is_announced:
            self._is_announced = True
            self._tell(is_up=True)

    def _tell(self, *, is_up: bool) -> None:
        self._is_up = is_up
        if is_up:
            log.info("bus_up", lag_s=self._lag_s)
            self._statistics.reconnects += self._was_up.is_set()
            self._was_up.set()
        else:
            log.warning("bus_down", misses=self._misses)
            self._is_announced = False
        try:
            self._status(is_up)
        except Exception:
            log.exception("bus_status_failed", is_up=is_up)

    def _give_up(self, channel: Channel) -> None:
        if waiter := self._waiters.pop(channel, None):
            waiter.set_exception(BusDown())
            waiter.exception()  # marks it as seen: nobody may be waiting any more


async def _send(connection: AbstractConnection, command: bytes, names: Sequence[bytes]) -> None:
    if not names:
        return
    chunks = (names[at : at + _JOINS_PER_COMMAND] for at in range(0, len(names), _JOINS_PER_COMMAND))
    commands: list[tuple[Any, ...]] = [(command, *chunk) for chunk in chunks]
    async with asyncio.timeout(ANSWER_S):
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)


async def _first_to_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run them together until one ends or fails, and end the others.

    Not a task group: that loses a cancellation which comes at the moment of a failure (Python 3.11).
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _name(channel: Channel) -> bytes:
    return PREFIX + channel.encode()


def _channel(name: bytes) -> Channel:
    return Channel(name[len(PREFIX) :].decode())
