"""The background work: named jobs, each done at intervals by one owner in the cluster.

Rule 1: whoever holds a job's advisory lock does it. The locks are on one connection of the worker's own, so
        they go with it, however the worker ends, and the next worker that asks has them.
Rule 2: a worker that loses that connection stops its jobs at once, and asks again.
Rule 3: a job may yet run twice at a time, for the moment in which one owner has not noticed that another
        took over: running twice must do no harm.
Rule 4: a job that fails or takes too long is logged and done again at its next turn; the others go on.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

import asyncpg
import msgspec
import structlog

from csn_rt.bus.leases_redis import RedisLeases
from csn_rt.bus.redis import RedisBus
from csn_rt.db.pool import Database, open_database
from csn_rt.db.problems import DATABASE_PROBLEMS, describe_database_problem
from csn_rt.db.queries import query
from csn_rt.edge.telling import Teller
from csn_rt.errors import Unavailable
from csn_rt.features import retention
from csn_rt.features.context import Context, new_id
from csn_rt.features.progress import jobs as progress
from csn_rt.features.viewers import jobs as viewers
from csn_rt.settings import Settings

log = structlog.get_logger(__name__)

_TAKE = query("take_jobs")

TAKE_OVER_S: Final = 2.0
_ANSWER_S: Final = 3.0
_STOP_S: Final = 5.0
_JITTER: Final = 0.1

# A worker whose machine is gone without a goodbye: the server finds out in 25 s, and frees its locks.
_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}


class CannotWork(Exception):
    """The worker cannot begin; the message is for the operator."""


class Job(msgspec.Struct, frozen=True):
    name: str
    every_s: float
    run: Callable[[], Awaitable[object]]
    timeout_s: float = 60.0


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Do all jobs until `stopping` is set; raises CannotWork if the database cannot be had at the start."""
    async with AsyncExitStack() as stack:
        try:
            db = await open_database(settings.database_url, max_size=4)
        except DATABASE_PROBLEMS as exc:
            raise CannotWork(describe_database_problem(exc)) from exc
        stack.push_async_callback(db.close)
        node_id = new_id()
        bus = RedisBus(settings.redis_url, node_id)
        stack.push_async_callback(bus.close)
        leases = RedisLeases(settings.redis_url)
        stack.push_async_callback(leases.close)
        await bus.start(lambda _envelope: None, lambda _is_up: None)
        ctx = Context(db, Teller(node_id=node_id, bus=bus))
        working = asyncio.create_task(run_jobs(settings.database_url, all_jobs(db, ctx, leases)))
        waiting = asyncio.create_task(stopping.wait())
        log.info("worker_started")
        try:
            await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, waiting):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await working
        log.info("worker_stopped")


def all_jobs(db: Database, ctx: Context, leases: RedisLeases) -> list[Job]:
    return [
        Job("keep_log", retention.EVERY_S, lambda: retention.keep_log(db)),
        Job("sweep_sessions", viewers.SWEEP_EVERY_S, lambda: viewers.sweep(ctx)),
        Job("sample_viewers", viewers.SAMPLE_EVERY_S, lambda: viewers.sample(ctx, leases)),
        Job("forget_playback", progress.FORGET_EVERY_S, lambda: progress.forget_sessions(ctx)),
    ]


async def run_jobs(database_url: str, jobs: Sequence[Job], *, take_over_s: float = TAKE_OVER_S) -> None:
    """Take the jobs that nobody holds and do them, until cancelled."""
    while True:
        try:
            await _hold_and_run(database_url, jobs, take_over_s)
        except DATABASE_PROBLEMS as exc:
            log.warning("job_locks_lost", error=type(exc).__name__, detail=str(exc)[:200])
        await asyncio.sleep(_jittered(take_over_s))


async def _hold_and_run(database_url: str, jobs: Sequence[Job], take_over_s: float) -> None:
    connection = await asyncpg.connect(
        database_url,
        timeout=_ANSWER_S,
        command_timeout=_ANSWER_S,
        server_settings={"application_name": "csn_rt worker", **_KEEPALIVE},
    )
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _connection: lost.set())
    running: dict[str, asyncio.Task[None]] = {}
    try:
        while not lost.is_set():
            # Also asked when everything is held: it is how a connection that died silently is noticed.
            rows = await _TAKE.rows(connection, [job.name for job in jobs if job.name not in running])
            taken = {row["name"] for row in rows}
            for job in jobs:
                if job.name in taken:
                    log.info("job_taken", job=job.name)
                    running[job.name] = asyncio.create_task(_repeat(job), name=f"job-{job.name}")
            with suppress(TimeoutError):
                async with asyncio.timeout(_jittered(take_over_s)):
                    await lost.wait()
        raise ConnectionError("the connection that holds the locks was closed")
    finally:
        for task in running.values():
            task.cancel()
        if running:
            await asyncio.wait(running.values(), timeout=_STOP_S)
        await _close(connection)


async def _repeat(job: Job) -> None:
    while True:
        try:
            async with asyncio.timeout(job.timeout_s):
                await job.run()
        except (Unavailable, TimeoutError) as exc:
            log.warning("job_failed", job=job.name, error=type(exc).__name__, detail=str(exc))
        except Exception:
            log.exception("job_failed", job=job.name)
        await asyncio.sleep(_jittered(job.every_s))


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_ANSWER_S)
    except DATABASE_PROBLEMS:
        connection.terminate()


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
