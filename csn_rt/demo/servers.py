"""Servers of one's own: an embedded PostgreSQL and Redis where the settings name none.

Rule 1: what the settings name is used; only what is missing is started.
Rule 2: a database of our own is migrated before anybody uses it.
Rule 3: a secret that the settings do not give is made once and kept in the data directory.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from csn_rt.db.migrate import migrate
from csn_rt.demo.home import kept_secret, make_home
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.process import EmbeddedFailed
from csn_rt.embedded.redis import EmbeddedRedis
from csn_rt.settings import Settings


@asynccontextmanager
async def own_servers(settings: Settings, data_dir: Path) -> AsyncIterator[Settings]:
    """The same settings with addresses and secret; what was started is stopped at the end of the block."""
    make_home(data_dir)
    async with AsyncExitStack() as stack:
        postgres = None if settings.database_url else EmbeddedPostgres(data_dir)
        redis = None if settings.redis_url else EmbeddedRedis(data_dir)
        started = [server for server in (redis, postgres) if server is not None]
        for server in started:
            stack.push_async_callback(in_thread, server.stop)
        await _all(*(in_thread(server.start) for server in started))
        if postgres is not None:
            await migrate(postgres.url)
        yield msgspec.structs.replace(
            settings,
            database_url=postgres.url if postgres else settings.database_url,
            redis_url=redis.url if redis else settings.redis_url,
            secret=settings.secret or kept_secret(data_dir),
        )


async def _all(*starts: Awaitable[None]) -> None:
    """Wait for all; the first failure is raised when none is under way any more."""
    results = await asyncio.gather(*starts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def in_thread(func: Callable[[], None]) -> None:
    """Run it in a thread to its end, also when cancelled: what was started must be known, to be stopped."""
    thread = asyncio.ensure_future(asyncio.to_thread(func))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        with contextlib.suppress(EmbeddedFailed):
            await thread
        raise
