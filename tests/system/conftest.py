"""Nodes as processes, and a stream that is on."""

from collections.abc import AsyncIterator

import pytest

from csn_rt.wire.roles import Role
from tests.support.cluster import NodeProcess
from tests.support.fans import Fan
from tests.support.league import make_stream
from tests.support.nodes import token


@pytest.fixture
async def first(database_url, redis_url, tmp_path) -> AsyncIterator[NodeProcess]:
    async with NodeProcess(database_url, redis_url, tmp_path / "first.log") as node:
        yield node


@pytest.fixture
async def second(database_url, redis_url, tmp_path) -> AsyncIterator[NodeProcess]:
    async with NodeProcess(database_url, redis_url, tmp_path / "second.log") as node:
        yield node


@pytest.fixture
async def stream_id(db, first) -> str:
    """A stream that has been started."""
    stream_id = await make_stream(db)
    async with Fan(first.ws_url, token("root", Role.ADMIN)) as admin:
        await admin.call("stream.start", stream_id=stream_id)
    return stream_id
