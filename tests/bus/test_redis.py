"""What can happen to Redis and to the way there."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from structlog.testing import capture_logs

from csn_rt.bus import redis_writer
from csn_rt.bus.base import BusDown, Envelope
from csn_rt.bus.redis import RedisBus
from csn_rt.bus.redis_connection import BACK_OFF_MOST_S, back_off_s, read_reply
from csn_rt.wire.names import Channel
from tests.support.buses import BehindRedis, Listener, eventually
from tests.support.proxy import Proxy

A = Channel("a")


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def ann(proxy: Proxy) -> AsyncIterator[Listener]:
    listener = await Listener(BehindRedis(proxy).new_bus()).start()
    yield listener
    await listener.bus.close()


async def test_a_cut_too_short_to_be_noticed_is_told_as_up_again(ann: Listener, proxy: Proxy):
    await ann.bus.subscribe(A)

    proxy.cut()
    await eventually(lambda: len(ann.told) == 2)

    assert [True, True] == ann.told
    assert 1 == ann.bus.statistics().reconnects


async def test_a_lost_connection_makes_unsure_before_it_is_down(ann: Listener, proxy: Proxy):
    assert ann.bus.is_sure
    async with proxy.unreachable():
        await eventually(lambda: not ann.bus.is_sure)
        was_up = ann.bus.is_up
    await eventually(lambda: ann.bus.is_sure)

    assert was_up


async def test_a_canary_that_stays_away_makes_unsure_before_it_is_down(redis_url: str):
    async with Proxy(redis_url) as proxy:
        ann = await Listener(RedisBus(proxy.url, "ann", canary_s=0.3)).start()
        async with proxy.stall():
            await eventually(lambda: not ann.bus.is_sure)
            was_up = ann.bus.is_up
        await eventually(lambda: ann.bus.is_sure)
        await ann.bus.close()

    assert was_up


async def test_what_is_told_as_up_is_subscribed(proxy: Proxy, redis_url: str):
    """Also when there is so much to subscribe that the canary could be back before the end of it."""
    channels = [Channel(f"{n:0200}") for n in range(3000)]
    ann = await Listener(RedisBus(proxy.url, "ann", canary_s=1.0)).start()
    await asyncio.gather(*(ann.bus.subscribe(channel) for channel in channels))
    async with proxy.slow(0.03), redis.Redis.from_url(redis_url) as client:
        proxy.cut()
        await eventually(lambda: len(ann.told) == 2)

        subscribed = await client.pubsub_channels("csn:*")

    assert {f"csn:{channel}".encode() for channel in channels} == set(subscribed)
    await ann.bus.close()


async def test_redis_away_and_back_is_normal_within_five_seconds(ann: Listener, proxy: Proxy):
    await ann.bus.subscribe(A)
    async with proxy.unreachable():
        await eventually(lambda: not ann.bus.is_up)
        await asyncio.sleep(0.5)
    await eventually(lambda: ann.bus.is_up, within_s=5)

    said = ann.say(A)

    assert [said] == await ann.heard(1)
    assert [True, False, True] == ann.told


async def test_a_stall_is_noticed_by_its_canaries_alone(ann: Listener, proxy: Proxy):
    await ann.bus.subscribe(A)
    async with proxy.stall():
        await eventually(lambda: not ann.bus.is_up, within_s=2)
        with pytest.raises(BusDown):
            await ann.bus.subscribe(Channel("b"))
    await eventually(lambda: ann.bus.is_up, within_s=5)

    said = ann.say(A)

    await eventually(lambda: said in ann.received)
    assert [True, False, True] == ann.told


async def test_a_deaf_connection_is_thrown_away(redis_url: str, monkeypatch: pytest.MonkeyPatch):
    """A half-open one: nothing comes, and nothing says that it is lost."""
    connections: set[object] = set()
    deaf: set[object] = set()

    async def read_unless_deaf(connection: AbstractConnection) -> Any:
        connections.add(connection)
        reply = await read_reply(connection)
        if connection in deaf:
            await asyncio.get_running_loop().create_future()
        return reply

    monkeypatch.setattr("csn_rt.bus.redis_shard.read_reply", read_unless_deaf)
    ann = await Listener(RedisBus(redis_url, "ann", canary_s=0.1)).start()
    await ann.bus.subscribe(A)
    deaf.update(connections)

    await eventually(lambda: len(ann.told) > 1 and ann.told[-1])
    said = ann.say(A)

    assert [said] == await ann.heard(1)
    await ann.bus.close()


async def test_a_subscribe_without_an_answer_fails_after_a_second(redis_url: str):
    async with Proxy(redis_url) as proxy:
        ann = await Listener(RedisBus(proxy.url, "ann", canary_s=1.0)).start()
        async with proxy.stall():
            began = time.monotonic()
            with pytest.raises(BusDown):
                await ann.bus.subscribe(A)
            waited_s = time.monotonic() - began
        await ann.bus.subscribe(A)
        await ann.bus.close()

    assert 0.9 < waited_s < 2.0


async def test_without_redis_start_returns_and_the_bus_comes_up_later(redis_url: str):
    async with Proxy(redis_url) as proxy:
        async with proxy.unreachable():
            ann = await Listener(BehindRedis(proxy).new_bus()).start()
            assert [False] == ann.told
            with pytest.raises(BusDown):
                await ann.bus.subscribe(A)
        await eventually(lambda: ann.bus.is_up)
        said = ann.say(A)

        assert [said] == await ann.heard(1)
        assert [False, True] == ann.told
        await ann.bus.close()


async def test_a_message_is_sent_although_its_connection_was_closed_while_idle(ann: Listener, redis_url: str):
    await ann.bus.subscribe(A)
    await ann.heard_nothing()
    async with redis.Redis.from_url(redis_url) as client:
        await client.client_kill_filter(_type="normal")

    said = ann.say(A)

    assert [said] == await ann.heard(1)
    assert 0 == ann.bus.statistics().dropped


async def test_the_lag_is_that_of_the_way_through_redis(ann: Listener, proxy: Proxy):
    async with proxy.slow(0.06):
        await eventually(lambda: (ann.bus.lag_s or 0) > 0.06)

    await eventually(lambda: (ann.bus.lag_s or 1) < 0.06)
    assert ann.bus.is_up


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"{}", b"\x93\x01\x02\x03", b"\xff" * 1000])
async def test_a_message_that_is_no_envelope_is_counted_and_forgotten(
    ann: Listener, redis_url: str, junk: bytes
):
    await ann.bus.subscribe(A)

    with capture_logs() as logs:
        async with redis.Redis.from_url(redis_url) as client:
            await client.publish("csn:a", junk)
            await client.publish("csn-canary:node-1", junk)
        said = ann.say(A)
        assert [said] == await ann.heard(1)

    assert 2 == ann.bus.statistics().malformed
    assert 2 == [line["event"] for line in logs].count("bus_message_malformed")
    assert [True] == ann.told


async def test_a_flood_of_malformed_messages_does_not_flood_the_log(ann: Listener, redis_url: str):
    await ann.bus.subscribe(A)

    with capture_logs() as logs:
        async with redis.Redis.from_url(redis_url) as client:
            for _ in range(100):
                await client.publish("csn:a", b"junk")
        await eventually(lambda: ann.bus.statistics().malformed == 100)

    assert 7 == [line["event"] for line in logs].count("bus_message_malformed")


async def test_a_namesakes_canary_is_no_proof_of_life(ann: Listener, redis_url: str):
    with capture_logs() as logs:
        async with redis.Redis.from_url(redis_url) as client:
            await client.publish("csn-canary:node-1", msgspec.msgpack.encode(("another life", 0.0)))
        await eventually(lambda: "bus_node_id_shared" in [line["event"] for line in logs])

    assert (ann.bus.lag_s or 0) < 1.0, "that canary would have been under way since the machine's start"


async def test_what_does_not_fit_is_dropped_and_counted(
    ann: Listener, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis_writer, "MAX_WAITING", 100)

    for offset in range(1000):
        ann.say(A, offset)

    assert 900 <= ann.bus.statistics().dropped <= 910


async def test_bytes_that_do_not_fit_are_dropped_and_counted(ann: Listener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_writer, "MAX_WAITING_BYTES", 10_000)

    for offset in range(10):
        ann.say(A, offset, b"x" * 4_000)

    assert 8 == ann.bus.statistics().dropped


async def test_what_was_sent_makes_room_for_the_next(ann: Listener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_writer, "MAX_WAITING_BYTES", 10_000)

    for offset in range(10):
        ann.say(A, offset, b"x" * 4_000)
        await eventually(lambda offset=offset: ann.bus.statistics().published == offset + 1)

    assert 0 == ann.bus.statistics().dropped


async def test_what_is_on_its_way_after_an_unsubscribe_is_not_delivered(
    ann: Listener, proxy: Proxy, redis_url: str
):
    await ann.bus.subscribe(A)
    envelope = msgspec.msgpack.encode(Envelope("someone", A, "abc", 1, [b"{}"]))
    async with proxy.slow(0.03), redis.Redis.from_url(redis_url) as client:
        await client.publish("csn:a", envelope)
        ann.bus.unsubscribe(A)

        assert await ann.heard_nothing()


async def test_what_is_waiting_goes_in_one_round_trip(ann: Listener, redis_url: str):
    async with redis.Redis.from_url(redis_url) as client:
        before = (await client.info("stats"))["total_reads_processed"]
        for offset in range(500):
            ann.say(A, offset)
        await eventually(lambda: ann.bus.statistics().published == 500)
        after = (await client.info("stats"))["total_reads_processed"]

    assert after - before < 30, "500 publishes, a few canaries and questions"


async def test_close_is_quick_when_redis_does_not_answer(redis_url: str):
    async with Proxy(redis_url) as proxy:
        ann = await Listener(BehindRedis(proxy).new_bus()).start()
        async with proxy.stall():
            ann.say(A)
            async with asyncio.timeout(3):
                await ann.bus.close()


@pytest.mark.parametrize("turns", range(6))
async def test_close_ends_also_while_the_connection_is_being_lost(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, turns: int
):
    is_cut = asyncio.Event()

    async def read_until_cut(_connection: object) -> None:
        await is_cut.wait()
        raise ConnectionError("cut")

    monkeypatch.setattr("csn_rt.bus.redis_shard.read_reply", read_until_cut)
    ann = await Listener(RedisBus(redis_url, "ann")).start()

    is_cut.set()
    for _ in range(turns):
        await asyncio.sleep(0)

    async with asyncio.timeout(3):
        await ann.bus.close()


def test_the_back_off_is_bounded_and_never_the_same():
    waits = [back_off_s(attempt) for attempt in [*range(100), 10**6]]

    assert all(0 <= wait <= BACK_OFF_MOST_S for wait in waits)
    assert len(set(waits)) > 90
