"""What leases on a Redis Cluster have to bear."""

import asyncio
import uuid

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError
from structlog.testing import capture_logs

from csn_rt.bus.leases import Ask, Count, End, Hold, LeaseTimes
from csn_rt.bus.leases_cluster import LeaseCluster
from csn_rt.bus.leases_redis import RedisLeases
from csn_rt.bus.leases_server import LeaseServer, key_of
from csn_rt.bus.redis_slots import SLOTS, SlotMap
from tests.support.redis_cluster import ClusterServer, RedisCluster

LEASE_MS = 60_000


@pytest.fixture
async def leases(redis_cluster: RedisCluster):
    leases = RedisLeases(redis_cluster.url)
    yield leases
    await leases.close()


def ask(broadcast_id: str = "", person: str = "u:ann") -> Ask:
    hold = Hold(person, str(uuid.uuid5(uuid.NAMESPACE_OID, person)), LEASE_MS)
    return Ask(broadcast_id=broadcast_id or str(uuid.uuid4()), age_ms=0, holds=[hold])


def broadcast_on(cluster: RedisCluster, server: ClusterServer) -> str:
    while cluster.owner(key_of(broadcast_id := str(uuid.uuid4()))) is not server:
        pass
    return broadcast_id


async def counted(leases: RedisLeases, ask: Ask, within_s: float = 10.0) -> Count:
    """The first answer."""
    async with asyncio.timeout(within_s):
        while True:
            [count] = await leases.count([ask])
            if count is not None:
                return count
            await asyncio.sleep(0.05)


async def test_broadcasts_of_all_servers_are_counted_together(leases, redis_cluster):
    asks = [ask(broadcast_on(redis_cluster, server)) for server in redis_cluster.masters()]

    counts = await leases.count(asks * 2)

    assert [1] * 6 == [count.viewers for count in counts]


async def test_all_that_is_asked_of_one_server_goes_in_one_round_trip(leases, redis_cluster):
    server = redis_cluster.masters()[0]
    asks = [ask(broadcast_on(redis_cluster, server)) for _ in range(20)]
    await leases.count(asks)
    before = server.admin.info("stats")["total_reads_processed"]

    await leases.count(asks)

    assert server.admin.info("stats")["total_reads_processed"] - before < 10, "cluster and replica talk too"


async def test_a_broadcast_goes_with_its_slot(leases, redis_cluster):
    source, target, _ = redis_cluster.masters()
    first = ask(broadcast_on(redis_cluster, source))
    await leases.count([first])

    await asyncio.to_thread(redis_cluster.migrate, key_of(first.broadcast_id), target)
    [count] = await leases.count([ask(first.broadcast_id, "u:bob")])

    assert 2 == count.viewers, "what was held moved with it, and the answer came at once"


async def test_while_a_slot_is_moving_an_answer_is_right_or_missing(leases, redis_cluster):
    source, target, other = redis_cluster.masters()
    first, beside = ask(broadcast_on(redis_cluster, source)), ask(broadcast_on(redis_cluster, other))
    await leases.count([first, beside])
    name = key_of(first.broadcast_id)
    slot = key_slot(name.encode())
    target.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
    source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
    keys = source.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
    move = ("MIGRATE", "127.0.0.1", target.port, "", 0, 1000, "AUTH", redis_cluster.password, "KEYS")

    seen = [await leases.count([first, beside])]
    source.admin.execute_command(*move, keys[0])
    seen.append(await leases.count([first, beside]))
    source.admin.execute_command(*move, *keys[1:])
    seen.append(await leases.count([first, beside]))
    await asyncio.to_thread(redis_cluster.migrate, name, target)
    seen.append([await counted(leases, each) for each in (first, beside)])

    assert [1, None, None, 1] == [count and count.viewers for count, _ in seen]
    assert [1] * 4 == [count.viewers for _, count in seen]


async def test_a_crowd_in_parts_is_counted_as_a_whole_also_after_a_move(leases, redis_cluster):
    source, target, _ = redis_cluster.masters()
    broadcast_id = broadcast_on(redis_cluster, source)
    await leases.count([ask(broadcast_id)])
    await asyncio.to_thread(redis_cluster.migrate, key_of(broadcast_id), target)
    crowd = [Hold(f"u:{n}", str(uuid.UUID(int=n)), LEASE_MS) for n in range(1_200)]

    [count] = await leases.count([Ask(broadcast_id=broadcast_id, age_ms=0, holds=crowd)])

    assert 1_201 == count.viewers


async def test_a_crowd_of_which_one_part_is_refused_is_asked_for_again_as_a_whole(redis_cluster, monkeypatch):
    """Else the last part, which answers for all, would have counted without the others."""
    asked: list[list[int]] = []

    async def ask_but_refuse_once(_self, _found, _calls, due, answers, _within_s) -> None:
        asked.append(list(due))
        for n in due:
            answers[n] = MovedError("1 127.0.0.1:1") if len(asked) == 1 and n == 1 else "counted"

    monkeypatch.setattr(LeaseCluster, "_ask", ask_but_refuse_once)
    cluster = LeaseCluster(redis_cluster.url, LeaseTimes())

    answers = await cluster.call([ask("a"), ask("b"), ask("b"), ask("c")])

    assert [[0, 1, 2, 3], [1, 2]] == asked
    assert ["counted"] * 4 == answers
    await cluster.close()


