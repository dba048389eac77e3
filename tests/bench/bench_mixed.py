"""A thousand subscribers while chat, progress and queries go on: `python -m tests.bench.bench_mixed`.

One node, durable PostgreSQL, the load on the other core. Latencies are as a client sees them.
"""

import asyncio
import time
from collections import defaultdict

import msgspec
import uvloop

from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.bench.client import LoadClient, connect
from tests.bench.crowd import Crowd, crowd
from tests.bench.stage import Stage, heading, paced, report, set_stage
from tests.support.league import make_content
from tests.support.nodes import token

SUBSCRIBERS = 1_000
DURATION_S = 20
CHAT_PER_S = 50
PROGRESS_PER_S = 100
QUERIES_PER_S = 50
WATCHERS_PER_S = 1


class Latencies:
    def __init__(self) -> None:
        self.by_name: dict[str, list[float]] = defaultdict(list)

    async def call(self, name: str, client: LoadClient, method: str, **params: object) -> dict:
        started = time.perf_counter()
        answer = await client.rpc(method, **params)
        self.by_name[name].append(time.perf_counter() - started)
        return answer


async def main() -> None:
    heading("1,000 subscribers, mixed load")
    async with set_stage() as stage:
        channels = [names.stream_chat(stage.stream_id), names.stream_viewers(stage.stream_id)]
        with crowd(stage.nodes[0].ws_url, [channels], SUBSCRIBERS) as subscribers:
            await _play(stage, subscribers)


async def _play(stage: Stage, subscribers: Crowd) -> None:
    latencies = Latencies()
    counted_at: dict[int, float] = {}
    ws_url = stage.nodes[0].ws_url
    asker = await connect(ws_url)
    talkers = [await connect(ws_url, token(f"talker{n}", Role.MODERATOR)) for n in range(40)]
    content_id = await make_content(stage.db)
    people = [await _person(ws_url, f"person{n}", latencies) for n in range(20)]
    cpu_before, started = stage.cpu_s(), time.perf_counter()

    async def talk() -> None:
        async with asyncio.TaskGroup() as tasks:
            async for n in paced(CHAT_PER_S * DURATION_S, CHAT_PER_S):
                text = f"message {n} {time.perf_counter()}"
                params = {"stream_id": stage.stream_id, "text": text, "client_id": f"{n}"}
                tasks.create_task(
                    latencies.call("mutation: chat.send", talkers[n % 40], "chat.send", **params)
                )

    async def watch() -> None:
        async with asyncio.TaskGroup() as tasks:
            async for n in paced(PROGRESS_PER_S * DURATION_S, PROGRESS_PER_S):
                phone, reported_at = people[n % len(people)]
                position = 60_000 + n * 100
                reported_at[position] = time.perf_counter()
                params = {
                    "content_id": content_id,
                    "playback_session_id": "playback",
                    "seq": n + 1,
                    "event": "progress",
                    "position_ms": position,
                    "duration_ms": 600_000,
                }
                tasks.create_task(
                    latencies.call("mutation: progress.report", phone, "progress.report", **params)
                )

    async def ask() -> None:
        questions = (
            ("chat.history", {"stream_id": stage.stream_id}),
            ("content.get", {"content_id": content_id}),
            ("viewers.get", {"stream_ids": [stage.stream_id]}),
            ("content.list", {"kind": "live"}),
        )
        async with asyncio.TaskGroup() as tasks:
            async for n in paced(QUERIES_PER_S * DURATION_S, QUERIES_PER_S):
                method, params = questions[n % len(questions)]
                tasks.create_task(latencies.call(f"query: {method}", asker, method, **params))

    async def join() -> None:
        async for n in paced(WATCHERS_PER_S * DURATION_S, WATCHERS_PER_S):
            viewer = await connect(ws_url, token(f"viewer{n}"))
            counted_at[n + 1] = time.perf_counter()
            await latencies.call(
                "mutation: session.start", viewer, "session.start", stream_id=stage.stream_id
            )

    async with asyncio.TaskGroup() as tasks:
        for load in (talk(), watch(), ask(), join()):
            tasks.create_task(load)
    await asyncio.sleep(1)
    share = (stage.cpu_s() - cpu_before) / (time.perf_counter() - started)
    seen = await subscribers.leave()
    latencies.by_name["chat: send to delivery"] = seen.message_latencies_s
    latencies.by_name["viewer count: change to every subscriber"] = [
        at - counted_at[viewers] for viewers, at in seen.counts if viewers in counted_at
    ]
    print(f"{SUBSCRIBERS} connected, with two subscriptions each, in {seen.connected_s:.1f} s")
    for name in sorted(latencies.by_name):
        report(name, latencies.by_name[name])
    for kind in ("query", "mutation"):
        calls = [values for name, values in latencies.by_name.items() if name.startswith(kind)]
        report(f"all: {kind}", [latency for values in calls for latency in values])
    print(f"chat deliveries {seen.messages} of {CHAT_PER_S * DURATION_S * SUBSCRIBERS}")
    print(f"node {share:.2f} of a core")


async def _person(ws_url: str, name: str, latencies: Latencies) -> tuple[LoadClient, dict[int, float]]:
    """Somebody with two devices: one reports, the other is told."""
    reported_at: dict[int, float] = {}
    phone, tv = await connect(ws_url, token(name)), await connect(ws_url, token(name))

    def pushed(line: bytes) -> None:
        position = msgspec.json.decode(line)["push"]["pub"]["data"]["position_ms"]
        latencies.by_name["progress: report to the other device"].append(
            time.perf_counter() - reported_at[position]
        )

    tv.on_push = pushed
    await tv.subscribe(names.user(name))
    return phone, reported_at


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
