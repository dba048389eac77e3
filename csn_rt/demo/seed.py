"""Sample data: a small league with teams, players, two games, three videos and a live stream.

Rule 1: it may run any number of times; rows that are there, changed or deleted by somebody, stay as they are.
"""

import msgspec

from csn_rt.db.queries import Connection, query

_SEEDS = tuple(
    query(name) for name in ("seed_teams", "seed_players", "seed_games", "seed_media", "seed_content")
)
_READ = query("read_demo_content")


class Video(msgspec.Struct, frozen=True):
    id: str
    duration_ms: int


class Programme(msgspec.Struct, frozen=True):
    """What there is to watch."""

    stream_id: str | None
    """None: somebody took the stream away."""
    is_on: bool
    videos: tuple[Video, ...]


async def seed(connection: Connection) -> Programme:
    """Put in what is missing; answers what can be watched."""
    async with connection.transaction():
        for each in _SEEDS:
            await each.run(connection)
    rows = await _READ.rows(connection)
    stream = next((row for row in rows if row["kind"] == "live"), None)
    return Programme(
        stream_id=str(stream["id"]) if stream else None,
        is_on=stream is not None and stream["live_state"] == "live",
        videos=tuple(Video(str(row["id"]), row["duration_ms"]) for row in rows if row["kind"] != "live"),
    )
