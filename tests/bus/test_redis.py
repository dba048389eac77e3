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

from csn_rt.bus import redis_shard, redis_writer
from csn_rt.bus.base import BusDown, BusStatistics, Envelope
from csn_rt.bus.redis import RedisBus
from csn_rt.bus.redis_connection import BACK_OFF_MOST_S, back_off_s, connect, new_connection, read_reply
from csn_rt.bus.redis_messages import Message
from csn_rt.bus.redis_shard import PLAIN, Shard
from csn_rt.wire.names import Channel
from tests.support.buses import BehindRedis, Listener, eventually
from tests.support.proxy import Proxy

A, B = Channel("a"), Channel("b")


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def ann(proxy: Proxy) -> AsyncIterator[Listener]:
    listener = await Listener(BehindRedis(proxy).new_bus()).start()
    yield listener
    await listener.bus.close()


@pytest.fixture
async def bob(redis_url: str) -> AsyncIterator[Listener]:
    """His way to Redis is always good."""
    listener = await Listener(RedisBus(redis_url, "bob")).start()
    await listener.bus.subscribe(A)
    await listener.bus.subscribe(B)
    yield listener
    await listener.bus.close()


class Owner:
    """Of one shard, which it starts; keeps what it is told."""

    def __init__(self, url: str) -> None:
        self.gaps: list[bool] = []
        self.shard = Shard(
            url,
            b"csn-canary:ann",
            verbs=PLAIN,
            hears=self,
            strayed=lambda *_: None,
            statistics=BusStatistics(),
            life="1",
            canary_s=60.0,
        )
        self.shard.start()

    def message_came(self, name: bytes, payload: bytes) -> None: ...

    def malformed(self, name: bytes, error: Exception) -> None: ...

    def joined(self, channel: Channel) -> None: ...

    def changed(self, *, has_gap: bool) -> None:
        self.gaps.append(has_gap)


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
    assert [True, False, True] == ann.told[:3], "once more if b was joined on a connection that went on"


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


async def test_channels_that_are_joined_too_late_are_told_as_a_gap_once(redis_url: str):
    async with Proxy(redis_url) as proxy:
        ann = await Listener(RedisBus(proxy.url, "ann", canary_s=1.0)).start()
        async with proxy.stall():
            late = (ann.bus.subscribe(channel) for channel in (A, B))
            errors = await asyncio.gather(*late, return_exceptions=True)
            assert [BusDown, BusDown] == [type(error) for error in errors]
            assert [True] == ann.told
        await eventually(lambda: ann.bus.is_sure)
        await ann.bus.close()

    assert [True, True] == ann.told


async def test_a_channel_that_is_given_up_before_it_is_joined_is_no_gap(redis_url: str):
    async with Proxy(redis_url) as proxy:
        ann = await Listener(RedisBus(proxy.url, "ann", canary_s=1.0)).start()
        async with proxy.stall():
            with pytest.raises(BusDown):
                await ann.bus.subscribe(A)
            ann.bus.unsubscribe(A)
        await ann.bus.subscribe(B)
        await eventually(lambda: ann.bus.is_sure)
        await ann.bus.close()

    assert [True] == ann.told


