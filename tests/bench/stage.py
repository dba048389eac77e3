"""What every bench stands on: servers, nodes as processes, a stream, and how figures are printed."""

import argparse
import asyncio
import platform
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import psutil

from csn_rt.db.migrate import migrate
from csn_rt.db.pool import Database, open_database
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.redis import EmbeddedRedis
from csn_rt.wire.roles import Role
from tests.bench.client import connect
from tests.support.cluster import NodeProcess
from tests.support.league import make_stream
from tests.support.nodes import token
from tests.support.servers import temporary_directory

SPARE_FILES = 500
"""What a process has open besides the sockets of the load."""


STARTS_PER_S = 80
"""Below the pace of commands of one connection."""


class Stage:
    def __init__(self, db: Database, nodes: Sequence[NodeProcess], stream_ids: Sequence[str]) -> None:
        self.db = db
        self.nodes = nodes
        self.stream_ids = stream_ids

    @property
    def stream_id(self) -> str:
        return self.stream_ids[0]

    def cpu_s(self) -> float:
        """CPU seconds that the nodes have used so far."""
        return sum(sum(psutil.Process(node.pid).cpu_times()[:2]) for node in self.nodes)

    def rss_bytes(self) -> int:
        """Memory that the nodes hold now."""
        return sum(psutil.Process(node.pid).memory_info().rss for node in self.nodes)


@asynccontextmanager
async def set_stage(nodes: int = 1, streams: int = 1, **environment: str) -> AsyncIterator[Stage]:
    """Embedded PostgreSQL (durable) and Valkey, a fresh database, nodes, and streams that are on."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        database_url = stack.enter_context(EmbeddedPostgres(directory)).url
        redis_url = stack.enter_context(EmbeddedRedis(directory)).url
        await migrate(database_url)
        db = await open_database(database_url)
        stack.push_async_callback(db.close)
        running = [
            await stack.enter_async_context(
                NodeProcess(database_url, redis_url, directory / f"node{n}.log", **environment)
            )
            for n in range(nodes)
        ]
        stream_ids = [await make_stream(db) for _ in range(streams)]
        admin = await connect(running[0].ws_url, token("root", Role.ADMIN))
        async for n in paced(streams, STARTS_PER_S):
            await admin.rpc("stream.start", stream_id=stream_ids[n])
        admin.close()
        yield Stage(db, running, stream_ids)


def options(**defaults: int) -> argparse.Namespace:
    """The sizes of a bench, each of which the command line may change: `--subscribers 200`."""
    parser = argparse.ArgumentParser()
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    return parser.parse_args()


def sockets_allowed(wanted: int) -> int:
    """So many sockets as one process may hold here, and says so where that is fewer than wanted."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the nodes inherit it
    allowed = min(wanted, hard - SPARE_FILES)
    if allowed < wanted:
        print(f"A process may open {hard} files here: {allowed} sockets instead of {wanted}.\n")
    return allowed


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def report(title: str, latencies_s: Sequence[float]) -> None:
    if not latencies_s:
        print(f"{title:<48} none")
        return
    p50, p95, p99 = (percentile(latencies_s, share) * 1000 for share in (0.50, 0.95, 0.99))
    print(f"{title:<48} n={len(latencies_s):<7} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   p99 {p99:7.1f} ms")


def heading(title: str) -> None:
    cores = psutil.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    print(
        f"{title}\n{time.strftime('%Y-%m-%d')}, {cores} cores, {memory:.0f} GiB, {platform.machine()}, ",
        end="",
    )
    print(f"Python {platform.python_version()}\n")


async def paced(count: int, per_s: float) -> AsyncIterator[int]:
    """0, 1, 2 … at this rate, whatever the body takes."""
    started = time.monotonic()
    for n in range(count):
        pause = started + n / per_s - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        yield n