async def test_a_server_that_does_not_answer_spoils_only_its_own(leases, redis_cluster):
    stalled, other, _ = redis_cluster.masters()
    spoiled, good = ask(broadcast_on(redis_cluster, stalled)), ask(broadcast_on(redis_cluster, other))
    await leases.count([spoiled, good])
    async with redis_cluster.proxy(stalled).stall(), asyncio.timeout(2):
        counts = await leases.count([spoiled, good])

    assert [None, 1] == [counts[0], counts[1].viewers]
    assert 1 == (await counted(leases, spoiled)).viewers


async def test_who_did_not_answer_is_waited_for_only_shortly_until_it_answers(redis_cluster, monkeypatch):
    call, waits = LeaseServer.call, []

    async def note_how_long(server: LeaseServer, calls: list[Ask], within_s: float) -> list[object]:
        if calls[0].broadcast_id == spoiled.broadcast_id:
            waits.append(within_s)
        return await call(server, calls, within_s)

    monkeypatch.setattr(LeaseServer, "call", note_how_long)
    stalled, other, _ = redis_cluster.masters()
    spoiled, good = ask(broadcast_on(redis_cluster, stalled)), ask(broadcast_on(redis_cluster, other))
    leases = RedisLeases(redis_cluster.url)
    with capture_logs() as logs:
        async with redis_cluster.proxy(stalled).stall():
            counts = [await leases.count([spoiled, good]) for _ in range(3)]
    back = await counted(leases, spoiled)
    await leases.count([spoiled])
    await leases.close()

    assert [(None, 1)] * 3 == [(none, count.viewers) for none, count in counts]
    assert 1 == back.viewers
    assert [False, True, True] == [wait <= 0.1 for wait in waits[:3]]
    assert waits[-1] > 0.5
    assert 1 == [line["event"] for line in logs].count("leases_away")


async def test_a_server_that_needs_longer_is_found_to_be_awake(leases, redis_cluster):
    """To connect and to sign in may take longer than the others wait."""
    first = ask(broadcast_on(redis_cluster, redis_cluster.masters()[0]))
    await leases.count([first])
    proxy = redis_cluster.proxy(redis_cluster.masters()[0])
    async with proxy.stall():
        assert [None] == await leases.count([first])
    proxy.cut()
    async with proxy.slow(0.06):  # one way
        assert 1 == (await counted(leases, first)).viewers


async def test_two_rounds_may_learn_at_once_that_servers_are_gone(leases, redis_cluster, monkeypatch):
    asks = [ask(broadcast_on(redis_cluster, server)) for server in redis_cluster.masters()]
    await leases.count(asks)
    cluster, close = leases._servers, LeaseServer.close
    closed: list[LeaseServer] = []

    async def close_slowly(server: LeaseServer) -> None:
        await asyncio.sleep(0)
        closed.append(server)
        await close(server)

    monkeypatch.setattr(LeaseServer, "close", close_slowly)
    [left, *_] = cluster._servers
    cluster._slots.map = smaller = SlotMap([left] * SLOTS, frozenset({left}), frozenset({left}))

    await asyncio.gather(*(cluster._ask(smaller, [], [], [], 1.0) for _ in range(2)))

    assert [left] == list(cluster._servers)
    assert 2 == len(closed)


async def test_after_a_failover_the_counts_go_on(leases, redis_cluster):
    master, replica = redis_cluster.replicated(), redis_cluster.replica()
    first, beside = (
        ask(broadcast_on(redis_cluster, master)),
        ask(broadcast_on(redis_cluster, redis_cluster.lonely())),
    )
    before, _ = await leases.count([first, beside])
    await asyncio.to_thread(master.admin.execute_command, "WAIT", 1, 1000)
    with capture_logs() as logs:
        await asyncio.to_thread(master.kill)
        count = await counted(leases, ask(first.broadcast_id, "u:bob"))
        assert 1 == (await counted(leases, beside)).viewers

    assert replica.is_master
    assert (2, before.life) == (count.viewers, count.life), "the replica had it all"
    assert redis_cluster.password not in repr(logs)


async def test_a_cluster_that_is_gone_answers_nothing_and_raises_nothing_until_it_is_back(redis_cluster):
    leases = RedisLeases(redis_cluster.url)
    async with redis_cluster.unreachable():
        assert [None, None] == await leases.count([ask(), ask()])
    first = ask()
    assert 1 == (await counted(leases, first)).viewers
    async with redis_cluster.unreachable():
        assert [None] == await leases.count([first])

    count = await counted(leases, Ask(broadcast_id=first.broadcast_id, age_ms=0, ends=[End("u:eve", "x")]))
    assert 1 == count.viewers
    await leases.close()
    await leases.close()
