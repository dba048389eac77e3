"""What the worker does for watch progress. Running it twice, or on two workers at once, does no harm."""

from typing import Final

from csn_rt.features.context import Context
from csn_rt.features.progress import store

FORGET_EVERY_S: Final = 600.0
SESSION_KEPT_S: Final = 7 * 86_400.0
"""A retry later than this is taken for a new session's report, and its age makes it stale."""
_FORGET_AT_ONCE: Final = 5_000


async def forget_sessions(ctx: Context) -> int:
    """Forget what playback sessions said that ended long ago; answers how many. Progress itself stays."""
    total = 0
    while True:
        async with ctx.db.transaction() as connection:
            forgotten = await store.forget_sessions(connection, SESSION_KEPT_S, _FORGET_AT_ONCE)
        total += forgotten
        if forgotten < _FORGET_AT_ONCE:
            return total
