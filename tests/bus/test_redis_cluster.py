"""What can happen to a Redis Cluster: slots move, masters die, stall or are replaced."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import pytest
from structlog.testing import capture_logs

from csn_rt.bus import redis_cluster as cluster_module
from csn_rt.bus import redis_writer
from csn_rt.bus.base import BusDown
from csn_rt.bus.redis import RedisBus
from csn_rt.bus.redis_messages import Message
from csn_rt.bus.redis_writer import RedisWriter
from csn_rt.wire.names import Channel
from tests.support.buses import Listener, eventually
from tests.support.redis_cluster import RedisCluster

CANARY_S = 0.5
"""Three of them are longer than a busy machine keeps a healthy server waiting."""
FAILOVER_S = 10.0


class Noting(Listener):
    """Remembers up to where others had spoken when it was told of the bus."""

    def __init__(self, bus: RedisBus) -> None:
        super().__init__(bus)
        self.said: Callable[[], int] = lambda: 0
        self.told_at = 0

    async def start(self) -> Self:
        await self.bus.start(self.received.append, self._tell)
        return self

    def _tell(self, is_up: bool) -> None:
        self.told.append(is_up)
        self.told_at = self.said()

    def lacks(self, channel: str, speaker: "Noting") -> list[int]:
        """What was said after the last word on the bus, here and where it was said, and did not come."""
        heard = set(offsets(self, channel))
        told_at = max(self.told_at, speaker.told_at)
        return [offset for offset in range(told_at + 1, self.said() + 1) if offset not in heard]


MakeListener = Callable[[str], Awaitable[Noting]]


@pytest.fixture
async def listen(redis_cluster: RedisCluster) -> AsyncIterator[MakeListener]:
    listeners: list[Noting] = []

    async def make(name: str) -> Noting:
        listeners.append(await Noting(RedisBus(redis_cluster.url, name, canary_s=CANARY_S)).start())
        return listeners[-1]

    yield make
    for listener in listeners:
        await listener.bus.close()


@pytest.fixture
async def ann(listen: MakeListener) -> Noting:
    return await listen("ann")


@pytest.fixture
async def bob(listen: MakeListener) -> Noting:
    return await listen("bob")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names under which servers took messages."""
    exchange, taken = RedisWriter._exchange, []

    async def note_what_is_taken(writer: RedisWriter, batch: list[Message]) -> list[Message]:
        refused = await exchange(writer, batch)
        taken.extend(message.name.decode() for message in batch if message not in refused)
        return refused

    monkeypatch.setattr(RedisWriter, "_exchange", note_what_is_taken)
    return taken


def offsets(listener: Listener, channel: str) -> list[int]:
    return [envelope.offset for envelope in listener.received if envelope.channel == channel]


@asynccontextmanager
async def talk(speaker: Listener, *channels: str) -> AsyncIterator[Callable[[], int]]:
    """Publish 1, 2, 3 … on each channel, and say how far it has come."""
    said = 0

    async def talk_on() -> None:
        nonlocal said
        while True:
            said += 1
            for channel in channels:
                speaker.say(channel, said)
            await asyncio.sleep(0.005)

    talking = asyncio.create_task(talk_on())
    try:
        yield lambda: said
    finally:
        talking.cancel()
        await asyncio.wait([talking])


async def heard_from(listener: Listener, channel: str, offset: int, within_s: float = 5.0) -> None:
    await eventually(lambda: any(n >= offset for n in offsets(listener, channel)), within_s)


def is_back(listener: Listener) -> bool:
    return len(listener.told) > 1 and listener.told[-1]


