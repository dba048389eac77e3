"""The channels that this node carries: opened by the first subscriber, fed by the bus, repaired from the log.

Rule 1: a channel is subscribed on the bus before its head is read, so nothing falls between the two.
Rule 2: what does not come by itself is fetched from `channel_log` after a moment.
Rule 3: a state channel with a head keeps no events: when one is missing, its subscribers are told to
        subscribe again and get a snapshot. The same when a log channel's hole cannot be filled any more.
Rule 4: the heads in the database are compared: of logs every second, of states every few seconds, and of all
        twice a second from the moment in which the bus is no longer sure to deliver. So what another node
        could not tell, because it alone is cut off, is not late by more than a second.
Rule 5: a channel without subscribers lingers, so that a reconnect finds it warm, and is then closed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from csn_rt.bus.base import Bus, BusDown, Envelope
from csn_rt.core.ring import Latest, Ring
from csn_rt.core.topic import Topic
from csn_rt.db import log
from csn_rt.db.batch import Batcher
from csn_rt.edge.line import Line, Taken
from csn_rt.errors import Unavailable
from csn_rt.features.context import Database
from csn_rt.telemetry import metrics
from csn_rt.wire.names import Channel, parse_channel, public_name
from csn_rt.wire.published import Published

logger = structlog.get_logger(__name__)

AnyLine = Line[Ring] | Line[Latest]

LINGER_S: Final = 30.0
"""Longer than the longest back-off of an SDK (20 s): a reconnecting crowd is served from memory."""
HOLD_S: Final = 0.03
"""How long an event that is ahead waits for those before it: two nodes' publishes cross within
milliseconds."""
HOLD_STATE_S: Final = 0.2
"""The same for channels that keep no events, where a repair costs every subscriber a snapshot."""
COMPARE_LOGS_S: Final = 1.0
COMPARE_STATES_S: Final = 5.0
"""There is one for every person who is here."""
COMPARE_UNSURE_S: Final = 0.5
COMPARE_CHANNELS: Final = 1_000
WARM_EVENTS: Final = 128
"""How many events a newly opened topic fetches, so that short absences are recovered from memory."""
REPAIR_EVENTS: Final = 500
UNBORN: Final = log.Head("", 0)
"""Where a channel stands that nothing was ever said on."""


class Topics:
    """`opened` and `closed` are told of the first interest in a channel and of the end of all interest."""

    def __init__(
        self,
        *,
        node_id: str,
        db: Database,
        bus: Bus,
        opened: Callable[[Channel], None],
        closed: Callable[[Channel], None],
    ) -> None:
        self._node_id = node_id
        self._db = db
        self._bus = bus
        self._opened = opened
        self._closed = closed
        self._lines: dict[Channel, AnyLine] = {}
        self._opening: dict[Channel, asyncio.Task[AnyLine]] = {}
        self._early: dict[Channel, list[Published]] = {}
        self._background: list[asyncio.Task[None]] = []
        self._must_compare = asyncio.Event()
        self._compare_at = {True: 0.0, False: 0.0}
        """When the heads of logs (True) and of states are compared next, if nothing happens."""
        self._heads: Batcher[Channel, log.Head] = Batcher(self._read_heads)

    @property
    def subscriptions(self) -> int:
        return sum(len(line.topic) for line in self._lines.values())

    def get(self, channel: Channel) -> AnyLine | None:
        return self._lines.get(channel)

    async def start(self) -> None:
        self._background = [
            asyncio.create_task(self._compare_for_ever()),
            asyncio.create_task(self._close_idle()),
        ]

    async def close(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._background, *self._opening.values()]
        tasks += [line.repair for line in self._lines.values() if line.repair is not None]
        for line in self._lines.values():
            line.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open(self, channel: Channel) -> AnyLine:
        """The channel's line, at its head. Raises Unavailable when the database is away."""
        if (line := self._lines.get(channel)) is not None:
            line.idle_since = asyncio.get_running_loop().time()
            return line
        if (opening := self._opening.get(channel)) is None:
            opening = self._opening[channel] = asyncio.create_task(self._load(channel))
            # Everyone who waits may have gone when it fails: look at the exception so that it is not
            # reported as lost.
            opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(opening)

    def release(self, channel: Channel) -> None:
        """A subscriber left: if it was the last one, the topic begins to linger."""
        line = self._lines.get(channel)
        if line is not None and not len(line.topic):
            line.idle_since = asyncio.get_running_loop().time()

    def bus_changed(self) -> None:
        """The bus went down or came back: messages may be missing, so the heads are compared at once."""
        self._must_compare.set()

    def receive(self, envelope: Envelope) -> None:
        """Events from another node."""
        if envelope.origin == self._node_id:
            return
        last = len(envelope.events) - 1
        for n, data in enumerate(envelope.events):
            redacts = tuple(envelope.redacts) if n == last else ()
            self.accept(Published(envelope.channel, envelope.epoch, envelope.offset + n, data, redacts))

    def accept(self, event: Published) -> None:
        """Take an event, in whatever order events come."""
        line = self._lines.get(event.channel)
        if line is None:
            if event.channel in self._opening:
                self._early.setdefault(event.channel, []).append(event)
            return
        if line.take(event) is not Taken.IN_LINE:
            self._start_repair(line, event.offset)

    async def catch_up(self, line: AnyLine, offset: int) -> None:
        """Read the log up to an offset that somebody has seen and this node has not, or up to its end.

        Raises Unavailable when the database is away.
        """
        memory: Ring | Latest = line.topic.memory
        if memory.top < offset and line.repair is not None:
            await asyncio.shield(line.repair)  # it may have begun before that offset was
        if memory.top < offset:
            is_done = await asyncio.shield(self._start_repair(line, offset, is_urgent=True))
            if not is_done:
                raise Unavailable("the database does not answer; try again")

    # Opening and closing

    async def _load(self, channel: Channel) -> AnyLine:
        try:
            try:
                await self._bus.subscribe(channel)
            except BusDown:
                logger.info("topic_opened_without_bus", channel=channel)
            line = await self._make_line(channel)
            self._lines[channel] = line
            self._opened(channel)
            line.idle_since = asyncio.get_running_loop().time()
        except BaseException:
            self._bus.unsubscribe(channel)
            raise
        finally:
            early = self._early.pop(channel, [])
            self._opening.pop(channel, None)
        for event in early:
            self.accept(event)
        return line

    async def _make_line(self, channel: Channel) -> AnyLine:
        address = parse_channel(channel)
        area = address.area if address else None
        if area is None or not area.has_head:
            return Line(Topic(channel, Latest(), shows_offset=False), is_conflated=True)
        if area.is_log:
            async with self._db.connection() as connection:
                head = await log.ensure(connection, channel)
                warm = await log.read_before(connection, channel, head.offset + 1, WARM_EVENTS)
        else:
            # Most people's channels are never spoken on: they get no row until they are.
            head, warm = await self._heads.put(channel), []
        ring = Ring(head.epoch, head.offset)
        ring.prepend(warm)
        return Line(Topic(channel, ring, shows_offset=area.is_log), is_conflated=False)

    async def _read_heads(self, channels: Sequence[Channel]) -> list[log.Head]:
        """Of all people who come at the same moment."""
        async with self._db.connection() as connection:
            heads = await log.heads_of(connection, channels)
        return [heads.get(channel, UNBORN) for channel in channels]

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(LINGER_S / 3)
            limit = asyncio.get_running_loop().time() - LINGER_S
            for line in list(self._lines.values()):
                if line.idle_since < limit and not len(line.topic):
                    self._close(line)

    def _close(self, line: AnyLine) -> None:
        channel = line.topic.channel
        line.close()
        del self._lines[channel]
        self._bus.unsubscribe(channel)
        self._closed(channel)

    # Repair

    async def _compare_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(COMPARE_UNSURE_S):
                    await self._must_compare.wait()
                self._must_compare.clear()
                is_urgent = True
            except TimeoutError:
                is_urgent = not self._bus.is_sure
            for are_logs, every_s in ((True, COMPARE_LOGS_S), (False, COMPARE_STATES_S)):
                now = asyncio.get_running_loop().time()
                if is_urgent or now >= self._compare_at[are_logs]:
                    self._compare_at[are_logs] = now + every_s
                    await self._try_compare(are_logs)

    async def _try_compare(self, are_logs: bool) -> None:
        try:
            await self._compare(are_logs)
        except Unavailable:
            logger.info("heads_not_compared")
        except Exception:
            logger.exception("comparing_heads_failed")
        else:
            return
        self._compare_at[are_logs] = 0.0  # whatever was to be found is still to be found

    async def _compare(self, are_logs: bool) -> None:
        """Find the lines that stand below their channel's head, and repair them."""
        numbered = [
            channel
            for channel, line in self._lines.items()
            if isinstance(line.topic.memory, Ring) and line.topic.shows_offset is are_logs
        ]
        for start in range(0, len(numbered), COMPARE_CHANNELS):
            async with self._db.connection() as connection:
                heads = await log.heads_of(connection, numbered[start : start + COMPARE_CHANNELS])
            for channel, head in heads.items():
                line = self._lines.get(channel)
                if line is None or not isinstance(line.topic.memory, Ring):
                    continue
                memory = line.topic.memory
                if head.epoch != memory.epoch or head.offset > memory.top:
                    self._start_repair(line, head.offset)

    def _start_repair(self, line: AnyLine, up_to: int, *, is_urgent: bool = False) -> asyncio.Task[bool]:
        line.wanted_up_to = max(line.wanted_up_to, up_to)
        if line.repair is None:
            is_log = line.topic.shows_offset
            hold_s = 0.0 if is_urgent else HOLD_S if is_log else HOLD_STATE_S
            line.repair = asyncio.create_task(self._repair(line, up_to, hold_s))
        return line.repair

    async def _repair(self, line: AnyLine, up_to: int, hold_s: float) -> bool:
        """Answers whether the log could be read."""
        topic = line.topic
        try:
            await asyncio.sleep(hold_s)
            if isinstance(topic.memory, Ring):
                await self._fill(line, topic.memory, up_to)
        except Unavailable:
            logger.info("repair_put_off", channel=topic.channel)
            self._compare_at[topic.shows_offset] = 0.0
            return False
        except Exception:
            logger.exception("repair_failed", channel=topic.channel)
            return False
        finally:
            line.repair = None
            line.forget_held()
        # Another hole may have appeared, or been found, while this one was repaired.
        wanted, line.wanted_up_to = max(line.wanted_up_to, line.held_up_to), 0
        if wanted > max(up_to, topic.memory.top):
            self._start_repair(line, wanted)
        return True

    async def _fill(self, line: AnyLine, memory: Ring, up_to: int) -> None:
        channel = line.topic.channel
        while True:
            async with self._db.connection() as connection:
                head = (await log.heads_of(connection, [channel])).get(channel, UNBORN)
                if head.epoch == memory.epoch and memory.top >= min(up_to, head.offset):
                    return
                is_log = line.topic.shows_offset
                after = memory.top
                events = await log.read_after(connection, channel, after, REPAIR_EVENTS) if is_log else []
            has_moved = memory.top > after  # what was missing came by itself while the log was read
            if head.epoch != memory.epoch or not (has_moved or _follows(events, after)):
                self._restart(line, memory, head)
                return
            for event in events:
                line.take(event)
            metrics.gaps_repaired.inc()
            logger.info("gap_repaired", channel=channel, after=after, up_to=memory.top)

    def _restart(self, line: AnyLine, memory: Ring, head: log.Head) -> None:
        """What is missing cannot be had: stand at the head, and let the subscribers begin anew."""
        memory.restart(head.epoch, head.offset)
        lost = line.restart()
        logger.info("topic_restarted", channel=line.topic.channel, at=head.offset, lost=len(lost))
        for peer in lost:
            peer.lost(public_name(line.topic.channel))
        self.release(line.topic.channel)


def _follows(events: Sequence[Published], top: int) -> bool:
    return bool(events) and events[0].offset == top + 1
