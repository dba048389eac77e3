"""HTTP on a whole node: real features, real servers, and what is told when one of them is away."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from csn_rt.wire.roles import Role
from tests.support.league import make_stream
from tests.support.nodes import RunningNode, running_node, token
from tests.support.proxy import Proxy


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def node_behind_proxies(database: Proxy, bus: Proxy) -> AsyncIterator[RunningNode]:
    async with running_node(database.url, bus.url, node_id="one") as node:
        yield node


@pytest.fixture
async def client(node_behind_proxies: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=node_behind_proxies.url) as client:
        yield client


def bearer(user_id: str, role: Role = Role.USER) -> dict[str, str]:
    return {"authorization": f"Bearer {token(user_id, role)}"}


async def test_a_stream_is_started_watched_and_talked_about(db, client: httpx.AsyncClient):
    stream_id = await make_stream(db)
    body = {"stream_id": stream_id}
    started = await client.post("/v1/stream.start", json=body, headers=bearer("root", Role.ADMIN))
    again = await client.post("/v1/stream.start", json=body, headers=bearer("root", Role.ADMIN))
    session = await client.post("/v1/session.start", json=body, headers=bearer("ann"))
    message = {**body, "text": "Goal!", "client_id": "1"}
    sent = await client.post("/v1/chat.send", json=message, headers=bearer("ann"))
    history = await client.get("/v1/chat.history", params=body)
    counted = await client.get("/v1/viewers.get", params={"stream_ids": stream_id})

    assert 200 == started.status_code
    assert (409, "already_live") == (again.status_code, again.json()["error"]["code"])
    assert started.json()["broadcast_id"] == again.json()["error"]["broadcast_id"]
    assert 1 == session.json()["viewers"]
    assert sent.json()["sent"]
    assert [sent.json()["message"]] == history.json()["items"]
    assert 1 == counted.json()["items"][0]["viewers"]


async def test_an_anonymous_viewer_watches_with_the_id_he_was_given(db, client: httpx.AsyncClient):
    stream_id = await make_stream(db)
    body = {"stream_id": stream_id}
    await client.post("/v1/stream.start", json=body, headers=bearer("root", Role.ADMIN))
    issued = (await client.post("/v1/auth.anonymous")).json()
    headers = {"authorization": f"Bearer {issued['token']}"}

    who = await client.get("/v1/auth.whoami", headers=headers)
    session = await client.post("/v1/session.start", json=body, headers=headers)
    beat = {"session_id": session.json()["session_id"], "state": "playing"}
    heard = await client.post("/v1/session.heartbeat", json=beat, headers=headers)
    stolen = await client.post("/v1/session.heartbeat", json=beat, headers=bearer("bob"))

    assert (issued["user_id"], "anonymous") == (who.json()["user_id"], who.json()["role"])
    assert (200, 200, 404) == (session.status_code, heard.status_code, stolen.status_code)


async def test_a_node_is_ready_when_all_it_needs_answers(client: httpx.AsyncClient):
    answer = await client.get("/readyz")

    assert 200 == answer.status_code
    assert {"database", "schema", "bus", "accepting"} == set(answer.json()["checks"])
    assert {"ok"} == set(answer.json()["checks"].values())


async def test_without_postgresql_operations_are_unavailable_and_the_node_not_ready(
    db, client: httpx.AsyncClient, database: Proxy
):
    stream_id = await make_stream(db)
    message = {"stream_id": stream_id, "text": "Goal!", "client_id": "1"}
    async with database.unreachable():
        listed = await client.get("/v1/content.list")
        sent = await client.post("/v1/chat.send", json=message, headers=bearer("ann"))
        ready = await client.get("/readyz")
        alive = await client.get("/healthz")

    for answer in (listed, sent):
        assert (503, "unavailable") == (answer.status_code, answer.json()["error"]["code"])
        assert "1" == answer.headers["retry-after"]
    assert (503, "failed") == (ready.status_code, ready.json()["checks"]["database"])
    assert 200 == alive.status_code

    async with asyncio.timeout(10):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
    assert 200 == (await client.get("/v1/content.list")).status_code


async def test_a_postgresql_that_does_not_answer_is_given_up_before_an_sdk_gives_up(
    client: httpx.AsyncClient, database: Proxy
):
    async with database.stall(), asyncio.timeout(5):
        answer = await client.get("/v1/content.list", timeout=6)

    assert (503, "unavailable") == (answer.status_code, answer.json()["error"]["code"])


async def test_without_redis_the_node_is_not_ready_but_works(
    db, client: httpx.AsyncClient, bus: Proxy, node_behind_proxies: RunningNode
):
    stream_id = await make_stream(db)
    await client.post("/v1/stream.start", json={"stream_id": stream_id}, headers=bearer("root", Role.ADMIN))
    async with bus.unreachable():
        async with asyncio.timeout(8):
            while (await client.get("/readyz")).json()["checks"]["bus"] == "ok":
                await asyncio.sleep(0.1)
        message = {"stream_id": stream_id, "text": "Goal!", "client_id": "1"}
        sent = await client.post("/v1/chat.send", json=message, headers=bearer("ann"))

    assert sent.json()["sent"]


async def test_a_draining_node_is_not_ready(node_behind_proxies: RunningNode, client: httpx.AsyncClient):
    await node_behind_proxies.app.drain()

    ready = await client.get("/readyz")

    assert (503, "failed") == (ready.status_code, ready.json()["checks"]["accepting"])


async def test_what_is_on_is_in_the_metrics(client: httpx.AsyncClient, node_behind_proxies: RunningNode):
    await client.get("/v1/content.list")
    text = (await client.get("/metrics")).text

    assert "csn_bus_up 1.0" in text
    assert "csn_connections 0.0" in text
    assert 'csn_operations_total{operation="content.list",outcome="done"}' in text
