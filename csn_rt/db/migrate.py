"""Migrations: numbered SQL files, each applied once, in its own transaction, in the order of their numbers.

`sql/migrations/NNNN_(pre|post)_name.sql`: `pre` runs before the code that needs it and does not disturb the
code before; `post` runs when no old code is left.

Rule 1: one at a time in the cluster, by an advisory lock; who comes second finds nothing to do.
Rule 2: a migration and the record of it are one transaction. A failure leaves those before it applied.
Rule 3: an applied file is never changed: its checksum is compared, and a difference stops everything.
Rule 4: a migration that cannot have its lock soon gives up instead of blocking the writers queued behind it.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from csn_rt.db.queries import SQL_DIR, Connection, query

_READ = query("read_migrations")
_RECORD = query("record_migration")
_HAS_TABLE = query("has_migrations_table")

_FILE_NAME = re.compile(r"(\d{4})_(?:pre|post)_[a-z0-9_]+\.sql")
_LOCK_ID: Final = 0x63736E5F7274  # "csn_rt"
_LOCK_WAIT_S: Final = 60.0
_CONNECT_TIMEOUT_S: Final = 5.0
_TABLE_LOCK_TIMEOUT: Final = "5s"


class MigrationFailed(Exception):
    """The message names the file and what is wrong with it."""


class Migration(msgspec.Struct, frozen=True):
    version: int
    name: str
    """The file's name."""
    sql: str
    checksum: str


class Status(msgspec.Struct, frozen=True):
    """One migration as a database has it."""

    name: str
    applied_at: datetime | None
    """None: not applied yet."""


def load_migrations(directory: Path = SQL_DIR / "migrations") -> list[Migration]:
    """All migrations in order; raises MigrationFailed for a wrong name or a number used twice."""
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) == 0:
            raise MigrationFailed(
                f"{path.name}: a migration is named NNNN_pre_name.sql or NNNN_post_name.sql"
            )
        version, sql = int(match[1]), path.read_text(encoding="utf-8")
        if version in found:
            raise MigrationFailed(f"{path.name}: number {version} is taken by {found[version].name}")
        found[version] = Migration(version, path.name, sql, hashlib.sha256(sql.encode()).hexdigest())
    return list(found.values())


async def migrate(url: str, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Apply what is missing and answer what was applied. Safe to run twice and at the same time."""
    wanted = load_migrations() if migrations is None else migrations
    connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)
    try:
        await _lock(connection)
        await connection.execute((SQL_DIR / "schema_migrations.sql").read_text(encoding="utf-8"))
        missing = _missing(wanted, await _READ.rows(connection))
        for migration in missing:
            await _apply(connection, migration)
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)
    return missing


async def status(connection: Connection) -> list[Status]:
    """Every migration of this program, and when this database had it. Changes nothing."""
    rows = await _READ.rows(connection) if await _HAS_TABLE.value(connection) else []
    applied = {row["version"]: row["applied_at"] for row in rows}
    return [Status(each.name, applied.get(each.version)) for each in _known()]


async def is_current(connection: Connection) -> bool:
    """Whether this database has every migration that this program knows; it may have newer ones."""
    return all(each.applied_at is not None for each in await status(connection))


@cache
def _known() -> list[Migration]:
    """What this program came with: readiness asks every few seconds."""
    return load_migrations()


async def _lock(connection: Connection) -> None:
    """The lock is the session's: it goes with the connection, however that ends."""
    try:
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK_ID})", timeout=_LOCK_WAIT_S)
    except TimeoutError:
        raise MigrationFailed(
            "another migration has been running for a minute; what does it wait for?"
        ) from None


def _missing(wanted: Sequence[Migration], rows: Sequence[asyncpg.Record]) -> list[Migration]:
    applied = {row["version"]: row for row in rows}
    for each in wanted:
        row = applied.get(each.version)
        if row is not None and row["checksum"] != each.checksum:
            raise MigrationFailed(
                f"{each.name}: was changed after it had been applied; put the change in a new file"
            )
    return [each for each in wanted if each.version not in applied]


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_TIMEOUT}'")
            await connection.execute(migration.sql)
            await _RECORD.run(connection, migration.version, migration.name, migration.checksum)
    except asyncpg.PostgresError as exc:
        raise MigrationFailed(f"{migration.name}{_line(migration, exc)}: {exc}") from exc


def _line(migration: Migration, exc: asyncpg.PostgresError) -> str:
    """The line of the file, if the server named a place."""
    position = getattr(exc, "position", None)
    return f", line {migration.sql.count(chr(10), 0, int(position)) + 1}" if position else ""