def are_consecutive(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_start_proves_every_shard(ann: Listener, redis_cluster: RedisCluster):
    shards = ann.bus._shards._shards

    assert [True] == ann.told
    assert {f"127.0.0.1:{server.client_port}" for server in redis_cluster.masters()} == set(shards)
    assert all(shard.is_up for shard in shards.values())


async def test_a_channel_of_each_shard_is_heard(ann: Noting, bob: Noting, redis_cluster: RedisCluster):
    channels = [redis_cluster.channel_on(server) for server in redis_cluster.masters()]
    await asyncio.gather(*(bob.bus.subscribe(Channel(channel)) for channel in channels))

    said = [ann.say(channel) for channel in channels]

    await bob.heard(3)
    assert {envelope.channel for envelope in said} == {envelope.channel for envelope in bob.received}


async def test_a_slot_that_moves_under_traffic_is_heard_on_and_the_others_lose_nothing(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    source, target, other = redis_cluster.masters()
    moving, *staying = (
        redis_cluster.channel_on(server, name)
        for server, name in ((source, "m"), (source, "s"), (target, "s"), (other, "s"))
    )
    for channel in (moving, *staying):
        await bob.bus.subscribe(Channel(channel))
    async with talk(ann, moving, *staying) as said:
        ann.said = bob.said = said
        await bob.heard(20)
        await asyncio.to_thread(redis_cluster.migrate, f"csn:{moving}", target)
        await eventually(lambda: bob.told == [True, True])
        await heard_from(bob, moving, said() + 20)
    await eventually(lambda: all(offsets(bob, channel)[-1] == said() for channel in (moving, *staying)))

    assert [] == bob.lacks(moving, ann)
    assert all(are_consecutive(offsets(bob, channel)) for channel in staying)
    assert 0 == ann.bus.statistics().dropped
    assert bob.bus.is_up


async def test_a_slot_that_moves_is_noticed_although_nothing_is_published(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    source, target, _ = redis_cluster.masters()
    channel = redis_cluster.channel_on(source)
    await bob.bus.subscribe(Channel(channel))

    await asyncio.to_thread(redis_cluster.migrate, f"csn:{channel}", target)
    await eventually(lambda: bob.told == [True, True])

    said = ann.say(channel)
    assert [said] == await bob.heard(1)
    assert [1] == [count for _, count in _subscribers(redis_cluster, channel)]


def _subscribers(cluster: RedisCluster, channel: str) -> list[tuple[int, int]]:
    found = [
        (server.number, server.admin.pubsub_shardnumsub(f"csn:{channel}")[0][1])
        for server in cluster.masters()
    ]
    return [each for each in found if each[1]]


async def test_a_slot_may_move_there_and_back_again_and_again(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    source, target, other = redis_cluster.masters()
    channel = redis_cluster.channel_on(source)
    await bob.bus.subscribe(Channel(channel))
    async with talk(ann, channel) as said:
        for server in (target, other, source, target, source):
            await asyncio.to_thread(redis_cluster.migrate, f"csn:{channel}", server)
        await heard_from(bob, channel, said() + 1)

    await eventually(lambda: [(source.number, 1)] == _subscribers(redis_cluster, channel))


async def test_a_channel_that_its_server_dropped_is_asked_for_there_again(
    bob: Noting, redis_cluster: RedisCluster
):
    server = redis_cluster.masters()[0]
    channel = redis_cluster.channel_on(server)
    await bob.bus.subscribe(Channel(channel))

    slot = cluster_module.key_slot(f"csn:{channel}".encode())
    server.admin.execute_command("CLUSTER SETSLOT", slot, "NODE", server.id)  # drops all of that slot
    await eventually(lambda: bob.told == [True, True])

    said = bob.say(channel)
    assert [said] == await bob.heard(1)


async def test_a_subscribe_where_the_slot_was_is_answered_where_it_is_and_disturbs_nothing(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    source, target, _ = redis_cluster.masters()
    moved, staying = redis_cluster.channel_on(source, "new"), redis_cluster.channel_on(source, "old")
    await bob.bus.subscribe(Channel(staying))
    await asyncio.to_thread(redis_cluster.migrate, f"csn:{moved}", target)

    await bob.bus.subscribe(Channel(moved))

    said = [ann.say(moved), ann.say(staying)]
    await bob.heard(2)
    assert {each.channel for each in said} == {each.channel for each in bob.received}
    assert 0 == bob.bus.statistics().reconnects


async def test_what_is_published_where_the_slot_was_arrives_where_it_is(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    """Ann subscribes to nothing of that slot, so nobody tells her that it moved."""
    source, target, _ = redis_cluster.masters()
    channel = redis_cluster.channel_on(source, "moved")
    await bob.bus.subscribe(Channel(channel))
    await asyncio.to_thread(redis_cluster.migrate, f"csn:{channel}", target)
    await eventually(lambda: bob.told == [True, True])
    assert ann.told == [True]

    said = [ann.say(channel, offset) for offset in range(1, 51)]

    assert said == await bob.heard(50)
    assert (50, 0) == (ann.bus.statistics().published, ann.bus.statistics().dropped)


async def test_what_nobody_takes_is_given_up_and_counted_and_told_when_somebody_does(
    ann: Listener, redis_cluster: RedisCluster, taken: list[str]
):
    source, target, _ = redis_cluster.masters()
    channel = redis_cluster.channel_on(source, "torn")
    slot_of = cluster_module.key_slot(f"csn:{channel}".encode())
    # Each says that the slot is the other's.
    for server, owner in ((source, target), (target, source)):
        server.admin.execute_command("CLUSTER SETSLOT", slot_of, "NODE", owner.id)
    try:
        ann.say(channel)
        await eventually(lambda: ann.bus.statistics().dropped == 1)
    finally:
        for server in redis_cluster.masters():
            server.admin.execute_command("CLUSTER SETSLOT", slot_of, "NODE", source.id)

    await eventually(lambda: f"csn:{channel}" in taken)
    assert (0, 1) == (ann.bus.statistics().published, ann.bus.statistics().dropped)


async def test_what_a_master_that_is_replaced_did_not_take_its_replica_is_given(
    ann: Noting, redis_cluster: RedisCluster, taken: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis_writer, "back_off_s", lambda _attempt: 60.0)  # what waits goes on waiting
    master = redis_cluster.replicated()
    failing, waiting = redis_cluster.channel_on(master, "f"), redis_cluster.channel_on(master, "w")
    with redis_cluster.stopped(master):
        ann.say(failing)
        await asyncio.sleep(0.05)
        ann.say(waiting)

        await eventually(lambda: {f"csn:{failing}", f"csn:{waiting}"} <= set(taken), FAILOVER_S)


async def test_while_it_is_not_known_what_was_refused_the_bus_is_not_sure(
    listen: MakeListener, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module.Cluster, "_strayed", lambda *_: None)  # the map stays old
    bob = await listen("bob")
    source, target, _ = redis_cluster.masters()
    channel = redis_cluster.channel_on(source, "moved")
    await asyncio.to_thread(redis_cluster.migrate, f"csn:{channel}", target)
    await eventually(lambda: bob.bus.is_sure)

    subscribing = asyncio.create_task(bob.bus.subscribe(Channel(channel)))
    await eventually(lambda: not bob.bus.is_sure, within_s=0.8)

    assert bob.bus.is_up
    assert not subscribing.done()
    with pytest.raises(BusDown):
        await subscribing


async def test_a_canary_goes_with_the_slots_of_its_shard(ann: Listener, redis_cluster: RedisCluster):
    source, target, _ = redis_cluster.masters()
    shard = next(
        shard for shard in ann.bus._shards._shards.values() if str(source.client_port) in shard.server
    )
    before = shard.canary_name

    await asyncio.to_thread(redis_cluster.migrate, before.decode(), target)
    await eventually(lambda: shard.canary_name != before)
    heard_at = shard._heard_at
    await eventually(lambda: shard._heard_at > heard_at)

    assert ann.bus.is_up
    assert False not in ann.told


async def test_the_map_is_looked_at_also_when_nobody_complains(
    listen: MakeListener, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "LOOK_S", 0.2)
    monkeypatch.setattr(cluster_module.Cluster, "_strayed", lambda *_: None)
    bob = await listen("bob")
    source, target, _ = redis_cluster.masters()
    channel = redis_cluster.channel_on(source, "quiet")
    await bob.bus.subscribe(Channel(channel))

    await asyncio.to_thread(redis_cluster.migrate, f"csn:{channel}", target)

    await eventually(lambda: bob.told == [True, True])
    said = bob.say(channel)
    assert [said] == await bob.heard(1)


@pytest.mark.parametrize("is_orderly", [True, False], ids=["by command", "by kill -9"])
async def test_a_failover_moves_the_channels_of_that_master_and_no_others(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster, is_orderly: bool
):
    master, replica = redis_cluster.replicated(), redis_cluster.replica()
    moving = redis_cluster.channel_on(master)
    staying = [redis_cluster.channel_on(server) for server in redis_cluster.masters() if server is not master]
    for channel in (moving, *staying):
        await bob.bus.subscribe(Channel(channel))
    with capture_logs() as logs:
        async with talk(ann, moving, *staying) as said:
            ann.said = bob.said = said
            await bob.heard(20)
            if is_orderly:
                await asyncio.to_thread(replica.admin.execute_command, "CLUSTER FAILOVER")
            else:
                await asyncio.to_thread(master.kill)
            await eventually(lambda: replica.is_master, FAILOVER_S)
            await eventually(lambda: is_back(ann) and is_back(bob), FAILOVER_S)
            await heard_from(bob, moving, said() + 20)
        await eventually(lambda: all(offsets(bob, channel)[-1] == said() for channel in (moving, *staying)))

    assert [] == bob.lacks(moving, ann)
    assert all(are_consecutive(offsets(bob, channel)) for channel in staying)
    assert [(replica.number, 1)] == _subscribers(redis_cluster, moving)
    assert redis_cluster.password not in repr(logs)


async def test_a_master_that_hangs_up_is_left_before_any_canary_is_missed(redis_cluster: RedisCluster):
    bob = await Listener(RedisBus(redis_cluster.url, "bob", canary_s=60.0)).start()
    master = redis_cluster.replicated()
    channel = redis_cluster.channel_on(master)
    await bob.bus.subscribe(Channel(channel))

    await asyncio.to_thread(master.kill)
    await eventually(lambda: is_back(bob), FAILOVER_S)

    said = bob.say(channel)
    assert [said] == await bob.heard(1)
    await bob.bus.close()


async def test_a_master_that_falls_silent_and_is_replaced_is_left(
    ann: Noting, bob: Noting, redis_cluster: RedisCluster
):
    """Its connections stay open: nothing but its canaries says that it is gone."""
    master, replica = redis_cluster.replicated(), redis_cluster.replica()
    channel = redis_cluster.channel_on(master)
    await bob.bus.subscribe(Channel(channel))
    with redis_cluster.stopped(master):
        await eventually(lambda: replica.is_master, FAILOVER_S)
        await eventually(lambda: is_back(ann) and is_back(bob), FAILOVER_S)
        said = ann.say(channel)
        await eventually(lambda: said in bob.received)

    assert [(replica.number, 1)] == _subscribers(redis_cluster, channel)


async def test_a_stopped_server_is_down_within_four_seconds_the_others_go_on_and_it_comes_back(
    redis_cluster: RedisCluster, listen: MakeListener
):
    """With the canaries' real pace."""
    ann = await Listener(RedisBus(redis_cluster.url, "ann")).start()
    stopped = redis_cluster.lonely()
    [other, *_] = [server for server in redis_cluster.masters() if server is not stopped]
    here, there = redis_cluster.channel_on(other), redis_cluster.channel_on(stopped)
    await ann.bus.subscribe(Channel(here))
    await ann.bus.subscribe(Channel(there))
    with redis_cluster.stopped(stopped):
        await eventually(lambda: not ann.bus.is_up, within_s=4.5)
        said = ann.say(here)
        await eventually(lambda: said in ann.received)
        dropped = ann.bus.statistics().dropped
        ann.say(there)
        assert dropped + 1 == ann.bus.statistics().dropped
        with pytest.raises(BusDown):
            await ann.bus.subscribe(Channel(f"{{csn:{there}}}"))  # of the same slot
    await eventually(lambda: ann.bus.is_up, within_s=5)

    said = ann.say(there)
    await eventually(lambda: said in ann.received)
    assert [True, False, True] == ann.told
    await ann.bus.close()


async def test_a_cluster_that_is_there_only_later_is_found(redis_cluster: RedisCluster):
    async with redis_cluster.unreachable():
        ann = await Listener(RedisBus(redis_cluster.url, "ann", canary_s=CANARY_S)).start()
        assert [False] == ann.told
        with pytest.raises(BusDown):
            await ann.bus.subscribe(Channel("a"))
    await eventually(lambda: ann.bus.is_up)
    said = ann.say("a")

    assert [said] == await ann.heard(1)
    assert [False, True] == ann.told
    await ann.bus.close()


async def test_one_seed_that_answers_is_enough(redis_cluster: RedisCluster):
    url = redis_cluster.url.replace("@", "@127.0.0.1:1,")
    ann = await Listener(RedisBus(url, "ann")).start()

    assert [True] == ann.told
    await ann.bus.close()


async def test_an_outage_is_no_storm_of_questions(ann: Listener, redis_cluster: RedisCluster):
    def questions() -> int:
        stats = [server.admin.info("commandstats") for server in redis_cluster.servers]
        return sum(each.get("cmdstat_cluster|slots", {"calls": 0})["calls"] for each in stats)

    before = questions()
    async with redis_cluster.proxy(redis_cluster.lonely()).unreachable():
        await eventually(lambda: not ann.bus.is_up)

    assert 1 <= questions() - before < 15


async def test_close_is_quick_while_the_cluster_does_not_answer(ann: Listener, redis_cluster: RedisCluster):
    for server in redis_cluster.servers:
        server.send_signal(signal.SIGSTOP)
    try:
        ann.say("a")
        async with asyncio.timeout(3):
            await ann.bus.close()
    finally:
        for server in redis_cluster.servers:
            server.send_signal(signal.SIGCONT)

    assert [] == [task for task in asyncio.all_tasks() if "bus" in task.get_name()]


async def test_a_slot_that_nobody_owns_is_down_and_the_others_go_on(
    ann: Listener, redis_cluster: RedisCluster, taken: list[str]
):
    source, other, _ = redis_cluster.masters()
    torn, whole = redis_cluster.channel_on(source, "torn"), redis_cluster.channel_on(other)
    slot = cluster_module.key_slot(f"csn:{torn}".encode())
    await ann.bus.subscribe(Channel(torn))
    await ann.bus.subscribe(Channel(whole))
    for server in redis_cluster.servers:
        server.admin.execute_command("CLUSTER DELSLOTS", slot)
    try:
        await eventually(lambda: not ann.bus.is_up)
        dropped = ann.bus.statistics().dropped
        ann.say(torn)
        assert dropped + 1 == ann.bus.statistics().dropped
        assert f"csn:{torn}" not in taken
        with pytest.raises(BusDown):
            await ann.bus.subscribe(Channel(torn))
        said = ann.say(whole)
        assert [said] == await ann.heard(1)
    finally:
        source.admin.execute_command("CLUSTER ADDSLOTS", slot)
    await eventually(lambda: ann.bus.is_up)
    await eventually(lambda: f"csn:{torn}" in taken)

    said = ann.say(torn)
    await eventually(lambda: said in ann.received)
    assert [True, False, True, True] == ann.told, "up, and up again when that channel was joined"
