"""From one device to the other, on another node: `python -m tests.bench.bench_progress`.

Two nodes, durable PostgreSQL; forty people report on one node and are told on the other.
"""

import asyncio
import time

import msgspec
import uvloop

from csn_rt.wire import names
from tests.bench.client import connect
from tests.bench.stage import heading, paced, report, set_stage
from tests.support.league import make_content
from tests.support.nodes import token

PEOPLE = 40
REPORTS_PER_S = 100
DURATION_S = 15


async def main() -> None:
    heading("Watch progress across nodes")
    async with set_stage(nodes=2) as stage:
        content_id = await make_content(stage.db)
        near, far = (node.ws_url for node in stage.nodes)
        reported_at: dict[tuple[str, int], float] = {}
        acknowledged: list[float] = []
        told: list[float] = []
        phones = []
        for n in range(PEOPLE):
            name = f"person{n}"
            tv = await connect(far, token(name))

            def pushed(line: bytes, name: str = name) -> None:
                data = msgspec.json.decode(line)["push"]["pub"]["data"]
                told.append(time.perf_counter() - reported_at[name, data["position_ms"]])

            tv.on_push = pushed
            await tv.subscribe(names.user(name))
            phones.append((name, await connect(near, token(name))))

        async def watch(n: int) -> None:
            name, phone = phones[n % PEOPLE]
            position = 60_000 + n * 100
            started = reported_at[name, position] = time.perf_counter()
            await phone.rpc(
                "progress.report",
                content_id=content_id,
                playback_session_id="playback",
                seq=n + 1,
                event="progress",
                position_ms=position,
                duration_ms=600_000,
            )
            acknowledged.append(time.perf_counter() - started)

        async with asyncio.TaskGroup() as tasks:
            async for n in paced(REPORTS_PER_S * DURATION_S, REPORTS_PER_S):
                tasks.create_task(watch(n))
        await asyncio.sleep(1)
        report("report acknowledged", acknowledged)
        report("the other device, on the other node, told", told)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
