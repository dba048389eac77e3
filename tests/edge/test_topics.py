"""The lines of a node, on a real log and a bus that fails on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from csn_rt.bus.base import Envelope
from csn_rt.bus.memory import MemoryBus, MemoryHub
from csn_rt.db import log
from csn_rt.db.log import Outgoing
from csn_rt.db.pool import Database
from csn_rt.edge import topics as topics_module
from csn_rt.edge.telling import Teller, envelopes
from csn_rt.edge.topics import Topics
from csn_rt.errors import Unavailable
from csn_rt.wire import names
from csn_rt.wire.names import CATALOG, Channel
from csn_rt.wire.published import Published
from tests.support.peers import FakePeer

USER = names.user("ann")


class NodeTopics:
    """One node's topics, its bus and what it was told was lost."""

    def __init__(self, node_id: str, db: Database, hub: MemoryHub) -> None:
        self.db = db
        self.bus = MemoryBus(hub)
        self.closed: list[Channel] = []
        self.topics = Topics(
            node_id=node_id,
            db=db,
            bus=self.bus,
            opened=lambda _channel: None,
            closed=self.closed.append,
        )
        self.tell = Teller(node_id=node_id, bus=self.bus, topics=self.topics)

    async def start(self) -> None:
        await self.bus.start(self.topics.receive, lambda _is_up: self.topics.bus_changed())
        await self.topics.start()

    async def close(self) -> None:
        await self.topics.close()
        await self.bus.close()

    async def subscribe(self, channel: Channel) -> FakePeer:
        line = await self.topics.open(channel)
        peer = FakePeer()
        line.topic.join(peer)
        assert line.topic.admit(peer)
        return peer


async def commit(db: Database, *data: str, channel: Channel = CATALOG) -> list[Published]:
    async with db.transaction() as connection:
        return await log.append(connection, [Outgoing(channel, f'"{each}"'.encode()) for each in data])


async def heard(peer: FakePeer, *data: str) -> None:
    """Wait until the peer has exactly this."""
    expected = [f'"{each}"'.encode() for each in data]
    async with asyncio.timeout(5):
        while peer.got != expected:
            assert peer.got == expected[: len(peer.got)]
            await asyncio.sleep(0.005)


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@pytest.fixture
async def here(db, hub) -> AsyncIterator[NodeTopics]:
    node = NodeTopics("here", db, hub)
    await node.start()
    yield node
    await node.close()


@pytest.fixture
async def there(db, hub) -> AsyncIterator[NodeTopics]:
    node = NodeTopics("there", db, hub)
    await node.start()
    yield node
    await node.close()


async def test_what_one_node_tells_reaches_subscribers_of_both(here, there):
    near, far = await here.subscribe(CATALOG), await there.subscribe(CATALOG)
    here.tell(await commit(here.db, "one", "two"))

    await heard(near, "one", "two")
    await heard(far, "one", "two")


async def test_rule_2_events_that_come_in_another_order_are_delivered_in_theirs(here):
    peer = await here.subscribe(CATALOG)
    first, second = await commit(here.db, "one", "two")
    here.topics.accept(second)
    here.topics.accept(first)

    await heard(peer, "one", "two")


async def test_rule_2_an_event_that_never_comes_is_fetched_from_the_log(here):
    peer = await here.subscribe(CATALOG)
    _, second = await commit(here.db, "one", "two")
    here.topics.accept(second)

    await heard(peer, "one", "two")


async def test_an_event_that_comes_twice_is_delivered_once(here):
    peer = await here.subscribe(CATALOG)
    (event,) = await commit(here.db, "one")
    here.tell([event])
    here.tell([event])
    here.tell(await commit(here.db, "two"))

    await heard(peer, "one", "two")


async def test_rule_3_a_hole_in_a_state_channel_makes_its_subscribers_begin_anew(here, monkeypatch):
    monkeypatch.setattr(topics_module, "HOLD_STATE_S", 0.01)
    peer = await here.subscribe(USER)
    _, second = await commit(here.db, "one", "two", channel=USER)
    here.topics.accept(second)
    async with asyncio.timeout(5):
        while not peer.lost_channels:
            await asyncio.sleep(0.005)

    assert peer.lost_channels == [USER]
    assert peer.got == []


