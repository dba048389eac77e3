"""The connection pool: every wait has a time-out, and a database that is away is `Unavailable`.

Its connections carry no session state (no SET, LISTEN or session-level lock), so a release needs no reset
round trip.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from csn_rt.db.queries import Connection
from csn_rt.errors import Unavailable

log = structlog.get_logger(__name__)

# An SDK gives a command 5 s; what we wait for must have ended before, for the caller to hear a clear answer.
ACQUIRE_TIMEOUT_S = 1.5
COMMAND_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 5.0

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.OutOfMemoryError,
    asyncpg.DiskFullError,
)


async def _init(connection: PoolConnectionProxy) -> None:
    # Ids are strings everywhere in the program; msgspec checks their form before they come here.
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")


async def _reset(_connection: asyncpg.Connection) -> None:
    """Nothing to undo: see the top of the module."""


class Database:
    """A pool that speaks our errors. Made by `open_database`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit; raises Unavailable if the database is away or the pool stays empty."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                yield connection
        except _AWAY as exc:
            log.warning("database_away", error=type(exc).__name__, detail=str(exc)[:200])
            raise Unavailable("the database does not answer; try again") from exc

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: committed at the end of the block, rolled back if it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def statistics(self) -> dict[str, int]:
        return {"size": self._pool.get_size(), "idle": self._pool.get_idle_size()}


async def open_database(url: str, *, max_size: int = 10) -> Database:
    """Connect and make the pool; raises OSError or asyncpg's errors if the first connection fails."""
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        init=_init,
        reset=_reset,
        server_settings={"application_name": "csn_rt", "timezone": "UTC"},
    )
    return Database(pool)
