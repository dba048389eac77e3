"""The connection pool: every wait has a time-out, and a database that is away is `Unavailable`.

Rule 1: whoever asks hears within 5 s, which is what an SDK gives a command: 1.5 s for a connection and 3 s
        for a statement. The server itself ends a statement a little earlier, so that what nobody waits for
        any more does not keep its locks. A node that hangs in the middle of a transaction keeps them for 3 s:
        so long a chat waits for it.
Rule 2: a connection that timed out is closed, not rolled back: a rollback would wait just as long.
Rule 3: wrong use of the driver (a value of a wrong type, a busy connection) stays a bug with its traceback.
Rule 4: beside the two limits below, connections carry no session state (no SET, LISTEN or session-level
        lock), so a release needs no reset round trip.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from csn_rt.db.queries import Connection
from csn_rt.errors import Unavailable

log = structlog.get_logger(__name__)

ACQUIRE_TIMEOUT_S: Final = 1.5
COMMAND_TIMEOUT_S: Final = 3.0
CONNECT_TIMEOUT_S: Final = 3.0
CLOSE_TIMEOUT_S: Final = 5.0

_LIMITS = """
SET statement_timeout = '2500ms';
SET idle_in_transaction_session_timeout = '3s';
"""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # stopped, starting, or the statement took too long
    asyncpg.InsufficientResourcesError,  # disk, memory, connections
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that was demoted
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TargetServerAttributeNotMatched,  # several hosts, and none is the primary now
    asyncpg.InternalClientError,  # told that the server stops, and not yet closed, it is used once more
)

_UNUSABLE = (TimeoutError, asyncpg.ReadOnlySQLTransactionError, asyncpg.InternalClientError)
"""After these the connection is closed; the next one goes to whatever the address means by then."""


async def _init(connection: asyncpg.Connection) -> None:
    await connection.execute(_LIMITS)
    # Ids are strings everywhere in the program; msgspec checks their form before they come here.
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")


async def _reset(_connection: asyncpg.Connection) -> None:
    """Nothing to undo: rule 4. The driver itself rolls back what was left open."""


def _is_closed(connection: PoolConnectionProxy) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # it was lost, and the pool has it back already


class Database:
    """A pool that speaks our errors. Made by `open_database`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit; raises Unavailable if the database is away or the pool stays empty."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                try:
                    yield connection
                except _UNUSABLE:
                    connection.terminate()
                    raise
                except asyncpg.InterfaceError as exc:
                    # The driver's word for "closed", and for wrong use too.
                    if _is_closed(connection):
                        raise ConnectionError(str(exc)) from exc
                    raise
        except _AWAY as exc:
            log.warning("database_away", error=type(exc).__name__, detail=str(exc)[:200])
            raise Unavailable("the database does not answer; try again") from exc

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: committed at the end of the block, rolled back if it raises."""
        async with self.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except _UNUSABLE:
                raise
            except asyncio.CancelledError:
                with suppress(Exception):  # being cancelled is the stronger news
                    await transaction.rollback()
                raise
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    async def close(self) -> None:
        """Wait a little for what is under way, then cut it off."""
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
        server_settings={
            "application_name": "csn_rt",
            "timezone": "UTC",
            # Every query has its index. A plan made while a table was small would stay a scan when it has
            # grown (200 chat drafts among 10,000 messages: 300 ms, not 7). Compiling is for long queries.
            "enable_seqscan": "off",
            "jit": "off",
        },
    )
    return Database(pool)
