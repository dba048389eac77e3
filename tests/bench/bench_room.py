"""One big room: `python -m tests.bench.bench_room`.

One node, durable PostgreSQL, real `chat.send`. The subscribers are a process of their own, which checks that
each of them has every message, once and in order.
"""

import asyncio

import uvloop

from tests.bench.rooms import Load, measure
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
    room = await measure(Load(subscribers=subscribers, per_s=sizes.messages, seconds=sizes.seconds))
    seen = room.seen
    print(f"{subscribers} connected and subscribed in {seen.connected_s:.1f} s")
    print(f"deliveries {seen.messages} of {room.expected}; incomplete subscribers {seen.incomplete}")
    report("chat: send to acknowledgement", room.acknowledged_s)
    report("chat: send to delivery", seen.message_latencies_s)
    print(f"p99 is {room.p99_ms / REACH_P99_MS:.2f} of the {REACH_P99_MS} ms to reach")
    print(f"node {room.cores:.2f} of a core, {room.cores / REACH_CORES:.2f} of the {REACH_CORES} to reach")
    print(f"node {room.delivery_cpu_us:.2f} µs a delivery, {seen.messages / room.elapsed_s:.0f} deliveries/s")
    print(f"{seen.frames / room.elapsed_s:.0f} frames/s, {room.messages_per_frame:.1f} messages in each")
    print(f"node {room.rss_bytes / 2**20:.0f} MiB; {room.idle_kib:.1f} KiB a subscriber")
    print(f"the load client itself {seen.cpu_s / room.elapsed_s:.2f} of a core")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
