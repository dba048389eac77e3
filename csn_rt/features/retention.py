"""How long the channel log is kept: partitions of six hours, made ahead and dropped whole.

Rule 1: writing never waits for this: an event for whose time no partition was made goes to the default one.
Rule 2: an event is kept for at least the retention; it goes with its partition when all in it are older.
Rule 3: whoever talks waits for a lock of ours 0.3 s at most: what cannot have its lock is left for next time.
        Concurrent detaching would not lock, but PostgreSQL does not offer it beside a default partition.
Rule 4: events that fell into the default partition are not moved; they are deleted there when they are old.
        While it holds events of the present span, that span's partition is not made; the next one is.
"""

from typing import Final

import msgspec

from csn_rt.db.queries import query
from csn_rt.features.context import Database

_MAKE = query("make_log_partition")
_FIND_OLD = query("find_old_log_partitions")
_DROP = query("drop_log_partition")
_DELETE_STRAYS = query("delete_stray_events")

EVERY_S: Final = 60.0
KEPT_S: Final = 24 * 3600.0
SPAN_HOURS: Final = 6
AHEAD: Final = 2
"""So many spans may pass without a worker before an event goes to the default partition."""

_STRAYS_AT_ONCE: Final = 5_000
_ROUNDS: Final = 200


class Kept(msgspec.Struct, frozen=True):
    """What one run did."""

    made: int
    dropped: int
    deleted: int


async def keep_log(db: Database, kept_s: float = KEPT_S) -> Kept:
    """Make the coming partitions, drop the old ones, delete old strays; Unavailable if a lock was not had."""
    made = 0
    for number in range(AHEAD + 1):
        async with db.connection() as connection:
            made += bool(await _MAKE.value(connection, number, SPAN_HOURS))
    async with db.connection() as connection:
        old = [row["name"] for row in await _FIND_OLD.rows(connection, kept_s)]
    for name in old:
        async with db.connection() as connection:
            await _DROP.run(connection, name)
    return Kept(made, len(old), await _delete_strays(db, kept_s))


async def _delete_strays(db: Database, kept_s: float) -> int:
    deleted = 0
    for _ in range(_ROUNDS):
        async with db.connection() as connection:
            count = await _DELETE_STRAYS.value(connection, kept_s, _STRAYS_AT_ONCE)
        deleted += count
        if count < _STRAYS_AT_ONCE:
            break
    return deleted
