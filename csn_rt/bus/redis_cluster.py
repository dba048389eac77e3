"""The shards of a Redis Cluster: one per master, and which of them carries which channel.

Rule 1: a channel is on the shard that owns its slot. When the map changes, the channels of other slots are
        not touched.
Rule 2: the map is asked for when a server refuses something or is lost, and every ten seconds or so, because
        a server that is cut off from the others may still answer us well.
Rule 3: what is published where its slot is no more is sent to the new owner, a few times at most. Then it is
        dropped and counted, as what is published to a shard that is down. The newest of each channel that was
        dropped is tried again whenever the map was read.
Rule 4: every master is in use, because what people write here may be of any slot: one shard that is down, or
        one slot that nobody owns, and the bus is down. The other shards go on.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

import msgspec
import structlog
from redis.crc import key_slot

from csn_rt.bus.base import BusStatistics
from csn_rt.bus.redis_messages import Message, Untold
from csn_rt.bus.redis_shard import CANARY_PREFIX, SHARDED, Hears, Shard, name_of
from csn_rt.bus.redis_slots import SlotMap, Slots
from csn_rt.wire.names import Channel

log = structlog.get_logger(__name__)

LOOK_S: Final = 10.0
_JITTER: Final = 0.3
# The pauses between questions grow to a second: this is about as long as an election takes.
_MOST_REFUSALS: Final = 5
_MOST_ASTRAY: Final = 1_000


class Cluster:
    def __init__(
        self, url: str, node_id: str, *, hears: Hears, statistics: BusStatistics, life: str, canary_s: float
    ) -> None:
        self._slots = Slots(url)
        self._map: SlotMap | None = None
        """What was acted on."""
        self._node_id = node_id.encode()
        self._hears = hears
        self._statistics = statistics
        self._life = life
        self._canary_s = canary_s
        self._shards: dict[str, Shard] = {}
        self._wanted: dict[Channel, int] = {}
        """With their slots."""
        self._placed: dict[Channel, Shard] = {}
        self._astray: deque[Message] = deque()
        self._untold = Untold()
        self._must_look = asyncio.Event()
        self._complainer: str | None = None
        self._looking: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def is_up(self) -> bool:
        is_whole = self._map is not None and self._map.is_whole
        return is_whole and all(shard.is_up for shard in self._shards.values())

    @property
    def is_down(self) -> bool:
        is_torn = self._map is not None and not self._map.is_whole
        return is_torn or any(shard.is_down for shard in self._shards.values())

    @property
    def is_sure(self) -> bool:
        return all(shard.is_sure for shard in self._shards.values())

    @property
    def lag_s(self) -> float | None:
        """That of the slowest."""
        return max((shard.lag_s for shard in self._shards.values() if shard.lag_s is not None), default=None)

    def start(self) -> None:
        self._must_look.set()
        self._looking = asyncio.create_task(self._look_forever(), name="bus-cluster")

    async def close(self) -> list[Message]:
        """Send what is waiting, for a second at most, and end every task; answers what was not sent."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        retiring = asyncio.gather(*self._retiring)
        unsent = await asyncio.gather(*(shard.close() for shard in self._shards.values()))
        await retiring
        astray, self._astray = self._astray, deque()
        return [*chain.from_iterable(unsent), *astray]

    def publish(self, message: Message) -> None:
        shard = self._owner(key_slot(message.name))
        if shard is None:
            self._drop(message)
        else:
            shard.publish(message)

    def want(self, channel: Channel) -> None:
        self._wanted[channel] = key_slot(name_of(channel))
        self._place(channel)

    def unwant(self, channel: Channel) -> None:
        self._wanted.pop(channel, None)
        if (shard := self._placed.pop(channel, None)) is not None:
            shard.unwant(channel)

    def is_settled(self, channel: Channel) -> bool:
        return (shard := self._placed.get(channel)) is not None and shard.is_settled(channel)

    def refuses(self, channel: Channel) -> bool:
        """Whether it is known that a subscribe will not be answered."""
        return (shard := self._placed.get(channel)) is None or shard.is_down

    def misses(self, channel: Channel) -> None:
        """What is said there now may be missed: say so when it is joined."""
        if (shard := self._placed.get(channel)) is not None:  # else it will be when it is placed
            shard.misses(channel)

    # --- following the map

    async def _look_forever(self) -> None:
        while True:
            complainer, self._complainer = self._complainer, None
            self._must_look.clear()
            try:
                found = await self._slots.refresh(self._slots.map, complainer)
                if found is None or not found.is_whole:
                    self._must_look.set()
                if found is not None:
                    self._follow(found)
            except Exception:
                log.exception("cluster_not_followed")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S * random.uniform(1 - _JITTER, 1 + _JITTER)):
                    await self._must_look.wait()

    def _follow(self, found: SlotMap) -> None:
        if found is not self._map:
            self._map = found
            self._change_shards(found)
            for channel, slot in self._wanted.items():
                if self._owner(slot) is not self._placed.get(channel):
                    self._place(channel, is_moved=True)
        for server, shard in self._shards.items():
            name = shard.canary_name
            is_right = found.owners[key_slot(name)] == server
            shard.ask_again(name if is_right else self._canary_name(found, server))
        astray, self._astray = self._astray, deque()
        for message in (*astray, *self._untold.take(len(self._untold))):
            self.publish(message)
        self._hears.changed(has_gap=False)

    def _change_shards(self, found: SlotMap) -> None:
        for server in found.masters - self._shards.keys():
            self._shards[server] = shard = Shard(
                self._slots.server_url(server),
                self._canary_name(found, server),
                verbs=SHARDED,
                hears=self._hears,
                strayed=self._strayed,
                statistics=self._statistics,
                life=self._life,
                canary_s=self._canary_s,
            )
            shard.start()
        for server in self._shards.keys() - found.masters:
            retiring = asyncio.create_task(self._retire(self._shards.pop(server)), name="bus-retiring")
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, shard: Shard) -> None:
        for message in await shard.close():
            self.publish(message)

    def _canary_name(self, found: SlotMap, server: str) -> bytes:
        return found.find_name(server, CANARY_PREFIX, self._node_id)

    def _owner(self, slot: int) -> Shard | None:
        server = self._map.owners[slot] if self._map is not None else None
        return self._shards[server] if server is not None else None

    def _place(self, channel: Channel, *, is_moved: bool = False) -> None:
        shard, before = self._owner(self._wanted[channel]), self._placed.pop(channel, None)
        if before is not None and before is not shard:
            before.unwant(channel)
        if shard is not None:
            self._placed[channel] = shard
            shard.want(channel, is_moved=is_moved)

    def _strayed(self, complainer: str | None, refused: Sequence[Message]) -> None:
        for message in refused:
            if message.is_canary:
                continue
            if message.refusals < _MOST_REFUSALS and len(self._astray) < _MOST_ASTRAY:
                self._astray.append(msgspec.structs.replace(message, refusals=message.refusals + 1))
            else:
                self._drop(message)
        self._complainer = complainer or self._complainer
        self._must_look.set()

    def _drop(self, message: Message) -> None:
        self._statistics.dropped += message.is_counted
        self._untold.keep(message)