async def test_rule_3_a_hole_in_the_log_itself_makes_its_subscribers_begin_anew(here):
    peer = await here.subscribe(CATALOG)
    _, second = await commit(here.db, "one", "two")
    async with here.db.connection() as connection:
        await connection.execute("DELETE FROM channel_log")
    here.topics.accept(second)
    async with asyncio.timeout(5):
        while not peer.lost_channels:
            await asyncio.sleep(0.005)

    assert peer.lost_channels == [CATALOG]


async def test_rule_4_without_a_bus_what_was_committed_still_arrives(here, there, hub):
    peer = await there.subscribe(CATALOG)
    hub.go_down()
    here.tell(await commit(here.db, "one"))
    here.tell(await commit(here.db, "two"))

    await heard(peer, "one", "two")


async def test_rule_4_a_bus_that_comes_back_is_followed_by_a_comparison_at_once(
    here, there, hub, monkeypatch
):
    monkeypatch.setattr(topics_module, "COMPARE_UNSURE_S", 60.0)
    peer = await there.subscribe(CATALOG)
    hub.go_down()
    await asyncio.sleep(0.05)
    here.tell(await commit(here.db, "one"))
    hub.come_back()

    await heard(peer, "one")


async def test_a_person_nobody_told_anything_has_no_row_and_misses_nothing(here):
    peer = await here.subscribe(USER)
    async with here.db.connection() as connection:
        heads = await log.heads_of(connection, [USER])
    here.tell(await commit(here.db, "one", channel=USER))

    await heard(peer, "one")
    assert heads == {}


async def test_a_missed_first_event_on_a_state_channel_is_noticed(here, monkeypatch):
    monkeypatch.setattr(topics_module, "HOLD_STATE_S", 0.01)
    peer = await here.subscribe(USER)
    _, second = await commit(here.db, "one", "two", channel=USER)
    here.tell([second])
    async with asyncio.timeout(5):
        while not peer.lost_channels:
            await asyncio.sleep(0.005)

    assert peer.lost_channels == [USER]


async def test_a_new_epoch_makes_subscribers_begin_anew(here):
    peer = await here.subscribe(CATALOG)
    async with here.db.connection() as connection:
        await connection.execute("DELETE FROM channel_log; DELETE FROM channels")
    here.tell(await commit(here.db, "one"))
    async with asyncio.timeout(5):
        while not peer.lost_channels:
            await asyncio.sleep(0.005)

    assert peer.lost_channels == [CATALOG]


async def test_rule_1_what_is_told_while_a_topic_opens_is_not_missed(here, db):
    """Twenty topics open while their channels are spoken on all the time."""
    channels = [names.stream_chat(f"00000000-0000-0000-0000-{n:012}") for n in range(20)]

    async def speak(channel: Channel) -> None:
        for n in range(10):
            here.tell(await commit(db, f"{n}", channel=channel))

    async def listen(channel: Channel) -> tuple[int, FakePeer]:
        line = await here.topics.open(channel)
        peer = FakePeer()
        place = line.topic.join(peer)
        assert line.topic.admit(peer)
        return place, peer

    places = await asyncio.gather(*map(listen, channels), *map(speak, channels))

    for place, peer in places[:20]:
        await heard(peer, *[f"{n}" for n in range(place, 10)])


async def test_rule_5_a_topic_without_subscribers_lingers_and_is_then_closed(here, monkeypatch):
    monkeypatch.setattr(topics_module, "LINGER_S", 0.05)
    await here.topics.close()
    await here.topics.start()
    peer = await here.subscribe(CATALOG)
    line = await here.topics.open(CATALOG)
    line.topic.leave(peer)
    here.topics.release(CATALOG)
    was_open = here.topics.get(CATALOG) is not None
    await asyncio.sleep(0.3)

    assert was_open
    assert here.closed == [CATALOG]


async def test_a_node_that_is_behind_catches_up_with_what_a_client_has_seen(here):
    await here.subscribe(CATALOG)
    line = await here.topics.open(CATALOG)
    await commit(here.db, "one", "two")
    await here.topics.catch_up(line, 2)

    assert line.topic.memory.top == 2


