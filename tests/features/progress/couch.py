"""Somebody who watches on several devices, against one node's progress feature."""

from typing import Any

from csn_rt.core.identity import Identity
from csn_rt.db.pool import Database
from csn_rt.features.context import Caller, Context
from csn_rt.features.progress import Progress
from csn_rt.wire import names
from csn_rt.wire.progress import (
    ProgressGet,
    ProgressHistory,
    ProgressReport,
    ProgressReported,
    ProgressTitle,
    WatchProgress,
)
from csn_rt.wire.roles import Role
from tests.support.clock import Clock
from tests.support.league import make_content
from tests.support.telling import Told

MINUTE_MS = 60_000
DURATION_MS = 10 * MINUTE_MS
"""Started from 18 s on, completed from 9:30 on."""


class Couch:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.told = Told()
        self.clock = Clock()
        self.progress = Progress(Context(db, self.told), clock=self.clock)
        self._seqs: dict[str, int] = {}

    async def report(
        self,
        content_id: str,
        event: str = "progress",
        position_ms: int = 0,
        *,
        session: str = "phone",
        by: Caller | None = None,
        seq: int | None = None,
        **more: Any,
    ) -> ProgressReported:
        """A player's next report; `seq` counts by itself for each session."""
        self._seqs[session] = self._seqs.get(session, 0) + 1 if seq is None else seq
        params = ProgressReport(
            content_id=content_id,
            playback_session_id=session,
            seq=self._seqs[session],
            event=event,  # type: ignore[arg-type]
            position_ms=position_ms,
            **more,
        )
        return await self.progress.report(by or fan(), params)

    async def row(self, content_id: str, by: Caller | None = None) -> WatchProgress | None:
        page = await self.progress.get(by or fan(), ProgressGet(content_ids=[content_id]))
        return page.items[0] if page.items else None

    async def position(self, content_id: str) -> int | None:
        row = await self.row(content_id)
        return row and row.position_ms

    async def remove(self, content_id: str) -> WatchProgress:
        return await self.progress.remove(fan(), ProgressTitle(content_id=content_id))

    async def undo_remove(self, content_id: str) -> WatchProgress:
        return await self.progress.undo_remove(fan(), ProgressTitle(content_id=content_id))

    async def mark_watched(self, content_id: str) -> WatchProgress:
        return await self.progress.mark_watched(fan(), ProgressTitle(content_id=content_id))

    async def mark_unwatched(self, content_id: str) -> WatchProgress:
        return await self.progress.mark_unwatched(fan(), ProgressTitle(content_id=content_id))

    async def watching(self) -> list[str]:
        return [item.content_id for item in await self.progress.watching("ann")]

    async def history(self, limit: int = 50, after: str | None = None) -> tuple[list[str], str | None]:
        page = await self.progress.history(fan(), ProgressHistory(limit=limit, after=after))
        return [item.content_id for item in page.items], page.next

    def told_to(self, user_id: str = "ann") -> list[dict[str, Any]]:
        return self.told.events(names.user(user_id))

    async def video(self, **columns: Any) -> str:
        return await make_content(self.db, **{"duration_ms": DURATION_MS, **columns})

    async def pass_time(self, seconds: float) -> None:
        """As if everything had happened so much earlier."""
        async with self.db.connection() as connection:
            await connection.execute(_EARLIER_ROWS, seconds)
            await connection.execute(_EARLIER_SESSIONS, seconds)


def fan(user_id: str = "ann") -> Caller:
    return Caller(identity=Identity(user_id=user_id, role=Role.USER))


_EARLIER_ROWS = """
UPDATE user_watch_progress w
   SET effective_at = effective_at - s, last_played_at = last_played_at - s, removed_at = removed_at - s,
       marked_at = marked_at - s, updated_at = updated_at - s, created_at = created_at - s
  FROM (SELECT $1::double precision * interval '1 second' AS s) AS by
"""
_EARLIER_SESSIONS = """
UPDATE playback_sessions p
   SET heard = (SELECT coalesce(range_agg(tstzrange(lower(x) - s, upper(x) - s)), '{}')
                  FROM unnest(p.heard) AS x),
       start_at = start_at - s, last_at = last_at - s, user_at = user_at - s, quiet_until = quiet_until - s,
       created_at = created_at - s,
       ending = CASE WHEN (ending).seq IS NOT NULL
                     THEN ROW((ending).seq, (ending).position_ms, (ending).duration_ms,
                              (ending).effective_at - s)::playback_mark END,
       marks = ARRAY(SELECT ROW(m.seq, m.position_ms, m.duration_ms, m.effective_at - s)::playback_mark
                       FROM unnest(p.marks) AS m ORDER BY m.seq)
  FROM (SELECT $1::double precision * interval '1 second' AS s) AS by
"""
