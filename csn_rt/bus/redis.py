"""The bus over Redis or Valkey, by pub/sub: one server, or a cluster of them by sharded pub/sub.

Rule 1: what proves life, and how connections are kept, is the shards' business (redis_shard.py). The bus is
        up when all its shards are, and down when one is down.
Rule 2: `status(True)` is told whenever the bus is up and messages may have been missed: after every
        reconnect, after a move from one shard to another, and when what was not subscribed in time is.
Rule 3: nothing that arrives, and nothing that a receiver does with it, ends the reader.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
import uuid_utils

from csn_rt.bus.base import BusDown, BusStatistics, Envelope
from csn_rt.bus.redis_cluster import Cluster
from csn_rt.bus.redis_connection import ANSWER_S
from csn_rt.bus.redis_messages import Message, counted
from csn_rt.bus.redis_shard import CANARY_PREFIX, PLAIN, Shard, name_of
from csn_rt.bus.redis_url import check_url, is_cluster
from csn_rt.wire.names import Channel

log = structlog.get_logger(__name__)


class RedisBus:
    """Raises ValueError if the URL is none; see redis_url.py for its forms."""

    def __init__(self, url: str, node_id: str, *, canary_s: float = 1.0) -> None:
        self._statistics = BusStatistics()
        self._shards: Shard | Cluster
        life = str(uuid_utils.uuid7())
        if is_cluster(url):
            self._shards = Cluster(
                url, node_id, hears=self, statistics=self._statistics, life=life, canary_s=canary_s
            )
        else:
            check_url(url)
            self._shards = Shard(
                url,
                CANARY_PREFIX + node_id.encode(),
                verbs=PLAIN,
                hears=self,
                strayed=lambda _complainer, _refused: None,  # it has only this place to be
                statistics=self._statistics,
                life=life,
                canary_s=canary_s,
            )
        self._wanted: set[Channel] = set()
        self._waiters: dict[Channel, asyncio.Future[None]] = {}
        self._receive: Callable[[Envelope], None] = lambda _envelope: None
        self._status: Callable[[bool], None] = lambda _is_up: None
        self._told: bool | None = None
        self._is_closed = False
        self._was_up = asyncio.Event()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_envelope = msgspec.msgpack.Decoder(Envelope).decode

    @property
    def is_up(self) -> bool:
        return self._told is True and not self._is_closed

    @property
    def is_sure(self) -> bool:
        return self.is_up and self._shards.is_sure

    @property
    def lag_s(self) -> float | None:
        return self._shards.lag_s

    def statistics(self) -> BusStatistics:
        return self._statistics

    async def start(self, receive: Callable[[Envelope], None], status: Callable[[bool], None]) -> None:
        """Return when the bus is up, or after a second without it: `status` has been told which."""
        self._receive = receive
        self._status = status
        self._shards.start()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._was_up.wait()
        except TimeoutError:
            if self._told is None:
                self._tell(is_up=False)

    def publish(self, envelope: Envelope) -> None:
        self._shards.publish(Message(name_of(envelope.channel), self._encode(envelope)))

    async def subscribe(self, channel: Channel) -> None:
        self._wanted.add(channel)
        self._shards.want(channel)
        if self._shards.is_settled(channel):
            return
        if self._shards.refuses(channel):
            self._shards.misses(channel)
            raise BusDown
        waiter = self._waiters.setdefault(channel, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.shield(waiter)
        except TimeoutError:
            if channel in self._wanted:
                self._shards.misses(channel)
            raise BusDown from None

    def unsubscribe(self, channel: Channel) -> None:
        self._wanted.discard(channel)
        self._shards.unwant(channel)
        self._give_up(channel)

    async def close(self) -> None:
        """Send what is waiting, for a second at most, and end every task."""
        self._statistics.dropped += counted(await self._shards.close())
        self._is_closed = True
        for channel in list(self._waiters):
            self._give_up(channel)

    # --- what the shards tell

    def message_came(self, name: bytes, payload: bytes) -> None:
        try:
            envelope = self._decode_envelope(payload)
        except msgspec.MsgspecError as exc:
            self.malformed(name, exc)
            return
        if envelope.channel in self._wanted:
            self._statistics.received += 1
            try:
                self._receive(envelope)
            except Exception:
                log.exception("bus_receive_failed", channel=envelope.channel)

    def malformed(self, name: bytes, error: Exception) -> None:
        self._statistics.malformed += 1
        count = self._statistics.malformed
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood of them must not flood the log
            log.warning("bus_message_malformed", channel=repr(name)[:200], error=str(error), count=count)

    def joined(self, channel: Channel) -> None:
        if waiter := self._waiters.pop(channel, None):
            waiter.set_result(None)

    def changed(self, *, has_gap: bool) -> None:
        if self._shards.is_down:
            if self._told is not False:
                self._tell(is_up=False)
        elif self._shards.is_up and (has_gap or not self._told):
            self._tell(is_up=True)

    def _tell(self, *, is_up: bool) -> None:
        self._told = is_up
        if is_up:
            self._was_up.set()
        try:
            self._status(is_up)
        except Exception:
            log.exception("bus_status_failed", is_up=is_up)

    def _give_up(self, channel: Channel) -> None:
        if waiter := self._waiters.pop(channel, None):
            waiter.set_exception(BusDown())
            waiter.exception()  # marks it as seen: nobody may be waiting any more
