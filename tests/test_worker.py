"""Jobs and their owners, on a real PostgreSQL."""

import asyncio
import contextlib
import os
import signal
import sys
import time

import asyncpg
import pytest
from structlog.testing import capture_logs

from csn_rt import worker
from csn_rt.errors import Unavailable
from csn_rt.settings import Settings
from csn_rt.worker import CannotWork, Job, run, run_jobs
from tests.support.proxy import Proxy

TAKE_OVER_S = 0.1


class Diary:
    """What was done, by whom, and how many were at it at the same time."""

    def __init__(self):
        self.entries = []
        self.at_work = 0
        self.most_at_work = 0

    def job(self, who, every_s=0.02, name="write", takes_s=0.005):
        async def write():
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            try:
                await asyncio.sleep(takes_s)
                self.entries.append(who)
            finally:
                self.at_work -= 1

        return Job(name, every_s, write)

    async def wait_for(self, who, seconds=5):
        async with asyncio.timeout(seconds):
            while who not in self.entries:
                await asyncio.sleep(0.01)


@pytest.fixture
async def start(database_url):
    """Start a worker in this process; cancelling its task is its end."""
    tasks = []

    def start(*jobs, url=database_url, take_over_s=TAKE_OVER_S):
        tasks.append(asyncio.create_task(run_jobs(url, jobs, take_over_s=take_over_s)))
        return tasks[-1]

    yield start
    for task in tasks:
        await end(task)


async def end(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_job_is_done_again_and_again(start):
    diary = Diary()
    start(diary.job("ann"))
    await asyncio.sleep(0.5)

    assert len(diary.entries) > 5


async def test_of_two_workers_exactly_one_does_a_job(start):
    diary = Diary()
    start(diary.job("ann"))
    await diary.wait_for("ann")
    start(diary.job("bob"))
    await asyncio.sleep(4 * TAKE_OVER_S)

    assert {"ann"} == set(diary.entries)
    assert 1 == diary.most_at_work


async def test_workers_that_start_together_do_each_job_once_at_a_time(start):
    diary = Diary()
    for who in ("ann", "bob", "cid"):
        start(diary.job(who))
    await asyncio.sleep(0.5)

    assert 1 == len(set(diary.entries))
    assert 1 == diary.most_at_work


async def test_jobs_of_different_names_have_owners_of_their_own(start):
    diary = Diary()
    start(diary.job("ann", name="one"))
    start(diary.job("bob", name="two"))
    await diary.wait_for("ann")
    await diary.wait_for("bob")


async def test_another_worker_takes_over_from_one_that_stopped(start):
    diary = Diary()
    ann = start(diary.job("ann"))
    await diary.wait_for("ann")
    start(diary.job("bob"))
    await asyncio.sleep(2 * TAKE_OVER_S)
    await end(ann)
    began = time.monotonic()
    await diary.wait_for("bob")

    assert time.monotonic() - began < 5 * TAKE_OVER_S


async def test_another_worker_takes_over_from_one_that_was_killed(start, database_url, tmp_path):
    script = tmp_path / "ann.py"
    script.write_text(
        "import asyncio, sys\n"
        "from csn_rt.worker import Job, run_jobs\n"
        "async def write():\n    print('written', flush=True)\n"
        "asyncio.run(run_jobs(sys.argv[1], [Job('write', 0.02, write)]))\n"
    )
    ann = await asyncio.create_subprocess_exec(
        sys.executable, str(script), database_url, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        while b"written" not in await ann.stdout.readline():
            pass
    diary = Diary()
    start(diary.job("bob"))
    await asyncio.sleep(4 * TAKE_OVER_S)

    assert [] == diary.entries
    os.kill(ann.pid, signal.SIGKILL)
    await diary.wait_for("bob")
    await ann.wait()


async def take_locks_away(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'csn_rt worker'"
    )
    await connection.close()
    await asyncio.sleep(0.1)


async def test_a_worker_that_lost_its_locks_stops_at_once(start, database_url):
    """Not only when it asks the next time."""
    diary = Diary()
    start(diary.job("ann", takes_s=30), take_over_s=20)
    await asyncio.sleep(0.3)
    assert 1 == diary.at_work
    await take_locks_away(database_url)

    assert 0 == diary.at_work


async def test_a_worker_that_lost_its_locks_asks_for_them_again(start, database_url):
    diary = Diary()
    start(diary.job("ann"))
    await diary.wait_for("ann")
    await take_locks_away(database_url)
    diary.entries.clear()
    await diary.wait_for("ann")


async def test_a_worker_cut_off_without_a_word_stops_its_jobs(start, database_url, monkeypatch):
    monkeypatch.setattr(worker, "_ANSWER_S", 0.2)
    diary = Diary()
    async with Proxy(database_url) as proxy:
        start(diary.job("ann", takes_s=30), url=proxy.url)
        await asyncio.sleep(0.3)
        assert 1 == diary.at_work
        async with proxy.stall():
            await asyncio.sleep(TAKE_OVER_S + 0.2 + 0.2 + 0.2)

            assert 0 == diary.at_work


async def test_a_database_that_is_away_is_waited_for(start, database_url):
    diary = Diary()
    async with Proxy(database_url) as proxy:
        async with proxy.unreachable():
            start(diary.job("ann"), url=proxy.url)
            await asyncio.sleep(3 * TAKE_OVER_S)
        await diary.wait_for("ann")


@pytest.mark.parametrize("exc", [Unavailable("away"), ArithmeticError("a bug")])
async def test_a_job_that_raises_is_logged_and_tried_again_and_the_others_go_on(start, exc):
    diary = Diary()
    tries = 0

    async def fail():
        nonlocal tries
        tries += 1
        raise exc

    with capture_logs() as logs:
        start(Job("fail", 0.02, fail), diary.job("ann"))
        await diary.wait_for("ann")
        await asyncio.sleep(0.2)

    assert tries > 2
    assert "fail" in {each.get("job") for each in logs if each["event"] == "job_failed"}


async def test_a_job_that_takes_too_long_is_ended_and_tried_again(start):
    tries = 0

    async def hang():
        nonlocal tries
        tries += 1
        await asyncio.sleep(30)

    start(Job("hang", 0.02, hang, timeout_s=0.05))
    await asyncio.sleep(0.5)

    assert tries > 2


async def test_jobs_do_not_march_in_step(monkeypatch):
    times = {worker._jittered(10.0) for _ in range(50)}

    assert len(times) > 40
    assert all(9.0 <= each <= 11.0 for each in times)


async def test_every_job_of_the_program_runs(db, database_url, redis_url):
    """On an empty database, by the worker's own run until it is told to stop."""
    stopping = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(run(Settings(database_url=database_url, redis_url=redis_url), stopping))
        async with asyncio.timeout(20), db.connection() as connection:
            while await connection.fetchval("SELECT count(*) FROM pg_inherits") < 2:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        stopping.set()
        await asyncio.wait_for(running, 10)

    assert {"keep_log", "sweep_sessions", "sample_viewers", "forget_playback"} == {
        each["job"] for each in logs if each["event"] == "job_taken"
    }
    assert [] == [each for each in logs if each["event"] == "job_failed"]


async def test_a_worker_without_a_database_says_so():
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1")
    with pytest.raises(CannotWork, match="PostgreSQL cannot be used"):
        await run(settings, asyncio.Event())
