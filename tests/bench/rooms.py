"""Rooms in which people talk, on one node: what the benches of rooms measure, once for each of their rows."""

import asyncio
import math
import time

from msgspec import Struct

from csn_rt.wire import names
from tests.bench.crowd import Seen, crowd
from tests.bench.stage import percentile, set_stage
from tests.bench.talkers import invite

QUIET_S = 1.0
"""Before the load, so that the arrival of the crowd is over."""


class Load(Struct, frozen=True, kw_only=True):
    subscribers: int
    """In all rooms together."""
    rooms: int = 1
    per_s: int
    """Messages in all rooms together."""
    seconds: int
    is_compressed: bool = False
    """For all subscribers."""

    @property
    def deliveries(self) -> int:
        """Messages times the subscribers of their room."""
        return sum(
            len(range(room, self.per_s * self.seconds, self.rooms))
            * len(range(room, self.subscribers, self.rooms))
            for room in range(self.rooms)
        )


class Figures(Struct, frozen=True, kw_only=True):
    load: Load
    seen: Seen
    acknowledged_s: list[float]
    retries: int
    """Of sends that the node could not answer in time."""
    elapsed_s: float
    cpu_s: float
    """Of the node."""
    rss_bytes: int
    """Of the node, under load."""
    idle_bytes: int
    """By how much the subscribers made it grow before anything was said."""

    @property
    def messages(self) -> int:
        return len(self.acknowledged_s)

    @property
    def is_complete(self) -> bool:
        """Every subscriber has every message of its room, once and in order."""
        return self.seen.messages == self.load.deliveries and not self.seen.incomplete

    @property
    def cores(self) -> float:
        return self.cpu_s / self.elapsed_s

    @property
    def message_cpu_us(self) -> float:
        """Of the node, for each message, with all that it takes."""
        return self.cpu_s * 1e6 / self.messages

    @property
    def delivery_cpu_us(self) -> float:
        """The same for each message and subscriber."""
        return self.cpu_s * 1e6 / self.seen.messages

    @property
    def idle_kib(self) -> float:
        """Of the node, for each subscriber before anything was said."""
        return self.idle_bytes / self.load.subscribers / 1024

    @property
    def messages_per_frame(self) -> float:
        return self.seen.messages / self.seen.frames

    @property
    def message_bytes(self) -> float:
        """On the wire, for each message delivered."""
        return self.seen.wire_bytes / self.seen.messages

    @property
    def p99_ms(self) -> float:
        """From the send to the delivery."""
        if not self.is_complete:
            return math.inf
        return percentile(self.seen.message_latencies_s, 0.99) * 1000


async def measure(load: Load) -> Figures:
    """On a stage of its own, so that no row of a table carries what another has left."""
    async with set_stage(streams=load.rooms, CSN_COMPRESSION=str(int(load.is_compressed))) as stage:
        channels = [[names.stream_chat(stream_id)] for stream_id in stage.stream_ids]
        empty_bytes = stage.rss_bytes()
        ws_url = stage.nodes[0].ws_url
        with crowd(ws_url, channels, load.subscribers, is_compressed=load.is_compressed) as subscribers:
            idle_bytes = stage.rss_bytes() - empty_bytes
            talkers = await invite(ws_url)
            await asyncio.sleep(QUIET_S)
            cpu_before, started = stage.cpu_s(), time.perf_counter()
            await talkers.talk(stage.stream_ids, per_s=load.per_s, duration_s=load.seconds)
            seen = await subscribers.leave(load.deliveries)
            cpu_s, elapsed_s = stage.cpu_s() - cpu_before, time.perf_counter() - started
            rss_bytes = stage.rss_bytes()
            talkers.leave()
    return Figures(
        load=load,
        seen=seen,
        acknowledged_s=talkers.acknowledged_s,
        retries=talkers.retries,
        elapsed_s=elapsed_s,
        cpu_s=cpu_s,
        rss_bytes=rss_bytes,
        idle_bytes=idle_bytes,
    )
