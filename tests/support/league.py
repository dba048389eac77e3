"""Content to watch: rows that tests put into the database."""

from csn_rt.db.pool import Database
from csn_rt.features.context import new_id


async def make_content(
    db: Database,
    *,
    kind: str = "vod",
    title: str = "A match",
    live_state: str | None = None,
    duration_ms: int | None = 600_000,
) -> str:
    """A published item; answers its id."""
    content_id = new_id()
    async with db.connection() as connection:
        await connection.execute(
            """
            INSERT INTO content (id, kind, state, title, slug, live_state, duration_ms, published_at)
            VALUES ($1, $2, 'published', $3, $4, $5, $6, now())
            """,
            content_id,
            kind,
            title,
            f"match-{content_id}",
            live_state,
            duration_ms,
        )
    return content_id


async def make_stream(db: Database, *, live_state: str = "scheduled", title: str = "A live match") -> str:
    return await make_content(db, kind="live", title=title, live_state=live_state, duration_ms=None)
