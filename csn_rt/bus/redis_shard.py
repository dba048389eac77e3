"""One server of Redis or Valkey and the way there: a connection that listens, a writer, a canary.

Rule 1: the only proof of life is a canary that comes back. One is sent every second, from this node through
        the server to itself. Three that stay away, and the shard is down.
Rule 2: the canary's channel is subscribed last on a new connection, so its confirmation says that every
        wanted channel is subscribed. The first canary after that makes the shard up, and up again if the loss
        was too short to be noticed otherwise: messages may have been missed.
Rule 3: a connection that is deaf for three canaries is thrown away; reconnecting goes on for ever.
Rule 4: nothing that arrives, and nothing that a receiver does with it, ends the reader.
Rule 5: what a server of a cluster refuses, or serves no more, makes the owner look at the map; then it is
        asked for again, here or elsewhere. Once all of it is served again, messages may have been missed.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection

from csn_rt.bus.base import BusDown, BusStatistics
from csn_rt.bus.redis_connection import ANSWER_S, back_off_s, connect, new_connection, read_reply
from csn_rt.bus.redis_messages import Message
from csn_rt.bus.redis_slots import REFUSALS
from csn_rt.bus.redis_url import server_of
from csn_rt.bus.redis_writer import RedisWriter
from csn_rt.bus.subscriptions import Subscriptions
from csn_rt.wire.names import Channel

log = structlog.get_logger(__name__)

PREFIX: Final = b"csn:"
CANARY_PREFIX: Final = b"csn-canary:"
"""Apart from PREFIX, so that no channel's name can be a canary's."""
_MISSES = 3


class Verbs(msgspec.Struct, frozen=True):
    publish: bytes
    subscribe: bytes
    unsubscribe: bytes
    message: bytes
    subscribed: bytes
    unsubscribed: bytes
    joins_per_command: int


PLAIN: Final = Verbs(
    b"PUBLISH", b"SUBSCRIBE", b"UNSUBSCRIBE", b"message", b"subscribe", b"unsubscribe", joins_per_command=500
)
SHARDED: Final = Verbs(
    b"SPUBLISH",
    b"SSUBSCRIBE",
    b"SUNSUBSCRIBE",
    b"smessage",
    b"ssubscribe",
    b"sunsubscribe",
    joins_per_command=1,  # several in one command must be of one slot, and are refused together
)


class Hears(Protocol):
    """What a shard tells its owner."""

    def message_came(self, name: bytes, payload: bytes) -> None: ...

    def malformed(self, name: bytes, error: Exception) -> None: ...

    def joined(self, channel: Channel) -> None:
        """Messages of this channel will arrive from now on."""

    def changed(self, *, has_gap: bool) -> None:
        """Up or down; with a gap, messages may have been missed before now."""


Strayed = Callable[[str | None, Sequence[Message]], None]
"""A server is lost, or (then it is named) says that something belongs elsewhere; what it did not publish."""


class Shard:
    def __init__(
        self,
        url: str,
        canary_name: bytes,
        *,
        verbs: Verbs,
        hears: Hears,
        strayed: Strayed,
        statistics: BusStatistics,
        life: str,
        canary_s: float,
    ) -> None:
        """`life` tells this process' canaries from those of an earlier one of the same name."""
        self.server = server_of(url)
        self.canary_name = canary_name
        self.is_up = False
        """Whether canaries come back."""
        self.is_down = False
        """Three canaries were missed. Before the first comes back, it is neither up nor down."""
        self.lag_s: float | None = None
        self._url = url
        self._verbs = verbs
        self._hears = hears
        self._strayed = strayed
        self._statistics = statistics
        self._canary_s = canary_s
        self._life = life
        self._writer = RedisWriter(url, verbs.publish, statistics, self._refused_messages)
        self._subscriptions = Subscriptions()
        self._has_asks = asyncio.Event()
        self._asks_canary = False
        self._is_canary_joined = False
        self._gaps: set[Channel] = set()
        """What has to be joined again on a connection that goes on."""
        self._has_filled = False
        """Whether something was joined again that is not told yet."""
        self._has_refused = False
        self._tasks: list[asyncio.Task[None]] = []
        self._is_announced = False
        """Whether this connection was told as up."""
        self._was_up = False
        self._misses = 0
        self._heard_at = 0.0
        self._failures = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_canary = msgspec.msgpack.Decoder(tuple[str, float]).decode

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._writer.run(), name="bus-writer"),
            asyncio.create_task(self._listen_forever(), name="bus-listener"),
            asyncio.create_task(self._send_canaries(), name="bus-canaries"),
        ]

    @property
    def is_sure(self) -> bool:
        """Whether all that is wanted is heard, as far as is known."""
        is_deaf_to_some = bool(self._gaps) or self._has_refused
        return self._is_announced and not self._misses and not is_deaf_to_some

    async def close(self) -> list[Message]:
        """Send what is waiting, for a second at most, and end every task; answers what was not sent."""
        if self.is_up:
            await self._writer.wait_drained(ANSWER_S)
        self.is_up = False
        self.is_down = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.sleep(0)  # the transports close in the loop's next turn
        return self._writer.unsent()

    def publish(self, message: Message) -> None:
        if self.is_down:
            self._writer.drop(message)
        else:
            self._writer.put(message)

    def want(self, channel: Channel, *, is_moved: bool = False) -> None:
        """Subscribe; `is_moved`: it was subscribed elsewhere until now."""
        self._subscriptions.want(channel)
        self._has_asks.set()
        if is_moved:
            self.misses(channel)

    def misses(self, channel: Channel) -> None:
        """What is said there now may be missed: say so when it is joined."""
        if not self._subscriptions.is_settled(channel):
            self._gaps.add(channel)

    def unwant(self, channel: Channel) -> None:
        self._subscriptions.unwant(channel)
        self._has_asks.set()
        self._gaps.discard(channel)
        self._tell_of_gaps()

    def is_settled(self, channel: Channel) -> bool:
        return self._subscriptions.is_settled(channel)

    def refuses(self, channel: Channel) -> bool:  # noqa: ARG002  the same for all channels of a shard
        """Whether it is known that a subscribe will not be answered."""
        return self.is_down

    def ask_again(self, canary_name: bytes) -> None:
        """The map was read: ask anew for what was refused."""
        if canary_name != self.canary_name:
            self.canary_name = canary_name
            self._is_canary_joined = False
        if self._has_refused or not self._is_canary_joined:
            self._has_refused = False
            self._asks_canary = not self._is_canary_joined
            self._gaps.update(self._subscriptions.ask_again())
            self._has_asks.set()

    # --- listening

    async def _listen_forever(self) -> None:
        while True:
            self._is_announced = False
            self._subscriptions.lost()
            self._gaps.clear()
            self._has_filled = self._has_refused = False
            self._asks_canary, self._is_canary_joined = True, False
            try:
                await self._listen(new_connection(self._url))
            except Exception as exc:  # noqa: BLE001  whatever it is, the way out is a new connection
                if self._failures == 0:  # the first of a row says it all
                    error = f"{type(exc).__name__}: {exc}"
                    log.warning("bus_connection_lost", server=self.server, error=error)
                self._strayed(None, ())
            await asyncio.sleep(back_off_s(self._failures))
            self._failures += 1

    async def _listen(self, connection: AbstractConnection) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await connect(connection)
            await _first_to_end(self._read(connection), self._ask(connection), self._end_if_deaf())
        finally:
            await connection.disconnect(nowait=True)

    async def _read(self, connection: AbstractConnection) -> None:
        verbs = self._verbs
        while True:
            try:
                reply = await read_reply(connection)
            except REFUSALS as exc:
                self._refused(f"{type(exc).__name__}: {exc}")
                continue
            match reply:
                case [verbs.message, name, payload]:
                    self._message_came(name, payload)
                case [verbs.subscribed, name, _]:
                    self._subscribed(name)
                case [verbs.unsubscribed, name, _]:
                    self._unsubscribed(name)
                case _:
                    log.warning("bus_reply_unknown", reply=repr(reply)[:200])

    async def _ask(self, connection: AbstractConnection) -> None:
        """Subscribe what is wanted, then the canary's channel (rule 2), then follow what is wanted."""
        while True:
            joins, leaves = self._subscriptions.due()
            names = [name_of(channel) for channel in joins]
            if self._asks_canary:
                self._asks_canary = False
                names.append(self.canary_name)
            most = self._verbs.joins_per_command
            await _send(connection, self._verbs.subscribe, names, most)
            await _send(connection, self._verbs.unsubscribe, [name_of(channel) for channel in leaves], most)
            await self._has_asks.wait()
            self._has_asks.clear()

    async def _end_if_deaf(self) -> None:
        began_at = time.monotonic()
        while True:
            await asyncio.sleep(self._canary_s)
            if time.monotonic() - max(began_at, self._heard_at) > _MISSES * self._canary_s:
                raise BusDown("no canary came back")

    def _subscribed(self, name: bytes) -> None:
        if name.startswith(CANARY_PREFIX):
            self._is_canary_joined = True
            self._send_canary()
            return
        channel = _channel(name)
        if self._subscriptions.joined(channel):
            self._has_asks.set()
        else:
            self._hears.joined(channel)
            if channel in self._gaps:
                self._gaps.remove(channel)
                self._has_filled |= self._is_announced  # else it is told with the announcement
                self._tell_of_gaps()

    def _unsubscribed(self, name: bytes) -> None:
        """The answer to ours, or the slot has left the server: no error says so."""
        if name.startswith(CANARY_PREFIX):
            self._is_canary_joined = False
            self._refused("the canary was unsubscribed")
            return
        channel = _channel(name)
        if self._subscriptions.is_settled(channel):
            self._subscriptions.evicted(channel)
            self._gaps.add(channel)
            self._refused("a channel was unsubscribed")
        elif self._subscriptions.left(channel):
            self._has_asks.set()

    def _tell_of_gaps(self) -> None:
        """Once for all that were joined again, after the last one."""
        if self._has_filled and not self._gaps:
            self._has_filled = False
            self._hears.changed(has_gap=True)

    def _refused(self, error: str) -> None:
        if not self._has_refused:  # until the map was read, one says it all
            self._has_refused = True
            log.info("bus_refused", server=self.server, error=error)
        self._strayed(self.server, ())

    def _refused_messages(self, messages: Sequence[Message]) -> None:
        self._strayed(self.server, messages)

    def _message_came(self, name: bytes, payload: bytes) -> None:
        if name.startswith(PREFIX):
            self._hears.message_came(name, payload)
            return
        try:
            self._canary_came(*self._decode_canary(payload))
        except msgspec.MsgspecError as exc:
            self._hears.malformed(name, exc)

    # --- proof of life

    async def _send_canaries(self) -> None:
        while True:
            heard_at = self._heard_at
            self._send_canary()
            await asyncio.sleep(self._canary_s)
            if self._heard_at == heard_at:
                self._misses += 1
                self._strayed(None, ())  # a replica may have taken over already
                if self._misses >= _MISSES and not self.is_down:
                    self._went_down()

    def _send_canary(self) -> None:
        payload = self._encode((self._life, time.monotonic()))
        self._writer.put(Message(self.canary_name, payload, is_canary=True, is_counted=False))

    def _canary_came(self, life: str, sent_at: float) -> None:
        if life != self._life:
            log.warning("bus_node_id_shared", canary=self.canary_name.decode())
            return
        self._heard_at = time.monotonic()
        self.lag_s = self._heard_at - sent_at
        self._misses = 0
        self._failures = 0
        if not self._is_announced:
            self._came_up()

    def _came_up(self) -> None:
        log.info("bus_up", server=self.server, lag_s=self.lag_s)
        self._statistics.reconnects += self._was_up
        self._is_announced = self._was_up = self.is_up = True
        self.is_down = False
        self._hears.changed(has_gap=True)

    def _went_down(self) -> None:
        log.warning("bus_down", server=self.server, misses=self._misses)
        self._is_announced = self.is_up = False
        self.is_down = True
        self._hears.changed(has_gap=False)


async def _send(connection: AbstractConnection, command: bytes, names: Sequence[bytes], most: int) -> None:
    if not names:
        return
    chunks = (names[at : at + most] for at in range(0, len(names), most))
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


def name_of(channel: Channel) -> bytes:
    """What Redis calls the channel."""
    return PREFIX + channel.encode()


def _channel(name: bytes) -> Channel:
    return Channel(name[len(PREFIX) :].decode())
