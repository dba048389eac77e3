"""What people notice when Redis or PostgreSQL is away, and that all is well afterwards."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import redis.asyncio
from centrifuge import CentrifugeError

from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, until
from tests.support.league import make_stream
from tests.support.nodes import RunningNode, running_node, token
from tests.support.proxy import Proxy


class Site:
    """Two nodes, each behind proxies of its own, and a stream that is on."""

    def __init__(
        self, near: RunningNode, far: RunningNode, redis_proxies: list[Proxy], postgres: Proxy, stream_id: str
    ) -> None:
        self.near = near
        self.far = far
        self.redis_proxies = redis_proxies
        self.postgres = postgres
        self.stream_id = stream_id


@pytest.fixture
async def site(database_url, redis_url, db) -> AsyncIterator[Site]:
    async with (
        Proxy(redis_url) as near_redis,
        Proxy(redis_url) as far_redis,
        Proxy(database_url) as postgres,
        running_node(postgres.url, near_redis.url, node_id="near") as near,
        running_node(postgres.url, far_redis.url, node_id="far") as far,
    ):
        stream_id = await make_stream(db)
        async with Fan(near.ws_url, token("root", Role.ADMIN)) as admin:
            await admin.call("stream.start", stream_id=stream_id)
        yield Site(near, far, [near_redis, far_redis], postgres, stream_id)


async def say(fan: Fan, site: Site, text: str) -> None:
    answer = await fan.call("chat.send", stream_id=site.stream_id, text=text, client_id=text)
    assert answer["sent"], answer


async def checks_of(node: RunningNode) -> dict[str, str]:
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{node.url}/readyz")).json()["checks"]


async def test_redis_that_dies_and_comes_back_empty_costs_neither_chat_nor_the_count(site, redis_url):
    async with Fan(site.near.ws_url, token("ann")) as ann, Fan(site.far.ws_url, token("bob")) as bob:
        chat = await bob.enter(names.stream_chat(site.stream_id))
        count = await bob.enter(names.stream_viewers(site.stream_id))
        for fan in (ann, bob):
            await fan.call("session.start", stream_id=site.stream_id)
        await until(lambda: count.pushed and count.pushed[-1]["viewers"] == 2)
        async with site.redis_proxies[0].unreachable(), site.redis_proxies[1].unreachable():
            await say(ann, site, "one")
            await say(ann, site, "two")
            await until(lambda: chat.texts == ["one", "two"])
            await until(lambda: count.pushed[-1]["stale"])
            async with redis.asyncio.Redis.from_url(redis_url) as client:
                await client.flushall()
        loop = asyncio.get_running_loop()
        back_at = loop.time()
        await until(lambda: not count.pushed[-1]["stale"])
        took_s = loop.time() - back_at
        await say(ann, site, "three")
        await until(lambda: chat.texts == ["one", "two", "three"])

    assert {data["viewers"] for data in count.pushed} <= {1, 2}
    assert count.pushed[-1]["viewers"] == 2
    assert took_s < 5


async def test_readiness_tells_that_redis_is_away_and_when_it_is_back(site):
    async with site.redis_proxies[0].unreachable():
        async with asyncio.timeout(5):
            while (await checks_of(site.near))["bus"] == "ok":
                await asyncio.sleep(0.1)
        checks = await checks_of(site.near)
    async with asyncio.timeout(5):
        while (await checks_of(site.near))["bus"] != "ok":
            await asyncio.sleep(0.1)

    assert checks["database"] == "ok"


async def test_one_node_cut_off_from_redis_still_hears_everything_in_order(site):
    async with Fan(site.near.ws_url, token("ann", Role.MODERATOR)) as ann, Fan(site.far.ws_url) as viewer:
        chat = await viewer.enter(names.stream_chat(site.stream_id))
        async with site.redis_proxies[1].unreachable():
            for n in range(10):
                await say(ann, site, f"{n}")
            await until(lambda: len(chat.texts) == 10)

    assert chat.texts == [f"{n}" for n in range(10)]
    assert chat.offsets == list(range(chat.offsets[0], chat.offsets[0] + 10))


async def test_with_postgresql_away_a_send_is_refused_for_now_and_its_retry_is_done_once(site):
    async with Fan(site.near.ws_url, token("ann")) as ann:
        chat = await ann.enter(names.stream_chat(site.stream_id))
        async with site.postgres.unreachable():
            with pytest.raises(CentrifugeError) as refused:
                await say(ann, site, "hello")
        async with asyncio.timeout(15):
            while True:
                try:
                    await say(ann, site, "hello")
                    break
                except CentrifugeError:
                    await asyncio.sleep(0.2)
        await say(ann, site, "world")
        await until(lambda: "world" in chat.texts)

    assert (refused.value.code, refused.value.temporary) == (100, True)
    assert chat.texts == ["hello", "world"]
    assert len(ann.connects) == 1


async def test_a_postgresql_that_does_not_answer_is_told_before_the_client_gives_up(site):
    async with Fan(site.near.ws_url, token("ann")) as ann, site.postgres.stall():
        with pytest.raises(CentrifugeError) as refused:
            await ann.client.rpc("chat.history", {"stream_id": site.stream_id})

    assert refused.value.code == 100


async def test_with_a_postgresql_that_does_not_answer_a_row_of_mutations_is_answered_in_time_too(site):
    """They are done one after another, and the client gives each of them 5 s."""
    async with Fan(site.near.ws_url, token("ann", Role.MODERATOR)) as ann, site.postgres.stall():
        params = [{"stream_id": site.stream_id, "text": f"number {n}", "client_id": f"{n}"} for n in range(4)]
        answers = await asyncio.gather(
            *[ann.client.rpc("chat.send", each) for each in params], return_exceptions=True
        )

    assert [100] * 4 == [getattr(answer, "code", answer) for answer in answers]


async def test_a_redis_that_dies_costs_little_before_anybody_is_sure_of_it(site):
    """The canaries take three seconds to tell; the connection tells at once."""
    async with Fan(site.near.ws_url, token("ann", Role.MODERATOR)) as ann, Fan(site.far.ws_url) as viewer:
        chat = await viewer.enter(names.stream_chat(site.stream_id))
        async with site.redis_proxies[0].unreachable(), site.redis_proxies[1].unreachable():
            await say(ann, site, "into the gap")
            await until(lambda: chat.texts == ["into the gap"], 2.5)
