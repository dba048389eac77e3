"""The channel log: every event of a channel numbered 1, 2, 3 … without holes, in the transaction of its deed.

Rule 1: a number is given under the lock of the channel's row in `channels`: commits are in order of offsets.
Rule 2: events of log channels are kept in `channel_log`; those of state channels only move the head, which is
        enough to see that one was missed.
Rule 3: a transaction that locks several channels locks them in the order of their names.
Rule 4: an event may redact earlier ones of its channel: in the same transaction their data is replaced by
        its own, so numbers stay without holes and no replay carries what was taken away. It says which they
        are, so that whoever holds copies replaces them too.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from asyncpg import Record

from csn_rt.db.queries import Connection, query
from csn_rt.wire.names import Channel, parse_channel
from csn_rt.wire.published import Published

_APPEND = query("append_events")
_ENSURE = query("ensure_channels")
_LOCK = query("lock_channels")
_LOCK_BORN = query("lock_born_channels")
_HEADS = query("read_heads")
_READ_AFTER = query("read_events_after")
_READ_BEFORE = query("read_events_before")
_REDACT = query("redact_events")


class Head(msgspec.Struct, frozen=True):
    """The newest position of a channel: its epoch and the offset of its last event (0 at birth)."""

    epoch: str
    offset: int


class Outgoing(msgspec.Struct, frozen=True):
    """An event that a transaction wants told once it is committed."""

    channel: Channel
    data: bytes
    redacts: tuple[int, ...] = ()


async def append(connection: Connection, events: Sequence[Outgoing]) -> list[Published]:
    """Number the events in the order given, keep those of log channels. Call it last in the transaction."""
    if not events:
        return []
    rows = await _APPEND.rows(
        connection,
        [event.channel for event in events],
        [event.data.decode() for event in events],
        [_is_log(event.channel) for event in events],
    )
    published = [
        Published(event.channel, row["epoch"], row["offset"], event.data, event.redacts)
        for event, row in zip(events, rows, strict=True)
    ]
    for event in published:
        if event.redacts:
            await _REDACT.run(connection, event.channel, event.offset, list(event.redacts))
    return published


async def ensure(connection: Connection, channel: Channel) -> Head:
    """The head of a channel, which is born with a new epoch if nothing was ever said on it."""
    rows = await _ENSURE.rows(connection, [channel])
    heads = _heads(rows) or await heads_of(connection, [channel])
    return heads[channel]


async def lock_born(
    connection: Connection, channels: Iterable[Channel]
) -> tuple[datetime | None, dict[Channel, Head]]:
    """Lock those of the channels that exist, in one round trip; otherwise like `lock`."""
    rows = await _LOCK_BORN.rows(connection, sorted(set(channels)))
    return rows[-1]["now"] if rows else None, _heads(rows)


async def lock(connection: Connection, channels: Iterable[Channel]) -> tuple[datetime, dict[Channel, Head]]:
    """Lock the channels until the transaction ends; answers the database's time, taken under the locks."""
    names = sorted(set(channels))
    await _LOCK.run(connection, names)
    rows = await _HEADS.rows(connection, names)
    return rows[0]["now"], _heads(rows)


async def heads_of(connection: Connection, channels: Sequence[Channel]) -> dict[Channel, Head]:
    """The heads of those channels that exist."""
    return _heads(await _HEADS.rows(connection, list(channels)))


async def read_after(connection: Connection, channel: Channel, offset: int, limit: int) -> list[Published]:
    """Kept events after the offset, oldest first, `limit` at most."""
    return _published(channel, await _READ_AFTER.rows(connection, channel, offset, limit))


async def read_before(connection: Connection, channel: Channel, offset: int, limit: int) -> list[Published]:
    """Kept events before the offset: the newest `limit` of them, oldest first."""
    return _published(channel, (await _READ_BEFORE.rows(connection, channel, offset, limit))[::-1])


def _is_log(channel: Channel) -> bool:
    address = parse_channel(channel)
    if address is None:
        raise ValueError(f"{channel!r} is no channel")
    return address.area.is_log


def _heads(rows: Iterable[Record]) -> dict[Channel, Head]:
    return {row["channel"]: Head(row["epoch"], row["head"]) for row in rows}


def _published(channel: Channel, rows: Iterable[Record]) -> list[Published]:
    return [
        Published(channel, row["epoch"], row["offset"], row["data"].encode(), tuple(row["redacts"] or ()))
        for row in rows
    ]
