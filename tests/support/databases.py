"""Fresh databases for tests, used again: to empty one takes a tenth of the time of making one.

Rule 1: a database is lent to one test at a time, with every migration and no row.
Rule 2: one that comes back changed in its schema, or that cannot be emptied, is thrown away.
Rule 3: whoever is still connected to one that comes back is disconnected first.
"""

import asyncpg

from tests.support.servers import administer, new_database_name, with_database

# Untouched tables have no pages. Entries of the audit log may not be taken away, not even by TRUNCATE.
_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;
DO $$
DECLARE
    used text := (SELECT string_agg(format('%I', relname), ', ')
                    FROM pg_class
                   WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
                     AND relname <> 'schema_migrations');
BEGIN
    IF used IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || used || ' CASCADE';
    END IF;
END
$$;
"""
_SCHEMA = """
SELECT (SELECT (count(*), max(oid::bigint)) FROM pg_class),
       (SELECT (count(*), max(oid::bigint)) FROM pg_constraint),
       (SELECT (count(*), max(oid::bigint)) FROM pg_proc),
       (SELECT (count(*), max(oid::bigint)) FROM pg_type),
       (SELECT count(*) FROM pg_attribute)
"""


class Databases:
    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._fresh: list[str] = []
        self._schema: asyncpg.Record | None = None

    async def lend(self) -> str:
        """The address of a fresh database."""
        if self._fresh:
            return self._fresh.pop()
        name = new_database_name()
        await administer(self._server_url, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        url = with_database(self._server_url, name)
        if self._schema is None:
            self._schema = await self._look(url)
        return url

    async def take_back(self, url: str) -> None:
        try:
            is_fresh = await self._look(url, _EMPTY) == self._schema
        except (asyncpg.PostgresError, OSError):
            is_fresh = False
        if is_fresh:
            self._fresh.append(url)
        else:
            await self._throw_away(url)

    async def close(self) -> None:
        for url in self._fresh:
            await self._throw_away(url)

    async def _look(self, url: str, *before: str) -> asyncpg.Record:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            for statements in before:
                await connection.execute(statements, timeout=30)
            return await connection.fetchrow(_SCHEMA, timeout=5)
        finally:
            await connection.close()

    async def _throw_away(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        await administer(self._server_url, f"DROP DATABASE {name} WITH (FORCE)")
