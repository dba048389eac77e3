"""Retention of the channel log, on a real PostgreSQL."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from csn_rt.db import log
from csn_rt.db.log import Outgoing
from csn_rt.errors import Unavailable
from csn_rt.features import retention
from csn_rt.features.retention import Kept, keep_log
from csn_rt.wire import names

CHAT = names.stream_chat("0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77")


@pytest.fixture
async def connection(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def tell(db):
    async with db.transaction() as connection:
        [published] = await log.append(connection, [Outgoing(CHAT, b'{"type":"test"}')])
        return published


async def insert(connection, offset, hours_ago):
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    await connection.execute("INSERT INTO channel_log VALUES ($1, $2, '{}', NULL, $3)", CHAT, offset, at)


async def spans(connection):
    """The partitions with bounds, as (first, until) in the order of time."""
    rows = await connection.fetch(
        """SELECT regexp_matches(pg_get_expr(relpartbound, oid), '''([^'']+)''.*''([^'']+)''') AS bounds
             FROM pg_class WHERE relispartition AND relkind = 'r'"""
    )
    return sorted(tuple(datetime.fromisoformat(bound) for bound in row["bounds"]) for row in rows)


async def make_span(connection, hours_ago):
    """A partition of one hour that begins then."""
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    await connection.execute("SELECT make_channel_log_partition($1, $2)", first, first + timedelta(hours=1))


async def partition_of(connection, offset):
    return await connection.fetchval(
        'SELECT tableoid::regclass::text FROM channel_log WHERE "offset" = $1', offset
    )


async def test_the_present_and_two_coming_spans_of_six_hours_have_partitions(db, connection):
    kept = await keep_log(db)
    made = await spans(connection)

    assert Kept(made=3, dropped=0, deleted=0) == kept
    assert [timedelta(hours=6)] * 3 == [until - first for first, until in made]
    assert made[0][0] <= datetime.now(UTC) < made[0][1] == made[1][0]
    assert made[1][1] == made[2][0]


async def test_a_second_run_does_nothing(db):
    await keep_log(db)

    assert Kept(0, 0, 0) == await keep_log(db)


async def test_two_runs_at_the_same_time_do_no_harm(db, connection):
    """Both may try; who loses is told so, and the next run finds what is there."""
    await asyncio.gather(*(keep_log(db) for _ in range(3)), return_exceptions=True)
    await keep_log(db)

    assert 3 == len(await spans(connection))


async def test_events_go_to_the_partition_of_their_time(db, connection):
    await keep_log(db)
    await tell(db)

    assert (await partition_of(connection, 1)).startswith("channel_log_2")


async def test_without_a_worker_events_are_kept_all_the_same(db, connection):
    published = await tell(db)

    assert "channel_log_default" == await partition_of(connection, 1)
    assert [published] == await log.read_after(connection, CHAT, 0, 10)


async def test_a_partition_is_dropped_when_its_youngest_moment_is_old_enough(db, connection):
    for hours_ago in (26, 25, 24):
        await make_span(connection, hours_ago)
        await insert(connection, hours_ago, hours_ago - 0.001)
    kept = await keep_log(db)
    left = {row["offset"] for row in await connection.fetch('SELECT "offset" FROM channel_log')}

    assert 2 >= kept.dropped >= 1
    assert 24 in left
    assert 26 not in left


async def test_the_retention_can_be_chosen(db, connection):
    await make_span(connection, 3)
    await insert(connection, 1, 2.5)

    assert 0 == (await keep_log(db, kept_s=4 * 3600)).dropped
    assert 1 == (await keep_log(db, kept_s=3600)).dropped


async def test_old_strays_are_deleted_and_young_ones_stay(db, connection, monkeypatch):
    monkeypatch.setattr(retention, "_STRAYS_AT_ONCE", 2)
    for offset, hours_ago in enumerate((30, 29, 28, 27, 26, 25, 23, 1), 1):
        await insert(connection, offset, hours_ago)
    kept = await keep_log(db)
    left = [row["offset"] for row in await connection.fetch('SELECT "offset" FROM channel_log ORDER BY 1')]

    assert 6 == kept.deleted
    assert [7, 8] == left


async def test_while_strays_of_the_present_span_are_there_only_coming_spans_are_made(db, connection):
    await tell(db)
    kept = await keep_log(db)
    await tell(db)

    assert 2 == kept.made
    assert "channel_log_default" == await partition_of(connection, 2)
    assert [1, 2] == [each.offset for each in await log.read_after(connection, CHAT, 0, 10)]


async def test_offsets_run_on_across_partitions(db, connection):
    await make_span(connection, 1)
    await insert(connection, 1, 0.999)
    await connection.execute("INSERT INTO channels (channel, head) VALUES ($1, 1)", CHAT)
    await keep_log(db)
    await tell(db)

    assert [1, 2] == [each.offset for each in await log.read_after(connection, CHAT, 0, 10)]
    assert [2] == [each.offset for each in await log.read_before(connection, CHAT, 3, 1)]


@pytest.mark.parametrize("is_drop", [False, True])
async def test_where_a_lock_is_not_had_it_gives_up_soon_and_nobody_waits_longer(db, connection, is_drop):
    await keep_log(db)
    if is_drop:
        await make_span(connection, 40)
    else:
        await connection.execute("DROP TABLE " + (await newest_partition(connection)))
    async with connection.transaction():
        await connection.execute("SELECT count(*) FROM channel_log")  # as a dump of the database would
        keeping = asyncio.create_task(keep_log(db))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        async with db.connection() as other:
            await tell(db)
            await log.read_after(other, CHAT, 0, 10)
        waited = time.monotonic() - began
        with pytest.raises(Unavailable):
            await keeping

    assert waited < 0.6
    assert 1 == (kept := await keep_log(db)).made + kept.dropped


async def newest_partition(connection):
    return await connection.fetchval(
        "SELECT max(relname) FROM pg_class WHERE relname LIKE 'channel_log_2%' AND relkind = 'r'"
    )


async def test_only_partitions_of_the_log_can_be_dropped(db):
    async with db.connection() as connection:
        with pytest.raises(asyncpg.UndefinedTableError, match="no partition"):
            await retention._DROP.run(connection, "channels")


async def test_a_new_partition_says_what_it_is(db, connection):
    await keep_log(db)
    name = await newest_partition(connection)

    assert (await connection.fetchval("SELECT obj_description($1::regclass)", name)).startswith(
        "Events of channel_log"
    )
    assert await connection.fetchval("SELECT col_description($1::regclass, 1)", name)
