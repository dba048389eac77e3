"""`sql/schema.sql` and the migrations: the same schema, with a word about everything in it."""

import asyncpg
import pytest

from csn_rt.db import migrate
from tests.support.schema import SCHEMA_FILE, dump, render
from tests.support.servers import administer, new_database_name, with_database


@pytest.fixture
async def empty_url(servers):
    name = new_database_name()
    await administer(servers.postgres_url, f"CREATE DATABASE {name}")
    yield with_database(servers.postgres_url, name)
    await administer(servers.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


async def test_the_migrations_add_up_to_the_schema_file(database_url, empty_url):
    """If not: python -m tests.support.schema."""
    await administer(empty_url, SCHEMA_FILE.read_text(encoding="utf-8"))
    by_file, by_migrations = dump(empty_url), dump(database_url)

    assert sorted(by_migrations, key=repr) == sorted(by_file, key=repr)


async def test_the_schema_file_has_every_statement_once(database_url):
    entries = dump(database_url)
    rendered = render(entries)

    assert all(1 == rendered.count(entry.sql) for entry in entries)


async def test_every_relation_column_and_function_says_what_it_is(database_url):
    connection = await asyncpg.connect(database_url)
    silent = await connection.fetch(SILENT)
    await connection.close()

    assert [] == [row[0] for row in silent]


SILENT = """
WITH relation AS (
    SELECT oid, relname FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'c')
)
SELECT relname FROM relation JOIN pg_type ON typrelid = relation.oid
 WHERE coalesce(obj_description(relation.oid, 'pg_class'), obj_description(pg_type.oid, 'pg_type')) IS NULL
UNION ALL
SELECT relname || '.' || attname FROM relation JOIN pg_attribute ON attrelid = relation.oid
 WHERE attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
UNION ALL
SELECT proname FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
"""


async def test_a_database_of_schema_file_is_not_taken_for_a_migrated_one(empty_url):
    await administer(empty_url, SCHEMA_FILE.read_text(encoding="utf-8"))
    connection = await asyncpg.connect(empty_url)
    is_current = await migrate.is_current(connection)
    await connection.close()

    assert not is_current
