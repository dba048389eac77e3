"""How the cost of a node grows with its rooms: `python -m tests.bench.bench_growth`.

First one room with ever more subscribers, then the same subscribers in ever more rooms; always as many
messages a second. Every row has a node and a database of its own; ratios are to the first row of a table.
"""

import asyncio
from collections.abc import Sequence

import uvloop

from tests.bench.rooms import Figures, Load, measure
from tests.bench.stage import heading, options, sockets_allowed

SUBSCRIBERS = (100, 1_000, 9_000)
ROOMS = (1, 10, 100, 1_000)
SUBSCRIBERS_OF_ROOMS = 2_000
MESSAGES_PER_S = 100
DURATION_S = 15


async def main() -> None:
    sizes = options(most=SUBSCRIBERS[-1], spread=SUBSCRIBERS_OF_ROOMS, rooms=ROOMS[-1], seconds=DURATION_S)
    heading(f"Growth, {MESSAGES_PER_S} messages/s")
    most = sockets_allowed(sizes.most)
    loads = [
        Load(subscribers=subscribers, per_s=MESSAGES_PER_S, seconds=sizes.seconds)
        for subscribers in sorted({min(each, most) for each in SUBSCRIBERS})
    ]
    await _table("One room", "subscribers", [(load.subscribers, load) for load in loads])
    loads = [
        Load(subscribers=min(sizes.spread, most), rooms=rooms, per_s=MESSAGES_PER_S, seconds=sizes.seconds)
        for rooms in ROOMS
        if rooms <= sizes.rooms
    ]
    await _table(f"{loads[0].subscribers} subscribers", "rooms", [(load.rooms, load) for load in loads])


async def _table(title: str, unit: str, loads: Sequence[tuple[int, Load]]) -> None:
    print(f"{title}\n{unit:>12}{'core':>8}{'µs/message':>18}{'µs/delivery':>18}{'p99 ms':>16}", end="")
    print(f"{'node MiB':>16}{'messages/frame':>16}   delivered")
    first: Figures | None = None
    for size, load in loads:
        row = await measure(load)
        first = first or row
        print(f"{size:>12}{row.cores:>8.2f}", end="")
        print(_with_ratio(row.message_cpu_us, first.message_cpu_us, 18, 0), end="")
        print(_with_ratio(row.delivery_cpu_us, first.delivery_cpu_us, 18, 2), end="")
        print(_with_ratio(row.p99_ms, first.p99_ms, 16, 0), end="")
        print(_with_ratio(row.rss_bytes / 2**20, first.rss_bytes / 2**20, 16, 0), end="")
        print(f"{row.messages_per_frame:>16.1f}   {'all' if row.is_complete else 'NOT ALL'}", flush=True)
    print()


def _with_ratio(value: float, first: float, width: int, digits: int) -> str:
    return f"{f'{value:.{digits}f} ({value / first:.2f})':>{width}}"


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
