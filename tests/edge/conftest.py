"""Two nodes on one PostgreSQL and one Redis, and a stream that is on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from csn_rt.wire.roles import Role
from tests.support.fans import Fan
from tests.support.league import make_stream
from tests.support.nodes import RunningNode, running_node, token


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module may ask for the loop that serves in production."""
    if getattr(item.getparent(pytest.Module).obj, "ON_UVLOOP", False):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def node(database_url, redis_url) -> AsyncIterator[RunningNode]:
    async with running_node(database_url, redis_url, node_id="one") as node:
        yield node


@pytest.fixture
async def other_node(node, database_url, redis_url) -> AsyncIterator[RunningNode]:
    async with running_node(database_url, redis_url, node_id="two") as node:
        yield node


@pytest.fixture
async def stream_id(db, node) -> str:
    """A stream that has been started."""
    stream_id = await make_stream(db)
    async with Fan(node.ws_url, token("root", Role.ADMIN)) as admin:
        await admin.call("stream.start", stream_id=stream_id)
    return stream_id
