"""What only leases over a network have to bear."""

import uuid

import redis.asyncio

from csn_rt.bus.leases import Ask, Hold
from csn_rt.bus.leases_redis import RedisLeases
from tests.support.proxy import Proxy


def ask() -> Ask:
    return Ask(broadcast_id=str(uuid.uuid4()), age_ms=0, holds=[Hold("u:ann", str(uuid.uuid4()), 5_000)])


async def test_an_unreachable_redis_answers_nothing_and_raises_nothing(redis_url):
    async with Proxy(redis_url) as proxy:
        leases = RedisLeases(proxy.url)
        async with proxy.unreachable():
            assert [None, None] == await leases.count([ask(), ask()])

        [count] = await leases.count([ask()])
        assert 1 == count.viewers
        await leases.close()


async def test_a_redis_that_does_not_answer_is_given_up_after_a_second(redis_url):
    async with Proxy(redis_url) as proxy:
        leases = RedisLeases(proxy.url)
        await leases.count([ask()])
        async with proxy.stall():
            assert [None] == await leases.count([ask()])
        await leases.close()


async def test_a_connection_that_was_closed_while_idle_is_not_noticed_by_the_caller(redis_url):
    async with Proxy(redis_url) as proxy:
        leases = RedisLeases(proxy.url)
        await leases.count([ask()])
        proxy.cut()

        [count] = await leases.count([ask()])
        assert 1 == count.viewers
        await leases.close()


async def test_a_forgotten_script_is_loaded_again(redis_url):
    leases, admin = RedisLeases(redis_url), redis.asyncio.Redis.from_url(redis_url)
    await leases.count([ask()])
    await admin.script_flush()

    [count] = await leases.count([ask()])
    assert 1 == count.viewers
    await leases.close()
    await admin.aclose()


async def test_a_key_of_another_type_spoils_one_broadcast_only(redis_url):
    leases, admin = RedisLeases(redis_url), redis.asyncio.Redis.from_url(redis_url)
    good, bad = ask(), ask()
    await admin.set(f"csn-viewers:{{{bad.broadcast_id}}}:state", "no hash")

    counts = await leases.count([bad, good])

    assert [None, 1] == [counts[0], counts[1].viewers]
    await leases.close()
    await admin.aclose()


async def test_everything_is_forgotten_by_itself(redis_url):
    leases, admin = RedisLeases(redis_url), redis.asyncio.Redis.from_url(redis_url)
    await leases.count([ask()])

    keys = await admin.keys("*")

    assert 4 == len(keys)
    assert all([0 < await admin.pttl(key) <= 3_600_000 for key in keys])
    await leases.close()
    await admin.aclose()
