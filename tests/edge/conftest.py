"""Two nodes on one PostgreSQL and one Redis, and a stream that is on."""

from collections.abc import AsyncIterator

import pytest

from csn_rt.wire.roles import Role
from tests.support.fans import Fan
from tests.support.league import make_stream
from tests.support.nodes import RunningNode, running_node, token


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
