"""What every test relies on: a fresh database."""

import asyncpg
import pytest

from tests.support.databases import Databases


@pytest.fixture
async def shelf(servers, template_database):
    shelf = Databases(servers.postgres_url, template_database)
    yield shelf
    await shelf.close()


async def run(url, *statements):
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    value = await connection.fetchval("SELECT count(*) FROM channels")
    await connection.close()
    return value


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO channels (channel) VALUES ('catalog')",
        "INSERT INTO channel_log (channel, \"offset\", data) VALUES ('catalog', 1, '{}')",
        "INSERT INTO teams (id, name, short_name, sport) VALUES (gen_random_uuid(), 'a', 'a', 'a')",
        """INSERT INTO content_audit_log (id, actor_type, actor_id, action, entity, entity_id, via)
           VALUES (gen_random_uuid(), 'user', 'ann', 'a', 'a', 'a', 'http')""",
    ],
)
async def test_a_database_that_was_used_is_empty_when_it_is_lent_again(shelf, statement):
    url = await shelf.lend()
    await run(url, statement)
    await shelf.take_back(url)
    again = await shelf.lend()
    connection = await asyncpg.connect(again)
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND pg_relation_size(oid) > 0"
    )
    await connection.close()
    await shelf.take_back(again)

    assert url == again
    assert ["schema_migrations"] == [row["relname"] for row in rows]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE extra ()",
        "DROP TABLE channel_log_default",
        "ALTER TABLE channels ADD COLUMN extra int",
        "ALTER TABLE channels DROP CONSTRAINT channels_head_check",
        "SELECT make_channel_log_partition('2026-01-01', '2026-01-02')",
    ],
)
async def test_a_database_whose_schema_was_changed_is_not_lent_again(shelf, statement):
    url = await shelf.lend()
    await run(url, statement)
    await shelf.take_back(url)
    other = await shelf.lend()
    await shelf.take_back(other)

    assert url != other


async def test_two_at_a_time_are_two_databases(shelf):
    one, two = await shelf.lend(), await shelf.lend()
    await shelf.take_back(one)
    await shelf.take_back(two)

    assert one != two


async def test_whoever_is_still_in_it_is_disconnected(shelf):
    url = await shelf.lend()
    forgotten = await asyncpg.connect(url)
    await forgotten.execute("BEGIN; INSERT INTO channels (channel) VALUES ('catalog')")
    await shelf.take_back(url)

    assert forgotten.is_closed()
    assert 0 == await run(await shelf.lend())
    await shelf.take_back(url)
