"""Queries in files, called by name.

`sql/queries/*.sql` hold blocks of the form

    -- name: mark_deleted(message_id, deleted_by) -> row
    -- Why it is as it is.
    UPDATE …

The header lists the parameters in the order of $1, $2, … and the kind of the result: `row` (one or none),
`rows`, `value` (one column of one row or None), `none`. `$1` stays `$1`, so that a query can be pasted into
psql.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast, get_args

import asyncpg
import msgspec
from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy

Connection = PoolConnectionProxy | asyncpg.Connection
"""What a query runs on, inside or outside a transaction: a connection of the pool, or one of its own."""

Kind = Literal["row", "rows", "value", "none"]

_PACKAGE = Path(__file__).resolve().parent.parent
SQL_DIR = next(path for path in (_PACKAGE / "sql", _PACKAGE.parent / "sql") if path.is_dir())
"""`sql/` inside the installed package, else at the top of the checkout."""

_HEADER = re.compile(r"^-- name: (\w+)\(([\w, ]*)\) -> (\w+)$", re.MULTILINE)
_ANY_HEADER = re.compile(r"^[ \t]*--[ \t]*name\b.*", re.MULTILINE | re.IGNORECASE)


class Query(msgspec.Struct, frozen=True):
    """One statement; its methods are the kinds of result, and only the declared one may be called."""

    name: str
    sql: str
    params: tuple[str, ...]
    kind: Kind

    async def row(self, connection: Connection, *args: Any) -> Record | None:
        self._check("row", args)
        return await connection.fetchrow(self.sql, *args)

    async def rows(self, connection: Connection, *args: Any) -> list[Record]:
        self._check("rows", args)
        return await connection.fetch(self.sql, *args)

    async def value(self, connection: Connection, *args: Any) -> Any:
        self._check("value", args)
        return await connection.fetchval(self.sql, *args)

    async def run(self, connection: Connection, *args: Any) -> None:
        self._check("none", args)
        await connection.execute(self.sql, *args)

    def _check(self, kind: Kind, args: tuple[Any, ...]) -> None:
        if kind != self.kind or len(args) != len(self.params):
            raise TypeError(
                f"{self.name}({', '.join(self.params)}) -> {self.kind} was called for {kind} with {len(args)}"
            )


def parse_queries(text: str) -> Iterable[Query]:
    """Every block of one file, in order; raises ValueError for a header that is not quite one."""
    for line in _ANY_HEADER.findall(text):
        if not _HEADER.fullmatch(line):
            raise ValueError(f"this is no query header: {line!r}")
    headers = list(_HEADER.finditer(text))
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        body = text[header.end() : following.start() if following else None].strip()
        if header[3] not in get_args(Kind):
            raise ValueError(f"query {header[1]}: unknown kind {header[3]!r}")
        params = tuple(name.strip() for name in header[2].split(",") if name.strip())
        yield Query(header[1], body, params, cast("Kind", header[3]))


def _load() -> dict[str, Query]:
    queries: dict[str, Query] = {}
    for path in sorted((SQL_DIR / "queries").glob("*.sql")):
        for query in parse_queries(path.read_text(encoding="utf-8")):
            if query.name in queries:
                raise ValueError(f"query {query.name} is defined twice")
            queries[query.name] = query
    return queries


QUERIES = _load()


def query(name: str) -> Query:
    """The query of that name; asked for at import time, so that a missing one stops the program at once."""
    return QUERIES[name]
