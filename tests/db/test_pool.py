"""The pool on a real PostgreSQL, with faults on the way."""

import asyncio
import time
from contextlib import AsyncExitStack

import asyncpg
import pytest

from csn_rt.db import pool
from csn_rt.db.pool import open_database
from csn_rt.errors import NotFound, Unavailable
from tests.support.proxy import Proxy


@pytest.fixture
async def proxy(database_url):
    async with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def far_db(proxy):
    """A pool whose connections go through the proxy."""
    database = await open_database(proxy.url, max_size=2)
    yield database
    await database.close()


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setattr(pool, "ACQUIRE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(pool, "COMMAND_TIMEOUT_S", 0.4)


async def value(database, sql="SELECT 1"):
    async with database.connection() as connection:
        return await connection.fetchval(sql)


async def heads(database):
    return await value(database, "SELECT count(*) FROM channels")


async def test_ids_come_and_go_as_strings(db):
    async with db.connection() as connection:
        answer = await connection.fetchval("SELECT $1::uuid", "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77")

    assert answer == "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"


async def test_a_transaction_is_committed_at_the_end_of_its_block(db):
    async with db.transaction() as connection:
        await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")

    assert await heads(db) == 1


async def test_a_transaction_that_raises_is_rolled_back_and_the_refusal_comes_through(db):
    with pytest.raises(NotFound):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")
            raise NotFound("no such thing")

    assert await heads(db) == 0


async def test_a_value_of_a_wrong_type_is_a_bug_not_an_outage(db):
    with pytest.raises(asyncpg.DataError):
        async with db.connection() as connection:
            await connection.fetchval("SELECT $1::bigint", "seven")

    assert await value(db) == 1


async def test_two_statements_at_once_on_one_connection_are_a_bug_not_an_outage(db):
    with pytest.raises(asyncpg.InterfaceError):
        async with db.connection() as connection:
            await asyncio.gather(connection.fetchval("SELECT 1"), connection.fetchval("SELECT 2"))


async def test_a_broken_constraint_is_not_an_outage(db):
    with pytest.raises(asyncpg.CheckViolationError):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('')")


async def test_a_connection_lost_in_the_middle_of_a_transaction_is_unavailable(far_db, proxy):
    with pytest.raises(Unavailable):
        async with far_db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")
            proxy.cut()
            await asyncio.sleep(0.05)
            await connection.execute("INSERT INTO channels (channel) VALUES ('admin')")

    assert await heads(far_db) == 0


async def test_a_connection_lost_before_the_commit_is_unavailable(far_db, proxy):
    with pytest.raises(Unavailable):
        async with far_db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")
            proxy.cut()
            await asyncio.sleep(0.05)

    assert await heads(far_db) == 0


async def test_a_connection_lost_during_a_statement_is_unavailable(far_db, proxy):
    async def cut_soon():
        await asyncio.sleep(0.1)
        proxy.cut()

    cutting = asyncio.create_task(cut_soon())
    with pytest.raises(Unavailable):
        await value(far_db, "SELECT pg_sleep(5)")
    await cutting


async def test_a_session_ended_by_the_server_is_unavailable(db, database_url):
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await value(db, f"SELECT pg_terminate_backend({connection.get_server_pid()})")
            await connection.fetchval("SELECT 1")

    assert await value(db) == 1


async def test_a_database_that_refuses_is_unavailable_and_is_found_again(far_db, proxy):
    async with proxy.unreachable():
        with pytest.raises(Unavailable):
            await value(far_db)

    assert await value(far_db) == 1


async def test_a_silent_database_is_unavailable_within_the_patience_of_an_sdk(proxy, short_waits):
    """Also in a transaction, where a rollback would wait for the same silence."""
    database = await open_database(proxy.url)
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable):
            async with database.transaction() as connection:
                await connection.fetchval("SELECT 1")
                await stack.enter_async_context(proxy.stall())
                began = time.monotonic()
                await connection.fetchval("SELECT 2")
        took = time.monotonic() - began

    assert took < 0.4 + 0.2
    assert await value(database) == 1
    await database.close()


async def test_an_exhausted_pool_is_unavailable_after_a_short_wait(far_db, short_waits):
    async with far_db.connection(), far_db.connection():
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await value(far_db)
        took = time.monotonic() - began

    assert took < 0.3 + 0.2
    assert await value(far_db) == 1


async def test_who_is_cancelled_while_waiting_for_a_connection_takes_none_away(far_db):
    async with far_db.connection(), far_db.connection():
        waiting = [asyncio.create_task(value(far_db)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async with far_db.connection(), far_db.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_who_is_cancelled_in_a_transaction_leaves_nothing_and_stays_cancelled(db):
    async def insert():
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")
            await connection.execute("SELECT pg_sleep(5)")

    task = asyncio.create_task(insert())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await heads(db) == 0


async def test_a_cancelled_transaction_on_a_lost_connection_stays_cancelled(far_db, proxy):
    async def wait():
        async with far_db.transaction():
            proxy.cut()
            await asyncio.sleep(5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_server_ends_a_statement_before_its_caller_gives_up(db):
    limit_s = await value(db, "SELECT extract(epoch FROM current_setting('statement_timeout')::interval)")

    assert 0 < limit_s < pool.COMMAND_TIMEOUT_S


async def test_a_statement_that_the_server_ended_is_unavailable(db):
    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = '50ms'")
            await connection.execute("SELECT pg_sleep(10)")


async def test_a_database_that_became_read_only_is_unavailable_and_left(db):
    async with db.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")
        left = connection.get_server_pid()

    with pytest.raises(Unavailable):
        async with db.transaction() as connection:
            await connection.execute("INSERT INTO channels (channel) VALUES ('catalog')")

    assert await value(db, "SELECT pg_backend_pid()") != left


async def test_a_connection_that_was_told_of_its_end_and_is_not_yet_closed_is_unavailable_and_left(db):
    """The driver's own error, from a query between the server's goodbye and the end of the socket."""
    left = await value(db, "SELECT pg_backend_pid()")

    with pytest.raises(Unavailable):
        async with db.transaction():
            raise asyncpg.InternalClientError(
                "cannot switch to state 15; another operation (2) is in progress"
            )

    assert await value(db, "SELECT pg_backend_pid()") != left


async def test_whoever_hangs_in_a_transaction_keeps_its_locks_for_a_short_time_only(db):
    limit_s = await value(
        db, "SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)"
    )

    assert 0 < limit_s <= pool.COMMAND_TIMEOUT_S


async def test_closing_does_not_wait_for_ever_for_a_borrowed_connection(database_url, monkeypatch):
    monkeypatch.setattr(pool, "CLOSE_TIMEOUT_S", 0.2)
    database = await open_database(database_url)
    borrowed = database.connection()
    await borrowed.__aenter__()
    began = time.monotonic()

    await database.close()

    assert time.monotonic() - began < 1
    await borrowed.__aexit__(None, None, None)
