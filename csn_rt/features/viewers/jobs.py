"""What the worker does for live streams. Running a job twice, or on two workers at once, does no harm."""

from typing import Final

from csn_rt.bus.leases import Ask, Leases
from csn_rt.features.context import Context
from csn_rt.features.viewers import store

SWEEP_EVERY_S: Final = 10.0
SAMPLE_EVERY_S: Final = 10.0
_SWEEP_AT_ONCE: Final = 1_000


async def sweep(ctx: Context) -> int:
    """End the sessions that were silent for too long, at their last heartbeat. Answers how many."""
    total = 0
    while True:
        async with ctx.db.transaction() as connection:
            ended = await store.end_lost_sessions(connection, _SWEEP_AT_ONCE)
        total += ended
        if ended < _SWEEP_AT_ONCE:
            return total


async def sample(ctx: Context, leases: Leases) -> int:
    """Write down how many watch each live broadcast; answers how many broadcasts were counted.

    None is while Redis is away or a count is not settled: a wrong number is worse than none.
    """
    async with ctx.db.connection() as connection:
        broadcasts = await store.read_live_broadcasts(connection)
    counts = await leases.count(
        [
            Ask(broadcast_id=each.broadcast_id, age_ms=each.age_ms, peak_floor=each.peak, purpose="read")
            for each in broadcasts
        ]
    )
    settled = {
        each.broadcast_id: count
        for each, count in zip(broadcasts, counts, strict=True)
        if count is not None and not count.settles_in_ms and not count.is_ended
    }
    if settled:
        async with ctx.db.transaction() as connection:
            await store.insert_samples(connection, settled)
    return len(settled)
