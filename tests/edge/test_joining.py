"""What a subscriber is told of what it missed: positions that are older, newer or of another time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csn_rt.bus.memory import MemoryHub
from csn_rt.core.identity import Identity
from csn_rt.core.ring import Ring
from csn_rt.core.subscription import Subscription
from csn_rt.db import log
from csn_rt.edge.joining import (
    MAX_BYTES_AT_ONCE,
    MAX_RECOVERED_BYTES,
    MAX_RECOVERED_EVENTS,
    Doorkeeper,
    Snapshot,
    SubscribeRefused,
)
from csn_rt.edge.topics import AnyLine
from csn_rt.errors import Unavailable
from csn_rt.wire import names
from csn_rt.wire.names import CATALOG, Address, Area
from csn_rt.wire.protocol import StreamPosition
from csn_rt.wire.roles import Role
from tests.edge.test_topics import NodeTopics, commit, heard
from tests.support.peers import FakePeer

ANN = Identity(user_id="ann", role=Role.USER)


class House:
    """A node with a door; `snapshot` may be replaced."""

    def __init__(self, node: NodeTopics) -> None:
        self.node = node
        self.snapshot: Snapshot = self.know_nothing
        self.door = Doorkeeper(
            db=node.db,
            topics=node.topics,
            stream_exists=self._exists,
            snapshots={Area.USER: self._look},
        )

    async def know_nothing(self, _identity: Identity, _address: Address) -> tuple[int, bytes]:
        return 0, b"{}"

    async def _look(self, identity: Identity, address: Address) -> tuple[int, bytes]:
        return await self.snapshot(identity, address)

    async def _exists(self, _stream_id: str) -> bool:
        return True

    async def join(
        self, since: StreamPosition | None = None, name: str = CATALOG
    ) -> tuple[FakePeer, AnyLine, Subscription]:
        peer = FakePeer()
        line, subscription = await self.door.join(peer, ANN, name, since)
        return peer, line, subscription

    async def epoch(self) -> str:
        async with self.node.db.connection() as connection:
            return (await log.ensure(connection, CATALOG)).epoch


@pytest.fixture
async def house(db) -> AsyncIterator[House]:
    node = NodeTopics("here", db, MemoryHub())
    await node.start()
    yield House(node)
    await node.close()


def offsets(subscription: Subscription) -> list[int]:
    return [offset for offset, _ in subscription.publications]


async def test_rule_2_what_was_missed_is_all_between_the_position_and_the_place(house, db):
    await commit(db, "one", "two", "three")
    _, _, subscription = await house.join(StreamPosition(1, await house.epoch()))

    assert subscription.is_recovered
    assert offsets(subscription) == [2, 3]


async def test_rule_2_what_the_memory_has_lost_is_read_from_the_log(house, db):
    await commit(db, *map(str, range(250)))
    _, line, subscription = await house.join(StreamPosition(5, await house.epoch()))

    assert line.topic.memory.after(5) is None
    assert offsets(subscription) == list(range(6, 251))


async def test_rule_2_what_the_log_has_lost_is_not_recovered(house, db):
    await commit(db, *map(str, range(250)))
    async with db.connection() as connection:
        await connection.execute('DELETE FROM channel_log WHERE "offset" = 6')
    _, _, subscription = await house.join(StreamPosition(5, await house.epoch()))

    assert not subscription.is_recovered
    assert (subscription.offset, offsets(subscription)) == (250, [])


async def test_rule_2_so_many_events_are_recovered_and_not_one_more(house, db):
    await commit(db, *map(str, range(MAX_RECOVERED_EVENTS + 1)))
    epoch = await house.epoch()
    _, _, most = await house.join(StreamPosition(1, epoch))
    _, _, too_many = await house.join(StreamPosition(0, epoch))

    assert offsets(most) == list(range(2, MAX_RECOVERED_EVENTS + 2))
    assert not too_many.is_recovered


async def test_rule_2_so_many_bytes_are_recovered_and_not_more(house, db):
    await commit(db, *["x" * (MAX_RECOVERED_BYTES // 4 - 2)] * 5)
    epoch = await house.epoch()
    _, _, most = await house.join(StreamPosition(1, epoch))
    _, _, too_many = await house.join(StreamPosition(0, epoch))

    assert offsets(most) == [2, 3, 4, 5]
    assert not too_many.is_recovered


async def test_everything_since_the_beginning_is_recovered_without_an_epoch(house, db):
    await commit(db, "one", "two")
    _, _, subscription = await house.join(StreamPosition(0, ""))

    assert subscription.is_recovered
    assert offsets(subscription) == [1, 2]


async def test_who_missed_nothing_is_recovered_with_nothing(house, db):
    await commit(db, "one")
    _, _, subscription = await house.join(StreamPosition(1, await house.epoch()))

    assert subscription.is_recovered
    assert offsets(subscription) == []


async def test_a_position_of_another_epoch_is_not_recovered(house, db):
    await commit(db, "one", "two")
    _, _, subscription = await house.join(StreamPosition(1, "otherone"))

    assert not subscription.is_recovered
    assert (subscription.offset, subscription.epoch) == (2, await house.epoch())


async def test_rule_3_who_saw_more_than_this_node_gets_what_comes_after_that(house, db):
    await house.join()
    await commit(db, "one", "two")
    peer, line, subscription = await house.join(StreamPosition(2, await house.epoch()))
    line.topic.admit(peer)
    house.node.tell(await commit(db, "three"))

    assert subscription.is_recovered
    await heard(peer, "three")


async def test_rule_3_who_saw_what_waits_for_a_flush_here_has_not_seen_too_much(house, db):
    epoch = await house.epoch()
    _, line, _ = await house.join()
    for event in await commit(db, "one", "two", "three"):
        line.take(event)  # the flush is due in a later turn of the loop
    peer, line, subscription = await house.join(StreamPosition(2, epoch))
    line.topic.admit(peer)

    assert subscription.is_recovered
    await heard(peer, "three")


async def test_rule_3_a_position_beyond_the_end_of_the_log_is_not_recovered(house, db):
    await commit(db, "one")
    _, _, subscription = await house.join(StreamPosition(2**63 - 1, await house.epoch()))

    assert not subscription.is_recovered
    assert subscription.offset == 1


async def test_a_topic_that_restarts_meanwhile_does_not_lend_its_new_epoch_to_an_old_position(
    house, db, monkeypatch
):
    """Or the client would come back with it and be told that it missed nothing."""
    await commit(db, *map(str, range(250)))
    epoch = await house.epoch()
    line = await house.node.topics.open(CATALOG)
    read_after = log.read_after

    async def read_and_restart(*args: Any) -> Any:
        events = await read_after(*args)
        assert isinstance(line.topic.memory, Ring)
        line.topic.memory.restart("otherone", 300)
        line.restart()
        return events

    monkeypatch.setattr(log, "read_after", read_and_restart)
    peer, line, subscription = await house.join(StreamPosition(5, epoch))

    assert subscription.epoch == epoch
    assert not line.topic.admit(peer)


def at_once(house: House, since: StreamPosition | None, name: str = CATALOG) -> tuple[FakePeer, Any]:
    peer = FakePeer()
    return peer, house.door.join_nowait(peer, ANN, name, since)


@pytest.mark.parametrize(("offset", "epoch"), [(1, None), (3, None), (1, ""), (1, "another"), (None, None)])
async def test_at_once_a_subscriber_is_told_the_same_as_by_waiting(house, db, offset, epoch):
    await commit(db, "one", "two", "three")
    await house.node.topics.open(CATALOG)
    since = offset and StreamPosition(offset, await house.epoch() if epoch is None else epoch)
    peer, (line, subscription) = at_once(house, since)
    _, _, by_waiting = await house.join(since)

    assert subscription == by_waiting
    assert len(line.topic) == 2
    assert line.topic.admit(peer)


async def test_at_once_nothing_is_answered_that_must_be_waited_for(house, db):
    await commit(db, *map(str, range(250)))
    epoch = await house.epoch()
    _, closed = at_once(house, None)
    line = await house.node.topics.open(CATALOG)
    _, forgotten = at_once(house, StreamPosition(5, epoch))
    _, not_seen = at_once(house, StreamPosition(251, epoch))
    await house.node.topics.open(names.user("ann"))
    _, snapshot = at_once(house, None, names.user("ann"))

    assert [closed, forgotten, not_seen, snapshot] == [None] * 4
    assert len(line.topic) == 0


async def test_at_once_only_little_is_recovered(house, db):
    half = "x" * (MAX_BYTES_AT_ONCE // 2 - 2)
    await commit(db, half, half, half)
    await house.node.topics.open(CATALOG)
    epoch = await house.epoch()
    _, (_, little) = at_once(house, StreamPosition(1, epoch))
    _, much = at_once(house, StreamPosition(0, epoch))

    assert offsets(little) == [2, 3]
    assert much is None


async def test_at_once_who_may_not_is_refused(house):
    with pytest.raises(SubscribeRefused):
        at_once(house, None, names.user("ben"))


async def test_rule_1_what_comes_while_the_missed_is_read_is_pushed_after_it(house, db, monkeypatch):
    await commit(db, *map(str, range(250)))
    await house.node.topics.open(CATALOG)
    read_after = log.read_after

    async def read_and_speak(*args: Any) -> Any:
        events = await read_after(*args)
        house.node.tell(await commit(db, "late"))
        return events

    monkeypatch.setattr(log, "read_after", read_and_speak)
    peer, line, subscription = await house.join(StreamPosition(5, await house.epoch()))
    line.topic.admit(peer)

    assert offsets(subscription) == list(range(6, 251))
    await heard(peer, "late")


async def test_rule_1_what_comes_while_the_snapshot_is_made_is_pushed_after_it(house, db):
    async def look_slowly(*_args: Any) -> tuple[int, bytes]:
        house.node.tell(await commit(db, "late", channel=names.user("ann")))
        return 0, b"{}"

    house.snapshot = look_slowly
    peer, line, _ = await house.join(name=names.user("ann"))
    line.topic.admit(peer)

    await heard(peer, "late")


@pytest.mark.parametrize("name", [CATALOG, names.user("ann")])
async def test_who_cannot_be_served_keeps_no_place(house, db, monkeypatch, name):
    async def be_away(*_args: Any) -> Any:
        raise Unavailable("away")

    await commit(db, *map(str, range(250)))
    line = await house.node.topics.open(name)
    house.snapshot = be_away
    monkeypatch.setattr(log, "read_after", be_away)
    with pytest.raises(Unavailable):
        await house.join(StreamPosition(5, await house.epoch()), name)

    assert len(line.topic) == 0


@pytest.mark.parametrize("name", [CATALOG, names.user("ann")])
async def test_who_leaves_before_the_answer_keeps_no_place(house, db, monkeypatch, name):
    async def wait(*_args: Any) -> Any:
        await asyncio.sleep(60)

    await commit(db, *map(str, range(250)))
    line = await house.node.topics.open(name)
    house.snapshot = wait
    monkeypatch.setattr(log, "read_after", wait)
    attempt = asyncio.create_task(house.join(StreamPosition(5, await house.epoch()), name))
    async with asyncio.timeout(5):
        while not len(line.topic):
            await asyncio.sleep(0.005)
    attempt.cancel()
    await asyncio.wait([attempt])

    assert len(line.topic) == 0
