"""Rows of live streams, read into what the rest of the feature speaks of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from csn_rt.bus.leases import Count
from csn_rt.db.queries import Connection, query
from csn_rt.features.viewers.rules import LEASE_MS, LOST_MS
from csn_rt.features.viewers.tally import Known, Stream
from csn_rt.wire.viewers import PlayerState

_READ_STREAMS = query("read_streams")
_START_SESSIONS = query("start_sessions")
_BEAT_SESSIONS = query("beat_sessions")
_END_SESSIONS = query("end_sessions")
_END_LOST_SESSIONS = query("end_lost_sessions")
_READ_LIVE_BROADCASTS = query("read_live_broadcasts")
_INSERT_SAMPLES = query("insert_samples")


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    session_id: str
    stream_id: str
    person: str
    device_id: str | None
    state: PlayerState


class Started(msgspec.Struct, frozen=True):
    broadcast_id: str | None
    """None: the stream is not on air, and no session was started."""
    is_published: bool


class OpenSession(msgspec.Struct, frozen=True):
    """A session that was heard, as its row says."""

    session_id: str
    person: str
    stream_id: str
    broadcast_id: str
    state: PlayerState
    paused_ms: int | None
    """For how long; None: it plays, or it never played."""


class ClosedSession(msgspec.Struct, frozen=True):
    session_id: str
    person: str
    stream_id: str
    broadcast_id: str
    has_ended: bool
    """False: it had ended before."""


class LiveBroadcast(msgspec.Struct, frozen=True):
    broadcast_id: str
    age_ms: int
    peak: int


async def read_streams(connection: Connection, stream_ids: Sequence[str]) -> dict[str, Stream]:
    """Those that exist, published or not."""
    rows = await _READ_STREAMS.rows(connection, list(stream_ids))
    return {row["stream_id"]: _stream(row) for row in rows}


async def start_sessions(
    connection: Connection, sessions: Sequence[NewSession], node: str
) -> dict[str, Started]:
    rows = await _START_SESSIONS.rows(
        connection,
        [session.session_id for session in sessions],
        [session.stream_id for session in sessions],
        [session.person for session in sessions],
        [session.device_id for session in sessions],
        [session.state for session in sessions],
        node,
    )
    return {row["id"]: Started(row["broadcast_id"], row["is_published"]) for row in rows}


async def beat_sessions(
    connection: Connection, beats: dict[tuple[str, str], PlayerState], node: str
) -> dict[tuple[str, str], OpenSession]:
    """By session and person; what is missing is not open, or not that person's."""
    rows = await _BEAT_SESSIONS.rows(
        connection,
        [session_id for session_id, _ in beats],
        [person for _, person in beats],
        list(beats.values()),
        node,
        LEASE_MS,
    )
    return {
        (row["id"], row["person"]): OpenSession(
            row["id"], row["person"], row["stream_id"], row["broadcast_id"], row["state"], row["paused_ms"]
        )
        for row in rows
    }


async def end_sessions(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], ClosedSession]:
    """By session and person; what is missing is not that person's, or never was."""
    rows = await _END_SESSIONS.rows(
        connection, [session_id for session_id, _ in keys], [person for _, person in keys], LEASE_MS
    )
    return {
        (row["id"], row["person"]): ClosedSession(
            row["id"], row["person"], row["stream_id"], row["broadcast_id"], row["has_ended"]
        )
        for row in rows
    }


async def end_lost_sessions(connection: Connection, limit: int) -> int:
    count: int = await _END_LOST_SESSIONS.value(connection, LOST_MS, limit)
    return count


async def read_live_broadcasts(connection: Connection) -> list[LiveBroadcast]:
    rows = await _READ_LIVE_BROADCASTS.rows(connection)
    return [LiveBroadcast(row["id"], row["age_ms"], row["peak_viewers"]) for row in rows]


async def insert_samples(connection: Connection, counts: dict[str, Count]) -> None:
    """Of each broadcast that is still on air."""
    each = list(counts.values())
    await _INSERT_SAMPLES.run(
        connection,
        list(counts),
        [count.viewers for count in each],
        [count.sessions for count in each],
        [count.life for count in each],
        [count.viewer_ms for count in each],
        [count.peak for count in each],
    )


def _stream(row: Any) -> Stream:
    sampled_at: datetime | None = row["sampled_at"]
    sampled = None
    if sampled_at is not None:
        sampled = Known(row["sampled_viewers"], row["peak_viewers"], row["sampled_sessions"], sampled_at)
    return Stream(
        stream_id=row["stream_id"],
        state=row["live_state"],
        is_hidden=row["hide_viewer_count"],
        is_published=row["is_published"],
        broadcast_id=row["broadcast_id"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        seq=row["seq"] or 0,
        peak=row["peak_viewers"] or 0,
        sampled=sampled,
        read_at=row["now"],
    )
