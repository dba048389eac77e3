"""Rows of watch progress to wire structs.

Rule 1: whoever writes holds the lock of the person's row of that content first (`lock` or `lock_one`).
Rule 2: the database has the final word about what exists, how long it is, and what wins.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

from asyncpg import Record
from msgspec import Struct

from csn_rt.db.queries import Connection, query
from csn_rt.errors import BadRequest
from csn_rt.wire.progress import (
    ContentBrief,
    HistoryPage,
    Outcome,
    ProgressReport,
    WatchedContent,
    WatchProgress,
)

_LOCK = query("lock_watch_progress")
_LOCK_ONE = query("lock_one_watch_progress")
_MERGE = query("merge_reports")
_READ = query("read_watch_progress")
_CONTINUE = query("read_continue_watching")
_HISTORY = query("read_watch_history")
_FORGET = query("forget_playback_sessions")
_SILENCE = query("silence_playback_sessions")
_REMOVE = query("remove_watch_progress")
_UNDO_REMOVE = query("undo_remove_watch_progress")
_MARK_WATCHED = query("mark_watched")
_MARK_UNWATCHED = query("mark_unwatched")

CONTINUE_AT_MOST: Final = 40

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# At most 17 digits of microseconds reach the year 5138: no cursor can leave the range of a timestamp.
_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_BEFORE_ALL = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")

Refusal = Literal["unknown", "live", "beyond_end"]
"""No such content; a live stream has no progress; the position lies beyond the end."""


class Heard(Struct, frozen=True):
    """A report as it waits to be merged."""

    user_id: str
    report: ProgressReport
    arrived_at: float
    """By the process's monotonic clock."""

    @property
    def key(self) -> tuple[str, str]:
        return self.user_id, self.report.content_id

    def age_ms(self, now: float) -> int:
        """The age that it came with and the time that it waited here."""
        return self.report.age_ms + int((now - self.arrived_at) * 1000)


class Merged(Struct, frozen=True):
    verdict: Outcome | Refusal
    progress: WatchProgress | None
    """The row as it is now; None: nothing is stored."""
    is_changed: bool


async def lock(connection: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Lock the rows of these people and contents, in one order; missing rows are made, still empty."""
    await _LOCK.run(connection, [user_id for user_id, _ in keys], [content_id for _, content_id in keys])


async def lock_one(connection: Connection, user_id: str, content_id: str) -> int | None:
    """Lock the row, also of content that nobody may see any more; its version, or None if there is none."""
    return cast("int | None", await _LOCK_ONE.value(connection, user_id, content_id))


async def merge(connection: Connection, reports: Sequence[Heard], now: float) -> list[Merged]:
    """Judge and store reports of different people or contents, whose rows are locked."""
    rows = await _MERGE.rows(
        connection,
        [each.user_id for each in reports],
        [each.report.content_id for each in reports],
        [each.report.playback_session_id for each in reports],
        [each.report.seq for each in reports],
        [each.report.event for each in reports],
        [each.report.position_ms for each in reports],
        [each.report.duration_ms for each in reports],
        [each.age_ms(now) for each in reports],
        [each.report.user_action for each in reports],
    )
    return [
        Merged(row["verdict"], _progress(row) if row["version"] else None, row["is_changed"]) for row in rows
    ]


async def read(connection: Connection, user_id: str, content_ids: Sequence[str]) -> list[WatchProgress]:
    return [_progress(row) for row in await _READ.rows(connection, user_id, content_ids)]


async def read_continue_watching(
    connection: Connection, user_ids: Collection[str]
) -> dict[str, list[WatchedContent]]:
    """Each one's, newest play first."""
    watching: dict[str, list[WatchedContent]] = {user_id: [] for user_id in user_ids}
    for row in await _CONTINUE.rows(connection, list(watching), CONTINUE_AT_MOST):
        watching[row["user_id"]].append(_watched(row))
    return watching


async def read_history(connection: Connection, user_id: str, after: str | None, limit: int) -> HistoryPage:
    rows = await _HISTORY.rows(connection, user_id, *_position(after), limit + 1)
    items = [_watched(row) for row in rows[:limit]]
    return HistoryPage(items=items, next=_cursor(rows[limit - 1]) if len(rows) > limit else None)


async def remove(connection: Connection, user_id: str, content_id: str) -> bool:
    """Each of these four answers whether it changed anything."""
    return await _REMOVE.value(connection, user_id, content_id) is not None


async def undo_remove(connection: Connection, user_id: str, content_id: str) -> bool:
    return await _UNDO_REMOVE.value(connection, user_id, content_id) is not None


async def mark_watched(connection: Connection, user_id: str, content_id: str) -> bool:
    await _SILENCE.run(connection, user_id, content_id)
    return await _MARK_WATCHED.value(connection, user_id, content_id) is not None


async def mark_unwatched(connection: Connection, user_id: str, content_id: str) -> bool:
    await _SILENCE.run(connection, user_id, content_id)
    return await _MARK_UNWATCHED.value(connection, user_id, content_id) is not None


async def forget_sessions(connection: Connection, idle_s: float, limit: int) -> int:
    """Delete sessions that have been silent for so long; answers how many."""
    return cast("int", await _FORGET.value(connection, idle_s, limit))


def _progress(row: Record) -> WatchProgress:
    return WatchProgress(
        content_id=row["content_id"],
        position_ms=row["position_ms"],
        duration_ms=row["duration_ms"],
        started=row["started"],
        completed=row["completed"],
        removed=row["removed"],
        version=row["version"],
        updated_at=row["updated_at"],
        last_played_at=row["last_played_at"],
        playback_session_id=row["playback_session_id"],
    )


def _watched(row: Record) -> WatchedContent:
    duration_ms, position_ms = row["duration_ms"], row["position_ms"]
    return WatchedContent(
        content_id=row["content_id"],
        position_ms=position_ms,
        duration_ms=duration_ms,
        started=row["started"],
        completed=row["completed"],
        removed=row["removed"],
        version=row["version"],
        updated_at=row["updated_at"],
        last_played_at=row["last_played_at"],
        playback_session_id=row["playback_session_id"],
        content=ContentBrief(
            id=row["content_id"],
            kind=row["kind"],
            title=row["title"],
            slug=row["slug"],
            thumbnail_url=row["thumbnail_url"],
            duration_ms=row["content_duration_ms"],
        ),
        remaining_ms=None if duration_ms is None else max(0, duration_ms - position_ms),
    )


def _cursor(row: Record) -> str:
    return f"{(row['last_played_at'] - _EPOCH) // _MICROSECOND}.{row['content_id']}"


def _position(cursor: str | None) -> tuple[datetime, str]:
    if cursor is None:
        return _BEFORE_ALL
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("after: not a cursor that this list gave")
    return _EPOCH + int(match[1]) * _MICROSECOND, match[2]
