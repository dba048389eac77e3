"""A chat feature on a real database, and streams to chat in."""

from collections.abc import Callable

import pytest

from csn_rt.db.pool import Database
from csn_rt.features.context import new_id
from tests.features.chat.room import Room


@pytest.fixture
def room(db: Database) -> Room:
    return Room(db)


@pytest.fixture
def other_node(db: Database) -> Room:
    """The same database seen by another node, with limits of its own."""
    return Room(db)


@pytest.fixture
def make_stream(db: Database) -> Callable:
    """Make a live stream; keyword arguments are columns of its row."""

    async def make(**columns: object) -> str:
        stream_id = new_id()
        row = {
            "id": stream_id,
            "kind": "live",
            "state": "published",
            "live_state": "live",
            "broadcast_id": new_id(),
            "title": "Gulls at Foxes",
            "slug": f"stream-{stream_id}",
        } | columns
        names = ", ".join(row)
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        async with db.connection() as connection:
            await connection.execute(
                f"INSERT INTO content ({names}, published_at) VALUES ({places}, now())", *row.values()
            )
        return stream_id

    return make


@pytest.fixture
async def stream(make_stream: Callable) -> str:
    """A live stream that is on."""
    return await make_stream()