async def test_a_redaction_reaches_the_memory_of_every_node(here, there):
    await there.subscribe(CATALOG)
    here.tell(await commit(here.db, "rude"))
    async with here.db.transaction() as connection:
        gone = await log.append(connection, [Outgoing(CATALOG, b'"gone"', (1,))])
    here.tell(gone)
    await asyncio.sleep(0.05)
    line = await there.topics.open(CATALOG)

    assert line.topic.memory.after(0) == [(1, b'"gone"'), (2, b'"gone"')]


def test_adjacent_events_of_a_channel_travel_in_one_envelope():
    one, two, four = (Published(CATALOG, "abcdefgh", n, b"%d" % n) for n in (1, 2, 4))
    other = Published(USER, "abcdefgh", 7, b"x")

    assert envelopes("me", [one, other, two, four]) == [
        Envelope("me", CATALOG, "abcdefgh", 1, [b"1", b"2"]),
        Envelope("me", USER, "abcdefgh", 7, [b"x"]),
        Envelope("me", CATALOG, "abcdefgh", 4, [b"4"]),
    ]


def test_an_event_that_redacts_ends_its_envelope():
    one = Published(CATALOG, "abcdefgh", 8, b"1", (3,))
    two = Published(CATALOG, "abcdefgh", 9, b"2")

    assert [envelope.redacts for envelope in envelopes("me", [one, two])] == [[3], []]


