"""The servers that a test run stands on: given by the environment, or embedded in a temporary directory."""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec

from csn_rt.db.migrate import migrate
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.redis import EmbeddedRedis


class Servers(msgspec.Struct, frozen=True):
    postgres_url: str
    redis_url: str


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that the embedded PostgreSQL can live in also when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="csn-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running_servers() -> Iterator[Servers]:
    postgres_url = os.environ.get("CSN_TEST_DATABASE_URL", "")
    redis_url = os.environ.get("CSN_TEST_REDIS_URL", "")
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        if not postgres_url:
            postgres_url = stack.enter_context(EmbeddedPostgres(directory, durable=False)).url
        if not redis_url:
            redis_url = stack.enter_context(EmbeddedRedis(directory)).url
        yield Servers(postgres_url, redis_url)


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextmanager
def migrated_template(server_url: str) -> Iterator[str]:
    """The name of a database that has had every migration; a broken one ends the run with its file's name."""
    name = new_database_name()
    asyncio.run(administer(server_url, f"CREATE DATABASE {name}"))
    try:
        asyncio.run(migrate(with_database(server_url, name)))
        yield name
    finally:
        asyncio.run(administer(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


def new_database_name() -> str:
    return f"csn_test_{uuid.uuid4().hex[:12]}"


async def administer(server_url: str, statement: str) -> None:
    connection = await asyncpg.connect(server_url, timeout=5)
    try:
        await connection.execute(statement, timeout=30)
    finally:
        await connection.close()
