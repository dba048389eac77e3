"""The ground of every test: real servers, started once, and a database of its own for each test that asks."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from csn_rt.db.pool import Database, open_database
from tests.support.servers import (
    Servers,
    administer,
    migrated_template,
    new_database_name,
    running_servers,
    with_database,
)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis for the whole run."""
    with running_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> Iterator[str]:
    """The name of a database that has had every migration; it is cloned, never used."""
    with migrated_template(servers.postgres_url) as name:
        yield name


@pytest.fixture
async def database_url(servers: Servers, template_database: str) -> AsyncIterator[str]:
    """A fresh database with every table and no row."""
    name = new_database_name()
    await administer(servers.postgres_url, f"CREATE DATABASE {name} TEMPLATE {template_database}")
    yield with_database(servers.postgres_url, name)
    await administer(servers.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """The pool that features get, on a fresh database."""
    database = await open_database(database_url)
    yield database
    await database.close()


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Redis with nothing in it."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url