@asynccontextmanager
async def reading_interrupted(monkeypatch, interrupt: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """While the log is read for the first time, after the reading and before its answer is used."""
    read_after = log.read_after
    interrupts = [interrupt]

    async def read(*args: Any) -> list[Published]:
        events = await read_after(*args)
        if interrupts:
            await interrupts.pop()()
        return events

    with monkeypatch.context() as patch:
        patch.setattr(log, "read_after", read)
        yield


async def test_what_comes_late_while_the_hole_is_read_loses_nobody(here, monkeypatch):
    peer = await here.subscribe(CATALOG)
    first, second, third = await commit(here.db, "one", "two", "three")

    async def come_late() -> None:
        here.topics.accept(first)

    async with reading_interrupted(monkeypatch, come_late):
        here.topics.accept(third)
        await heard(peer, "one", "two", "three")
        here.topics.accept(second)
        await asyncio.sleep(0.05)

    assert peer.lost_channels == []


async def test_rule_2_a_hole_that_appears_while_another_is_repaired_is_fetched_too(here, monkeypatch):
    monkeypatch.setattr(topics_module, "COMPARE_LOGS_S", 60.0)
    await here.topics.close()
    await here.topics.start()
    peer = await here.subscribe(CATALOG)
    _, second = await commit(here.db, "one", "two")

    async def skip_one() -> None:
        _, fourth = await commit(here.db, "three", "four")
        here.topics.accept(fourth)

    async with reading_interrupted(monkeypatch, skip_one):
        here.topics.accept(second)
        await heard(peer, "one", "two", "three", "four")


async def test_rule_4_what_is_found_while_something_is_repaired_is_repaired_too(here, monkeypatch):
    for name in ("COMPARE_LOGS_S", "COMPARE_UNSURE_S"):
        monkeypatch.setattr(topics_module, name, 60.0)
    await here.topics.close()
    await here.topics.start()
    await asyncio.sleep(0.05)
    peer = await here.subscribe(CATALOG)
    first, second, third, _, _ = await commit(here.db, "one", "two", "three", "four", "five")
    here.topics.accept(first)
    here.topics.accept(third)  # a repair is due in a moment
    here.topics.bus_changed()
    await asyncio.sleep(0.01)
    here.topics.accept(second)

    await heard(peer, "one", "two", "three", "four", "five")


async def test_rule_4_a_comparison_that_fails_is_soon_made_again(here, monkeypatch):
    monkeypatch.setattr(topics_module, "COMPARE_LOGS_S", 60.0)
    monkeypatch.setattr(topics_module, "COMPARE_UNSURE_S", 0.05)
    await here.topics.close()
    await here.topics.start()
    peer = await here.subscribe(CATALOG)
    await asyncio.sleep(0.2)
    read_heads, failures = log.heads_of, [Unavailable("away"), Unavailable("away")]

    async def heads_of(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read_heads(*args)

    monkeypatch.setattr(log, "heads_of", heads_of)
    await commit(here.db, "one")
    here.topics.bus_changed()

    await heard(peer, "one")


async def test_what_cannot_be_told_is_still_committed(here, monkeypatch):
    monkeypatch.setattr(here.topics, "accept", lambda _event: 1 / 0)
    here.tell(await commit(here.db, "one"))


async def test_catching_up_goes_on_after_a_repair_that_saw_less(here, monkeypatch):
    await here.subscribe(CATALOG)
    line = await here.topics.open(CATALOG)
    _, second = await commit(here.db, "one", "two")
    caught_up: list[asyncio.Task[None]] = []

    async def come_back_with_more() -> None:
        await commit(here.db, "three")
        caught_up.append(asyncio.create_task(here.topics.catch_up(line, 3)))
        await asyncio.sleep(0)

    async with reading_interrupted(monkeypatch, come_back_with_more):
        here.topics.accept(second)
        async with asyncio.timeout(5):
            while not caught_up:
                await asyncio.sleep(0.005)
            await caught_up[0]

    assert line.topic.memory.top == 3


async def test_catching_up_without_a_database_is_not_taken_for_caught_up(here, monkeypatch):
    await here.subscribe(CATALOG)
    line = await here.topics.open(CATALOG)

    async def be_away(*_args: Any) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(log, "heads_of", be_away)
    with pytest.raises(Unavailable):
        await here.topics.catch_up(line, 2)


async def test_an_offset_that_nobody_gave_out_is_not_waited_for(here):
    await here.subscribe(CATALOG)
    line = await here.topics.open(CATALOG)
    async with asyncio.timeout(2):
        await here.topics.catch_up(line, 2**63 - 1)

    assert line.topic.memory.top == 0


async def test_events_too_large_for_the_memory_are_delivered_before_they_are_forgotten(here):
    peer = await here.subscribe(CATALOG)
    large = [f"{n}" + "x" * 40_000 for n in range(60)]
    here.tell(await commit(here.db, *large))
    here.tell(await commit(here.db, "small"))

    await heard(peer, *large, "small")


async def test_rule_5_a_topic_that_was_opened_in_vain_is_closed_too(here, monkeypatch):
    monkeypatch.setattr(topics_module, "LINGER_S", 0.05)
    await here.topics.close()
    await here.topics.start()
    await here.topics.open(CATALOG)
    await here.topics.open(CATALOG)
    await asyncio.sleep(0.3)

    assert here.closed == [CATALOG]
    assert here.topics.get(CATALOG) is None


async def test_rule_5_a_topic_with_subscribers_is_not_closed(here, monkeypatch):
    monkeypatch.setattr(topics_module, "LINGER_S", 0.05)
    await here.topics.close()
    await here.topics.start()
    await here.subscribe(CATALOG)
    await asyncio.sleep(0.3)

    assert here.closed == []


async def test_an_opening_that_fails_leaves_nothing_behind(here, monkeypatch):
    async def be_away(*_args: Any) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(log, "ensure", be_away)
        opening = asyncio.create_task(here.topics.open(CATALOG))
        (early,) = await commit(here.db, "early")
        here.topics.accept(early)
        with pytest.raises(Unavailable):
            await opening
    peer = await here.subscribe(CATALOG)
    here.tell(await commit(here.db, "late"))

    await heard(peer, "late")


async def test_who_gives_up_while_a_topic_opens_does_not_take_it_from_the_others(here):
    impatient = asyncio.create_task(here.topics.open(CATALOG))
    patient = asyncio.create_task(here.subscribe(CATALOG))
    await asyncio.sleep(0)
    impatient.cancel()
    peer = await patient
    here.tell(await commit(here.db, "one"))

    await heard(peer, "one")


async def test_rule_1_a_channel_is_heard_before_its_head_is_read(here, there, monkeypatch):
    ensure = log.ensure

    async def ensure_and_speak(*args: Any) -> log.Head:
        head = await ensure(*args)
        there.tell(await commit(there.db, "meanwhile"))
        await asyncio.sleep(0.01)
        return head

    monkeypatch.setattr(log, "ensure", ensure_and_speak)
    line = await here.topics.open(CATALOG)

    assert line.topic.memory.top == 1
