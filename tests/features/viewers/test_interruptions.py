"""Rules 2.3 and 2.7: Redis unreachable, emptied, stalled; a node killed. In real time on real Redis."""

import asyncio
import time

import pytest
import redis.asyncio

from csn_rt.bus.leases_redis import RedisLeases
from tests.features.viewers.stage import anonymous, caller, eventually
from tests.support.proxy import Proxy

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def proxy(redis_url):
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def node(real_stage, proxy):
    return await real_stage.node("one", RedisLeases(proxy.url))


@pytest.fixture
async def other(real_stage):
    return await real_stage.node("two")


@pytest.fixture
async def stream_id(real_stage, node, other):
    stream_id = await real_stage.stream()
    for each in (node, other):
        each.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    return stream_id


@pytest.fixture
async def admin(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as admin:
        yield admin


def seen(push):
    return push["viewers"], push["stale"]


async def test_while_redis_is_away_the_last_number_is_shown_as_stale_once(node, other, stream_id, proxy):
    await node.start(ANN, stream_id)
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 1)
    before = len(node.heard(stream_id))
    async with proxy.unreachable():
        await eventually(lambda: node.heard(stream_id)[-1]["stale"])
        await asyncio.sleep(1.5)

        assert [(1, True)] == [seen(push) for push in node.heard(stream_id)[before:]]
        assert (1, True) == seen(await node.snapshot(stream_id))
        count = await node.count(stream_id)
        assert (1, True) == (count.viewers, count.stale)

    await eventually(lambda: not node.heard(stream_id)[-1]["stale"])
    assert [(1, True), (1, False)] == [seen(push) for push in node.heard(stream_id)[before:]]
    # For the other node Redis was there all the time.
    assert all(not push["stale"] for push in other.heard(stream_id))


async def test_while_redis_is_away_a_player_is_answered_at_once_with_the_best_that_is_known(
    node, stream_id, proxy
):
    for n in range(3):
        await node.start(caller(f"fan {n}"), stream_id)
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 3)
    async with proxy.unreachable():
        await eventually(lambda: node.heard(stream_id)[-1]["stale"])

        assert 4 == (await node.start(ANN, stream_id)).viewers
        started = time.monotonic()
        for broadcast_id in node.viewers._board.broadcasts():
            await node.viewers._counting.wait_counted(broadcast_id)
        assert 0.1 > time.monotonic() - started

    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 4, within_s=4)


async def test_the_first_player_is_at_least_one_viewer_also_without_redis(node, stream_id, proxy):
    async with proxy.unreachable():
        assert 1 == (await node.start(ANN, stream_id)).viewers


async def test_who_came_and_went_while_redis_was_away_is_right_soon_after(node, stream_id, proxy):
    ann = await node.start(ANN, stream_id)
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 1)
    async with proxy.unreachable():
        await eventually(lambda: node.heard(stream_id)[-1]["stale"])
        await node.end(ANN, ann.session_id)
        for n in range(4):
            await node.start(caller(f"fan {n}"), stream_id)

    await eventually(lambda: seen(node.heard(stream_id)[-1]) == (4, False), within_s=5)


async def test_a_redis_that_hangs_is_stale_too_and_holds_nobody_up(node, stream_id, proxy):
    await node.start(ANN, stream_id)
    async with proxy.stall():
        started = time.monotonic()
        assert 1 <= (await node.start(BEN, stream_id)).viewers
        assert 1.6 > time.monotonic() - started
        await eventually(lambda: node.heard(stream_id)[-1]["stale"])

    await eventually(lambda: seen(node.heard(stream_id)[-1]) == (2, False), within_s=5)


async def test_a_node_that_starts_without_redis_shows_the_last_sample_as_stale(
    real_stage, node, stream_id, proxy
):
    broadcast = await real_stage.row("SELECT id FROM live_broadcasts")
    await real_stage.execute(
        "INSERT INTO live_viewer_samples VALUES ($1, now() - interval '8 s', 42, 50, 1, 1)", broadcast["id"]
    )
    async with proxy.unreachable():
        newcomer = await real_stage.node("three", RedisLeases(proxy.url))
        newcomer.viewers.watch(stream_id)

        snapshot = await newcomer.snapshot(stream_id)

    assert (42, True) == seen(snapshot)


@pytest.mark.parametrize("has_viewers", [True, False])
async def test_after_flushall_the_number_is_right_within_5_s_and_never_wrong_before(
    real_stage, node, other, stream_id, admin, has_viewers
):
    for each in (node, other):
        for n in range(3 if has_viewers else 0):
            await each.start(anonymous(f"{each.name} {n}"), stream_id)
    gone = await node.start(ANN, stream_id)
    expected = 6 if has_viewers else 0
    await eventually(lambda: other.heard_numbers(stream_id)[-1] == expected + 1)
    await node.end(ANN, gone.session_id)
    await eventually(lambda: other.heard_numbers(stream_id)[-1] == expected)
    # Of a broadcast that began just now, nobody would expect that it had viewers.
    await real_stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '1 hour'")
    await node.look()
    await other.look()
    before = len(node.heard(stream_id))
    await admin.flushall()

    took_s = await eventually(lambda: len(node.heard(stream_id)) >= before + 2, within_s=5)
    await eventually(lambda: not other.heard(stream_id)[-1]["stale"], within_s=5 - took_s)

    assert {(expected, True), (expected, False)} == {seen(push) for push in node.heard(stream_id)[before:]}
    last = other.heard(stream_id)[-1]
    assert (expected, False, expected + 1) == (*seen(last), last["peak"])


async def test_after_flushall_every_session_can_go_on_and_end(node, other, stream_id, admin):
    ann, ben = await node.start(ANN, stream_id), await other.start(BEN, stream_id)
    await admin.flushall()
    await node.beat(ANN, ann.session_id)
    await other.end(BEN, ben.session_id)

    await eventually(lambda: seen(node.heard(stream_id)[-1]) == (1, False), within_s=5)


async def test_the_bus_coming_back_makes_the_node_look_at_once(node, stream_id, proxy):
    await node.start(ANN, stream_id)
    async with proxy.unreachable():
        await eventually(lambda: node.heard(stream_id)[-1]["stale"])
    node.viewers.bus_changed(is_up=True)

    assert 0.3 > await eventually(lambda: not node.heard(stream_id)[-1]["stale"])
