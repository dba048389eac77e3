"""One big room: `python -m tests.bench.bench_room`.

One node, durable PostgreSQL, real `chat.send`; once with subscribers that offer compression, as browsers do,
and once with others. They are a process of their own, which checks that each has every message, once and in
order.
"""

import asyncio

import uvloop

from tests.bench.rooms import Figures, Load, measure
from tests.bench.stage import heading, options, report, sockets_allowed

SUBSCRIBERS = 9_000
MESSAGES_PER_S = 100
DURATION_S = 20
REACH_P99_MS = 400
REACH_CORES = 0.6


async def main() -> None:
    sizes = options(subscribers=SUBSCRIBERS, messages=MESSAGES_PER_S, seconds=DURATION_S)
    heading(f"One room, {sizes.subscribers} subscribers, {sizes.messages} messages/s")
    subscribers = sockets_allowed(sizes.subscribers)
    for title, is_compressed in (("Compressed, as with browsers", True), ("Not compressed", False)):
        load = Load(
            subscribers=subscribers,
            per_s=sizes.messages,
            seconds=sizes.seconds,
            is_compressed=is_compressed,
        )
        _print(title, await measure(load))


def _print(title: str, room: Figures) -> None:
    load, seen, per_s = room.load, room.seen, 1 / room.elapsed_s
    print(f"{title}: {load.subscribers} connected and subscribed in {seen.connected_s:.1f} s")
    print(f"{seen.messages} deliveries of {load.deliveries}, {seen.messages * per_s:.0f}/s; ", end="")
    print(f"subscribers with a hole or a repetition: {seen.incomplete}")
    report("chat: send to acknowledgement", room.acknowledged_s)
    report("chat: send to delivery", seen.message_latencies_s)
    print(f"p99 {room.p99_ms / REACH_P99_MS:.2f} of the {REACH_P99_MS} ms to reach; ", end="")
    print(f"{room.retries} sends had to be repeated")
    print(
        f"node {room.cores:.2f} of a core, {room.cores / REACH_CORES:.2f} of the {REACH_CORES} to reach; ",
        end="",
    )
    print(f"{room.delivery_cpu_us:.2f} µs a delivery")
    print(f"{seen.frames * per_s:.0f} frames/s, {room.messages_per_frame:.1f} messages in each, ", end="")
    print(f"{room.message_bytes:.0f} bytes a message, {seen.wire_bytes * per_s / 2**20:.0f} MiB/s")
    print(f"node {room.rss_bytes / 2**20:.0f} MiB; {room.idle_kib:.1f} KiB an idle subscriber")
    print(f"the load client itself {seen.cpu_s * per_s:.2f} of a core\n", flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
