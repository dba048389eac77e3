"""What is put to the proof: PostgreSQL, Redis, three nodes and a worker, and all that can happen to them.

Every node has a cable of its own to each server, so that one of them alone can be cut off. The servers belong
to the site: it kills and restarts them. PostgreSQL is durable, as in production.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from csn_rt.db.log import heads_of
from csn_rt.db.migrate import migrate
from csn_rt.db.pool import open_database
from csn_rt.db.queries import Connection
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.redis import EmbeddedRedis
from csn_rt.wire.names import stream_chat
from csn_rt.wire.roles import Role
from tests.prove.network import Fault, Network
from tests.support.cluster import NodeProcess, WorkerProcess
from tests.support.fans import Fan
from tests.support.league import make_content, make_stream
from tests.support.nodes import token
from tests.support.servers import temporary_directory

NODES: Final = 3
WORKER: Final = "worker"
DURATION_MS: Final = 2 * 3_600_000


class Site:
    def __init__(
        self, network: Network, postgres: EmbeddedPostgres, redis: EmbeddedRedis, directory: Path
    ) -> None:
        self.network = network
        self.directory = directory
        self.nodes: list[NodeProcess] = []
        self.worker: WorkerProcess
        self.stream_id = ""
        self.quiet_id = ""
        """Of the second stream, with the quiet chat."""
        self.content_ids: list[str] = []
        self._postgres = postgres
        self._redis = redis

    # Servers

    async def kill_redis(self) -> None:
        await asyncio.to_thread(_kill_server, "valkey", self.directory)
        await asyncio.to_thread(self._redis.stop)

    async def start_redis(self) -> None:
        """It comes back empty."""
        await asyncio.to_thread(self._redis.start)

    async def stop_postgres(self) -> None:
        """As an orderly restart begins."""
        await asyncio.to_thread(self._postgres.stop)

    async def kill_postgres(self) -> None:
        await asyncio.to_thread(_kill_server, "postgres", self.directory)
        await asyncio.to_thread(self._postgres.stop)

    async def start_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.start)
        for side in (*map(str, range(NODES)), WORKER):
            await self.network.aim(f"postgres-{side}", self._postgres.url)

    # Cables

    @asynccontextmanager
    async def hurt(
        self, server: str, fault: Fault, sides: Sequence[int | str], seconds: float = 0.0
    ) -> AsyncIterator[None]:
        """A fault of the cables from these nodes to `redis` or `postgres`."""
        async with AsyncExitStack() as stack:
            for side in sides:
                await self.network.begin(f"{server}-{side}", fault, seconds)
                stack.push_async_callback(self.network.end, f"{server}-{side}", fault)
            yield

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Connection]:
        """The checker's own way in, which only the server's own end closes."""
        connection = await asyncpg.connect(self._postgres.url, timeout=10, command_timeout=30)
        try:
            yield connection
        finally:
            await connection.close()

    async def postgres_started(self) -> datetime:
        async with self.database() as connection:
            return await connection.fetchval("SELECT pg_postmaster_start_time()")

    async def head(self, stream_id: str) -> int:
        """The offset of the last event of the stream's chat, by the database itself."""
        channel = stream_chat(stream_id)
        async with self.database() as connection:
            return (await heads_of(connection, [channel]))[channel].offset

    def logs(self) -> list[Path]:
        """Of nodes and worker; they are deleted with the site."""
        return [*self.directory.glob("node*.log"), self.directory / "worker.log"]


def _kill_server(program: str, directory: Path) -> None:
    """kill -9, as when a machine loses power. Only processes that work in the site's own directory.

    Raises RuntimeError: there was none.
    """
    own = directory.resolve()
    killed = 0
    for process in psutil.process_iter():
        try:
            if process.name().startswith(program) and own in Path(process.cwd()).parents:
                process.kill()
                killed += 1
        except psutil.Error:
            continue
    if not killed:
        raise RuntimeError(f"there was no {program} to kill")


@asynccontextmanager
async def open_site(drain_s: float) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        postgres = stack.enter_context(EmbeddedPostgres(directory))
        redis = stack.enter_context(EmbeddedRedis(directory))
        network = await stack.enter_async_context(Network())
        site = Site(network, postgres, redis, directory)
        await migrate(postgres.url)
        sides = [*map(str, range(NODES)), WORKER]
        redis_urls = {side: await network.lay(f"redis-{side}", redis.url) for side in sides}
        postgres_urls = {side: await network.lay(f"postgres-{side}", postgres.url) for side in sides}
        for side in sides[:NODES]:
            node = NodeProcess(
                postgres_urls[side],
                redis_urls[side],
                directory / f"node{side}.log",
                CSN_DRAIN_S=f"{drain_s:g}",
            )
            site.nodes.append(await stack.enter_async_context(node))
        site.worker = await stack.enter_async_context(
            WorkerProcess(postgres_urls[WORKER], redis_urls[WORKER], directory / "worker.log")
        )
        await _fill(site, postgres.url)
        async with Fan(site.nodes[0].ws_url, token("root", Role.ADMIN)) as admin:
            await admin.call("stream.start", stream_id=site.stream_id)
        yield site


async def _fill(site: Site, database_url: str) -> None:
    db = await open_database(database_url)
    try:
        site.stream_id, site.quiet_id = await make_stream(db), await make_stream(db)
        site.content_ids = [await make_content(db, duration_ms=DURATION_MS) for _ in range(3)]
    finally:
        await db.close()
