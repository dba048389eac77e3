"""Which report wins: the row of one person and one content, the session that reports, and the report.

`sql/queries/progress.sql: merge_reports` is the same rule, on all rows of a batch at once; a property test
runs both. What a session has said is `playback.py`; here is what it may write.

Rule 1: a number that was seen is `duplicate` and changes nothing. One that comes late, below the highest, is
        answered the same, but what it says is filed in its place: the session stands where it would have
        stood in order.
Rule 2: the session is judged anew with every report; what it writes is always the place where it stands.
Rule 3: the first session to say a position writes it. The session that owns the row writes it.
Rule 4: another session takes the row over if it is newer, and a person acted in it or it has played for 10 s;
        `stale` else.
Rule 5: it does not put a position below *started* in the place of a larger one, unless a person went there.
Rule 6: a row is as new as the newest report of the session that owns it.
Rule 7: the version goes up exactly when somebody could see a difference.
"""

from msgspec import Struct
from msgspec.structs import replace

from csn_rt.features.progress.playback import REWIND_MS, Place, Playback, Report
from csn_rt.wire.progress import Outcome

BEYOND_MS = 2_000
"""A player's clock may run past the end of the file by this much."""


class Row(Struct, frozen=True, kw_only=True):
    """Version 0: the content was opened, nothing is stored yet."""

    position_ms: int = 0
    duration_ms: int | None = None
    completed: bool = False
    session_id: str | None = None
    """The owner; None before the first report and after the content was marked by hand."""
    effective_at_ms: int | None = None
    last_played_at_ms: int | None = None
    removed_at_ms: int | None = None
    version: int = 0

    @property
    def is_removed(self) -> bool:
        """Removed by hand and not played since."""
        return self.removed_at_ms is not None and (
            self.last_played_at_ms is None or self.removed_at_ms >= self.last_played_at_ms
        )


def is_beyond_end(position_ms: int, duration_ms: int | None) -> bool:
    """No such position: the report is refused, before anything else."""
    return duration_ms is not None and position_ms > duration_ms + BEYOND_MS


def merge(row: Row, playback: Playback, report: Report) -> tuple[Outcome, Row, Playback]:
    """What becomes of the report, and what is stored then."""
    if playback.has_seen(report.seq):
        return "duplicate", row, playback
    is_late = playback.is_late(report.seq)
    is_quiet = playback.quiet_until_ms is not None and report.at_ms <= playback.quiet_until_ms
    playback = playback.hear(report)
    place = playback.place
    if is_quiet or place is None:
        outcome: Outcome = "stale"
    elif not _may_write(row, playback, report.session_id):
        outcome = "stale"
    elif _is_too_low(row, place, report.session_id):
        outcome = "ignored_start"
    else:
        row = _written(row, playback, place, report.session_id)
        outcome = _outcome(playback, place, report)
    if is_late:
        return "duplicate", row, playback
    return "ignored_start" if report.is_start else outcome, row, playback


def _may_write(row: Row, playback: Playback, session_id: str) -> bool:
    """Rules 3 and 4."""
    if row.version == 0 or row.session_id == session_id:
        return True
    row_at_ms = row.effective_at_ms or 0
    if playback.user_at_ms is not None and playback.clamped(playback.user_at_ms) > row_at_ms:
        return True
    return (
        playback.last_at_ms is not None
        and playback.clamped(playback.last_at_ms) > row_at_ms
        and playback.has_played_after(row_at_ms)
    )


def _is_too_low(row: Row, place: Place, session_id: str) -> bool:
    """Rule 5. Within one session it is part of where the session stands."""
    return row.session_id != session_id and place.is_low and place.mark.position_ms < row.position_ms


def _written(row: Row, playback: Playback, place: Place, session_id: str) -> Row:
    written = replace(
        row,
        position_ms=place.mark.position_ms,
        duration_ms=place.mark.duration_ms,
        completed=place.is_completed,
        session_id=session_id,
        effective_at_ms=playback.clamped(playback.last_at_ms or 0),
        last_played_at_ms=playback.clamped(place.mark.at_ms),
    )
    return written if _shown(written) == _shown(row) else replace(written, version=row.version + 1)


def _shown(row: Row) -> tuple[object, ...]:
    return row.position_ms, row.duration_ms, row.completed, row.session_id, row.is_removed


def _outcome(playback: Playback, place: Place, report: Report) -> Outcome:
    if place.mark.seq == report.seq:
        return "saved"
    if playback.is_after_end(report.at_ms):
        return "stale"
    if report.event != "seek" and report.position_ms < playback.furthest_ms - REWIND_MS:
        return "suspicious_rewind"
    return "ignored_start"
