"""What a connection costs: `python -m tests.bench.bench_connections`.

One node; everybody subscribes to the chat and the viewer count of one stream, and who has a token to his own
channel. First what an idle connection keeps in memory, then what coming costs, then a crowd that comes back
all at once beside somebody who stays. A part alone: `… memory`, `… coming`, `… storm`, `… objects`.
"""

import asyncio
import gc
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import uvloop

from csn_rt.db.migrate import migrate
from csn_rt.db.pool import open_database
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.redis import EmbeddedRedis
from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.bench.client import connect
from tests.bench.comers import Come, Comers, comers
from tests.bench.stage import Stage, heading, paced, report, set_stage
from tests.support.league import make_stream
from tests.support.nodes import running_node, token
from tests.support.servers import temporary_directory

FEW, MANY = 1_000, 5_000
"""Memory is the slope between them: what the first connections warm up is no connection's cost."""
COMERS = 2_000
CHAT_PER_S = 20
TALKERS = 20
"""One alone would soon be refused."""
TRACED = 500
STATISTICS_S = 11.0
"""PostgreSQL's processes report what they counted after 10 s without work at the latest."""


async def main(parts: Sequence[str]) -> None:
    heading("Connections")
    for name, part in (
        ("memory", memory),
        ("memory", memory_with_token),
        ("coming", coming),
        ("storm", storm),
    ):
        if not parts or name in parts:
            async with set_stage() as stage:
                with comers(stage.nodes[0].ws_url) as crowd:
                    await part(stage, crowd)
    if not parts or "objects" in parts:
        await objects()


def channels(stream_id: str) -> list[str]:
    return [names.stream_chat(stream_id), names.stream_viewers(stream_id)]


async def memory(stage: Stage, crowd: Comers, *, with_token: bool = False) -> None:
    at: dict[int, int] = {}
    for first, count in ((0, FEW), (FEW, MANY - FEW)):
        await crowd.come(Come(first, count, channels(stage.stream_id), with_token=with_token))
        await asyncio.sleep(1)
        at[first + count] = psutil.Process(stage.nodes[0].pid).memory_full_info().uss
    slope = (at[MANY] - at[FEW]) / (MANY - FEW)
    title = "token, 3 subscriptions" if with_token else "no token, 2 subscriptions"
    print(
        f"memory: {title:<32} {slope / 1024:6.1f} KiB a connection"
        f" (node: {at[MANY] / 2**20:.0f} MiB at {MANY:,})"
    )


async def memory_with_token(stage: Stage, crowd: Comers) -> None:
    await memory(stage, crowd, with_token=True)


async def coming(stage: Stage, crowd: Comers) -> None:
    # Warms up the node itself.
    await crowd.come(Come(COMERS, 200, channels(stage.stream_id)))
    for title, recovers in (("for the first time", False), ("again, with recovery", True)):
        come = Come(0, COMERS, channels(stage.stream_id), recovers=recovers)
        await measured(stage, crowd, f"coming {title}", come)
        await crowd.go()
        await asyncio.sleep(1)
    come = Come(0, COMERS, channels(stage.stream_id), with_token=False)
    await measured(stage, crowd, "coming without token, 2 subscriptions", come)


async def storm(stage: Stage, crowd: Comers) -> None:
    chat = names.stream_chat(stage.stream_id)
    url = stage.nodes[0].ws_url
    bystander = await connect(url, token("by"))
    talkers = [await connect(url, token(f"talker{n}", Role.MODERATOR)) for n in range(TALKERS)]
    deliveries: list[float] = []
    calls: list[float] = []

    def pushed(line: bytes) -> None:
        data = msgspec.json.decode(line)["push"]["pub"]["data"]
        if data["type"] == "chat.message":
            deliveries.append(time.perf_counter() - float(data["text"]))

    async def talk() -> None:
        async for n in paced(10_000, CHAT_PER_S):
            text = str(time.perf_counter())
            await talkers[n % TALKERS].rpc(
                "chat.send", stream_id=stage.stream_id, text=text, client_id=f"c{n}"
            )

    async def ask() -> None:
        async for _ in paced(10_000, 2 * CHAT_PER_S):
            started = time.perf_counter()
            await bystander.rpc("chat.history", stream_id=stage.stream_id)
            calls.append(time.perf_counter() - started)

    def tell(title: str) -> None:
        report(f"bystander, {title}: chat.history", calls)
        report(f"bystander, {title}: delivery", deliveries)
        calls.clear()
        deliveries.clear()

    bystander.on_push = pushed
    await bystander.subscribe(chat)
    come = Come(0, COMERS, channels(stage.stream_id))
    await crowd.come(come)
    tasks = [asyncio.create_task(talk()), asyncio.create_task(ask())]
    await asyncio.sleep(5)
    tell("before")
    await crowd.go()
    await asyncio.sleep(1)
    calls.clear()
    deliveries.clear()
    await measured(stage, crowd, "storm", msgspec.structs.replace(come, recovers=True), counts_queries=False)
    tell("in the storm")
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.wait(tasks)


async def measured(
    stage: Stage, crowd: Comers, title: str, come: Come, *, counts_queries: bool = True
) -> None:
    queries = await transactions(stage) if counts_queries else 0
    cpu_s = stage.cpu_s()
    came = await crowd.come(come)
    cpu_s = stage.cpu_s() - cpu_s
    print(
        f"{title:<40} {come.count / cpu_s:6.0f} a CPU-second, {come.count / came.took_s:6.0f}/s by the clock;"
        f" {came.recovered} recovered, {came.refused} refused",
        end="",
    )
    if counts_queries:
        queries = await transactions(stage) - queries
        print(f"; {queries / come.count:.2f} transactions each", end="")
    print()


async def transactions(stage: Stage) -> int:
    await asyncio.sleep(STATISTICS_S)
    async with stage.db.connection() as connection:
        count = await connection.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
    return int(count)


async def objects() -> None:
    """Where the node's Python objects of a connection were made; memory of C libraries is not seen."""
    async with node_here() as (ws_url, stream_id):
        with comers(ws_url) as crowd:
            await crowd.come(Come(0, 100, channels(stream_id)))
            gc.collect()
            tracemalloc.start(12)
            before = tracemalloc.take_snapshot()
            await crowd.come(Come(100, TRACED, channels(stream_id)))
            await asyncio.sleep(1)
            gc.collect()
            after = tracemalloc.take_snapshot()
            tracemalloc.stop()
    size: Counter[str] = Counter()
    for row in after.compare_to(before, "lineno"):
        frame = row.traceback[0]
        path = Path(frame.filename)
        size[f"{path.parent.name}/{path.name}:{frame.lineno}"] += row.size_diff
    print(f"\nobjects: {sum(size.values()) / TRACED / 1024:.1f} KiB a connection")
    for place, total in size.most_common(45):
        print(f"  {total / TRACED:8.0f} B  {place}")


@asynccontextmanager
async def node_here() -> AsyncIterator[tuple[str, str]]:
    """A node in this process, and a stream that is on."""
    with (
        temporary_directory() as directory,
        EmbeddedPostgres(directory) as postgres,
        EmbeddedRedis(directory) as redis,
    ):
        await migrate(postgres.url)
        async with running_node(postgres.url, redis.url) as node:
            db = await open_database(postgres.url)
            stream_id = await make_stream(db)
            await db.close()
            admin = await connect(node.ws_url, token("root", Role.ADMIN))
            await admin.rpc("stream.start", stream_id=stream_id)
            admin.close()
            yield node.ws_url, stream_id


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:]))
