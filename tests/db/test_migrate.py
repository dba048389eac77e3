"""Migrations on a database that has had none."""

import asyncio

import asyncpg
import pytest

from csn_rt.db import migrate
from csn_rt.db.migrate import Migration, MigrationFailed, load_migrations
from tests.support.servers import administer, new_database_name, with_database


@pytest.fixture
async def empty_url(servers):
    name = new_database_name()
    await administer(servers.postgres_url, f"CREATE DATABASE {name}")
    yield with_database(servers.postgres_url, name)
    await administer(servers.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def connection(empty_url):
    connection = await asyncpg.connect(empty_url)
    yield connection
    await connection.close()


@pytest.fixture
def directory(tmp_path):
    """Writes migration files and loads them."""

    def write(**files):
        for name, sql in files.items():
            (tmp_path / f"{name}.sql").write_text(sql)
        return load_migrations(tmp_path)

    return write


def names_of(migrations):
    return [each.name for each in migrations]


async def tables(connection):
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows]


async def test_missing_migrations_are_applied_in_order_once(empty_url, directory):
    migrations = directory(
        **{"0002_pre_b": "ALTER TABLE a ADD COLUMN n int", "0001_pre_a": "CREATE TABLE a ()"}
    )

    assert ["0001_pre_a.sql", "0002_pre_b.sql"] == names_of(await migrate.migrate(empty_url, migrations))
    assert [] == await migrate.migrate(empty_url, migrations)


async def test_a_migration_that_came_late_with_a_lower_number_is_applied_too(empty_url, directory):
    await migrate.migrate(empty_url, directory(**{"0002_pre_b": "CREATE TABLE b ()"}))
    applied = await migrate.migrate(empty_url, directory(**{"0001_pre_a": "CREATE TABLE a ()"}))

    assert ["0001_pre_a.sql"] == names_of(applied)


async def test_two_at_the_same_time_apply_each_migration_once(empty_url, directory):
    slow = {f"000{n}_pre_t": f"SELECT pg_sleep(0.05); CREATE TABLE t{n} ()" for n in range(1, 5)}
    migrations = directory(**slow)

    first, second = await asyncio.gather(*(migrate.migrate(empty_url, migrations) for _ in range(2)))

    assert names_of(migrations) == sorted(names_of(first) + names_of(second))


async def test_a_broken_migration_is_named_with_its_line_and_leaves_nothing(empty_url, connection, directory):
    migrations = directory(
        **{"0001_pre_a": "CREATE TABLE a ();", "0002_pre_b": "CREATE TABLE b ();\n\nCREATE TABEL c ();"}
    )
    with pytest.raises(MigrationFailed, match=r"0002_pre_b\.sql, line 3: syntax error"):
        await migrate.migrate(empty_url, migrations)

    assert ["a", "schema_migrations"] == await tables(connection)


async def test_a_migration_that_cannot_be_recorded_leaves_nothing(empty_url, connection, directory):
    sql = "CREATE TABLE a (); ALTER TABLE schema_migrations ADD CHECK (version <> 1)"
    with pytest.raises(MigrationFailed, match=r"0001_pre_a\.sql"):
        await migrate.migrate(empty_url, directory(**{"0001_pre_a": sql}))

    assert ["schema_migrations"] == await tables(connection)


async def test_a_migration_changed_after_it_was_applied_stops_everything(empty_url, connection, directory):
    await migrate.migrate(empty_url, directory(**{"0001_pre_a": "CREATE TABLE a ()"}))
    changed = directory(**{"0001_pre_a": "CREATE TABLE aa ()", "0002_pre_b": "CREATE TABLE b ()"})
    with pytest.raises(MigrationFailed, match=r"0001_pre_a\.sql: was changed"):
        await migrate.migrate(empty_url, changed)

    assert ["a", "schema_migrations"] == await tables(connection)


async def test_a_table_in_use_makes_a_migration_give_up_and_not_queue_for_ever(
    empty_url, connection, directory, monkeypatch
):
    monkeypatch.setattr(migrate, "_TABLE_LOCK_TIMEOUT", "100ms")
    await connection.execute("CREATE TABLE busy ()")
    async with connection.transaction():
        await connection.execute("LOCK TABLE busy")
        with pytest.raises(MigrationFailed, match=r"0001_pre_a\.sql: .*lock timeout"):
            await migrate.migrate(empty_url, directory(**{"0001_pre_a": "ALTER TABLE busy ADD COLUMN n int"}))


async def test_another_migration_that_never_ends_is_not_waited_for_for_ever(
    empty_url, connection, monkeypatch
):
    monkeypatch.setattr(migrate, "_LOCK_WAIT_S", 0.1)
    await connection.execute(f"SELECT pg_advisory_lock({migrate._LOCK_ID})")
    with pytest.raises(MigrationFailed, match="another migration"):
        await migrate.migrate(empty_url, [])


@pytest.mark.parametrize("name", ["1_pre_a", "0001_a", "0001_mid_a", "0000_pre_a", "0001_pre_A"])
def test_a_file_that_is_not_named_like_a_migration_is_refused(directory, name):
    with pytest.raises(MigrationFailed, match=name):
        directory(**{name: ""})


def test_a_number_used_twice_is_refused(directory):
    with pytest.raises(MigrationFailed, match="number 1 is taken by 0001_pre_a"):
        directory(**{"0001_pre_a": "", "0001_pre_b": ""})


async def test_a_database_is_current_when_it_has_had_every_migration(empty_url, connection):
    before = await migrate.is_current(connection)
    await migrate.migrate(empty_url)

    assert not before
    assert await migrate.is_current(connection)


async def test_a_database_that_misses_one_is_not_current(empty_url, connection):
    await migrate.migrate(empty_url, load_migrations()[:-1])

    assert not await migrate.is_current(connection)


async def test_a_database_newer_than_the_program_is_current(empty_url, connection):
    newer = Migration(9999, "9999_post_new.sql", "CREATE TABLE new ()", "0")
    await migrate.migrate(empty_url, [*load_migrations(), newer])

    assert await migrate.is_current(connection)


async def test_the_status_says_what_is_missing(empty_url, connection):
    await migrate.migrate(empty_url, load_migrations()[:1])
    status = await migrate.status(connection)

    assert names_of(load_migrations()) == names_of(status)
    assert status[0].applied_at is not None
    assert all(each.applied_at is None for each in status[1:])
