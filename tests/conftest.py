"""The ground of every test: real servers, started once, and a database of its own for each test that asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from csn_rt.db.pool import Database, open_database
from tests.support.databases import Databases
from tests.support.redis_cluster import RedisCluster, running_cluster
from tests.support.servers import Servers, migrated_template, running_servers, temporary_directory


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


@pytest.fixture(scope="session")
def databases(servers: Servers, template_database: str) -> Iterator[Databases]:
    databases = Databases(servers.postgres_url, template_database)
    yield databases
    asyncio.run(databases.close())


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A fresh database with every table and no row."""
    url = await databases.lend()
    yield url
    await databases.take_back(url)


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


@pytest.fixture(scope="session")
def redis_cluster_servers() -> Iterator[RedisCluster]:
    """The processes of a cluster, for the whole run."""
    with temporary_directory() as directory, running_cluster(directory) as cluster:
        yield cluster


@pytest.fixture
async def redis_cluster(redis_cluster_servers: RedisCluster) -> AsyncIterator[RedisCluster]:
    """A cluster that is whole and has nothing in it, behind proxies of this test's own."""
    async with redis_cluster_servers.reachable() as cluster:
        yield cluster