async def test_a_channel_that_was_refused_while_down_is_told_as_a_gap_when_it_is_joined_later(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    held: list[Any] = []
    may_be_joined = asyncio.Event()

    async def read_but_hold_joins(connection: AbstractConnection) -> Any:
        if held and may_be_joined.is_set():
            return held.pop()
        reply = await read_reply(connection)
        if reply[:2] == [PLAIN.subscribed, b"csn:a"]:
            held.append(reply)
            reply = await read_reply(connection)
        return reply

    monkeypatch.setattr(redis_shard, "read_reply", read_but_hold_joins)
    ann = await Listener(RedisBus(redis_url, "ann", canary_s=0.3)).start()
    ann.bus._shards._went_down()
    with pytest.raises(BusDown):
        await ann.bus.subscribe(A)
    await eventually(lambda: ann.bus.is_up and bool(held))

    may_be_joined.set()
    await eventually(lambda: ann.bus._shards.is_settled(A))
    await ann.bus.close()

    assert [True, False, True, True] == ann.told


async def test_a_channel_that_is_joined_before_the_announcement_is_told_with_it(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    may_connect = asyncio.Event()

    async def connect_later(connection: AbstractConnection) -> None:
        await may_connect.wait()
        await connect(connection)

    monkeypatch.setattr(redis_shard, "connect", connect_later)
    owner = Owner(redis_url)
    await asyncio.sleep(0.05)

    owner.shard.want(A, is_moved=True)
    may_connect.set()
    await eventually(lambda: owner.shard.is_sure)
    await owner.shard.close()

    assert [True] == owner.gaps


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "asked again"])
async def test_a_channel_that_is_asked_for_before_the_canary_is_back_is_told_when_it_is_joined(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, is_moved: bool
):
    is_back, may_be_heard = asyncio.Event(), asyncio.Event()

    async def read_but_hold_canaries(connection: AbstractConnection) -> Any:
        reply = await read_reply(connection)
        if reply[0] == PLAIN.message:
            is_back.set()
            await may_be_heard.wait()
        return reply

    monkeypatch.setattr(redis_shard, "read_reply", read_but_hold_canaries)
    owner = Owner(redis_url)
    async with asyncio.timeout(5):
        await is_back.wait()

    owner.shard.want(A, is_moved=is_moved)
    if not is_moved:
        owner.shard._refused("a channel of which nobody says which")
        owner.shard.ask_again(owner.shard.canary_name)
    may_be_heard.set()
    await eventually(lambda: owner.shard.is_settled(A))
    await owner.shard.close()

    assert [True, True] == owner.gaps, "the announcement, and the channel"


async def test_a_shard_that_misses_a_channel_is_not_sure(redis_url: str):
    owner = Owner(redis_url)
    await eventually(lambda: owner.shard.is_sure)

    owner.shard.misses(A)

    assert owner.shard.is_up
    assert not owner.shard.is_sure
    await owner.shard.close()


async def test_a_connection_that_cannot_be_made_is_tried_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    faults = [TypeError("unexpected keyword argument")]

    def fail_once(url: str) -> AbstractConnection:
        if faults:
            raise faults.pop()
        return new_connection(url)

    monkeypatch.setattr(redis_shard, "new_connection", fail_once)
    ann = await Listener(RedisBus(redis_url, "ann")).start()
    try:
        await eventually(lambda: ann.bus.is_up)
    finally:
        await ann.bus.close()

    assert [] == faults


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


async def test_what_one_node_dropped_while_down_others_hear_of_by_the_newest_of_each_channel(
    ann: Listener, bob: Listener, proxy: Proxy
):
    async with proxy.unreachable():
        await eventually(lambda: not ann.bus.is_up)
        for offset in (1, 2, 3):
            ann.say(A, offset)
        ann.say(B, 7)

    assert {(A, 3), (B, 7)} == {(each.channel, each.offset) for each in await bob.heard(2)}
    assert (0, 4) == (ann.bus.statistics().published, ann.bus.statistics().dropped)


async def test_of_a_batch_that_failed_others_hear_the_newest(ann: Listener, bob: Listener, proxy: Proxy):
    async with proxy.unreachable():
        said = [ann.say(A, offset) for offset in (1, 2, 3)]
        await eventually(lambda: ann.bus.statistics().dropped == 3)

    assert said[2:] == await bob.heard(1)


async def test_what_fails_when_it_is_told_late_is_kept_and_counted_once(
    ann: Listener, bob: Listener, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    exchange, failed = redis_writer.RedisWriter._exchange, 0

    async def fail_four_times(writer: redis_writer.RedisWriter, batch: list[Message]) -> list[Message]:
        nonlocal failed
        if failed < 4 and any(message.name == b"csn:a" for message in batch):
            failed += 1
            raise ConnectionResetError
        return await exchange(writer, batch)

    async with proxy.unreachable():
        await eventually(lambda: not ann.bus.is_up)
        monkeypatch.setattr(redis_writer.RedisWriter, "_exchange", fail_four_times)
        said = ann.say(A)

    assert [said] == await bob.heard(1)
    assert (4, 1) == (failed, ann.bus.statistics().dropped)


async def test_what_is_not_sent_before_the_end_is_counted(ann: Listener, proxy: Proxy):
    async with proxy.stall():
        ann.say(A)
        await ann.bus.close()
        await ann.bus.close()

    assert (0, 1) == (ann.bus.statistics().published, ann.bus.statistics().dropped)


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


async def test_of_what_did_not_fit_others_hear_the_newest(
    ann: Listener, bob: Listener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis_writer, "MAX_WAITING", 100)

    said = [ann.say(A, offset) for offset in range(1000)]

    await eventually(lambda: said[-1] in bob.received)


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
