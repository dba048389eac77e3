"""Every query of sql/queries, without a word about any of them: what is added is covered."""

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from csn_rt.db.queries import QUERIES, SQL_DIR, Query, parse_queries
from tests.support.servers import administer, new_database_name, with_database

FILL = Path(__file__).with_name("large_tables.sql").read_text()
LARGE = [
    "channel_log",
    "channels",
    "content",
    "content_audit_log",
    "live_chat_messages",
    "live_stream_sessions",
    "live_viewer_samples",
    "playback_sessions",
    "user_watch_progress",
]


@pytest.fixture(scope="module")
def full_database_url(servers, template_database):
    """A database with many rows, of which the planner knows."""
    name = new_database_name()
    asyncio.run(administer(servers.postgres_url, f"CREATE DATABASE {name} TEMPLATE {template_database}"))
    url = with_database(servers.postgres_url, name)
    asyncio.run(administer(url, FILL))
    asyncio.run(administer(url, "ANALYZE"))
    yield url
    asyncio.run(administer(servers.postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def connection(full_database_url):
    connection = await asyncpg.connect(full_database_url)
    yield connection
    await connection.close()


def each_query(test):
    return pytest.mark.parametrize("query", [pytest.param(each, id=name) for name, each in QUERIES.items()])(
        test
    )


@each_query
async def test_a_query_is_what_its_header_says(connection, query):
    """It prepares, has the parameters that are named, and answers as many columns as its kind needs."""
    prepared = await connection.prepare(query.sql)
    columns = len(prepared.get_attributes())

    assert len(query.params) == len(prepared.get_parameters())
    if query.kind == "none":
        assert columns == 0 or query.sql.startswith("SELECT"), "what it answers is thrown away"
    else:
        assert columns == 1 if query.kind == "value" else columns > 0


@pytest.mark.parametrize("seqscan", ["off", "on"])
@each_query
async def test_a_query_reads_no_large_table_whole(connection, query, seqscan):
    """By the plan that PostgreSQL keeps for a prepared statement, whatever the values will be.

    As the program asks for it, without sequential scans, and as the planner would choose.
    """
    partial = {row[0] for row in await connection.fetch(PARTIAL_INDEXES)}
    large = {row[0] for row in await connection.fetch(LARGE_RELATIONS, LARGE)}
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; SET enable_seqscan = {seqscan}")
    await connection.execute(f"PREPARE query AS {query.sql}")
    arguments = f"({', '.join(['NULL'] * len(query.params))})" if query.params else ""
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE query{arguments}")
    whole = [
        f"{node['Node Type']} on {node.get('Relation Name', node.get('Index Name'))}"
        for node, is_limited in walk(json.loads(plan)[0]["Plan"])
        if reads_whole(node, is_limited, large, partial)
    ]

    assert [] == whole


PARTIAL_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
LARGE_RELATIONS = """
SELECT relname FROM pg_class WHERE relname = ANY ($1)
UNION SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent::regclass::text = ANY ($1)
"""


def walk(node, is_limited=False):
    """Every node of a plan, and whether a Limit stands above it."""
    yield node, is_limited
    for child in node.get("Plans", ()):
        yield from walk(child, is_limited or node["Node Type"] == "Limit")


def reads_whole(node, is_limited, large, partial):
    """An index without a condition is read whole too, unless it has few rows or a Limit ends the reading."""
    if node["Node Type"] == "Seq Scan":
        return node["Relation Name"] in large
    if node["Node Type"] in ("Index Scan", "Index Only Scan"):
        is_bounded = "Index Cond" in node or node["Index Name"] in partial or is_limited
        return node["Relation Name"] in large and not is_bounded
    return False


@pytest.mark.parametrize("table", LARGE)
async def test_a_table_that_is_to_be_large_is_large(connection, table):
    """Else the test above would say nothing."""
    assert 20_000 <= await connection.fetchval(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM live_chat_messages WHERE text = $1",
        "SELECT count(*) FROM channel_log WHERE $1::int = 1",
        "SELECT * FROM user_watch_progress WHERE version = $1 ORDER BY user_id, content_id",
    ],
)
async def test_a_query_that_reads_a_large_table_whole_would_be_seen(connection, statement):
    with pytest.raises(AssertionError):
        await test_a_query_reads_no_large_table_whole(
            connection, Query("bad", statement, ("text",), "rows"), "off"
        )


def test_every_file_has_queries_and_says_where_its_rules_are():
    for path in (SQL_DIR / "queries").glob("*.sql"):
        text = path.read_text(encoding="utf-8")

        assert list(parse_queries(text)), path.name
        assert text.startswith("-- "), f"{path.name} begins with what it is about"


def test_a_header_gives_name_parameters_and_kind():
    [first, second] = parse_queries(
        "-- About.\n\n-- name: find(id, at) -> row\n-- Why.\nSELECT $1, $2;\n"
        "-- name: sweep() -> none\nDELETE FROM t;"
    )

    assert Query("find", "-- Why.\nSELECT $1, $2;", ("id", "at"), "row") == first
    assert Query("sweep", "DELETE FROM t;", (), "none") == second


@pytest.mark.parametrize(
    "header",
    [
        "-- name: find(id) -> many",
        "-- name: find(id) -> row ",
        "-- name: find (id) -> row",
        "--name: find(id) -> row",
        "-- name: find(id)",
        " -- name: find(id) -> row",
    ],
)
def test_a_header_with_a_mistake_is_refused_and_not_taken_for_a_comment(header):
    with pytest.raises(ValueError, match="find"):
        list(parse_queries(f"-- name: good() -> none\nSELECT 1;\n{header}\nSELECT 2;"))


async def test_a_query_called_for_another_kind_or_with_too_few_values_is_a_bug():
    query = QUERIES["read_heads"]
    with pytest.raises(TypeError, match=r"read_heads\(channels\) -> rows was called for row with 1"):
        await query.row(None, [])
    with pytest.raises(TypeError, match=r"called for rows with 0"):
        await query.rows(None)
