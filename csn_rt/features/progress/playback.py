"""What one playback session has said, as far as it can still matter.

Everything kept here depends on which reports came, not on the order in which they came: networks reorder, and
a beacon overtakes the socket. So a session that was heard in any order stands at the same place.

Rule 1: a report counts once: `seen` holds the numbers that were seen, as ranges.
Rule 2: `start` has no position. It says when the session began, and counts for how long it was heard.
Rule 3: nothing happened before the session began: times are clamped to its start. A session has one start; of
        several the one with the lowest number counts.
Rule 4: a session has a segment, which begins with the newest seek or after the newest completion. Before a
        seek, and up to a completion, positions do not matter any more: one may jump back after them.
Rule 5: within the segment a report counts if it is the furthest, or at most 10 s behind the furthest; of
        those that count the highest number stands. One further behind is a suspicious rewind.
Rule 6: a low position (below *started*) counts only as the furthest of its segment; and a seek to one begins
        a segment only if a person made it. Of several durations that the session named the shortest decides.
Rule 7: a completion stands for 60 s against whatever the session says after it, and against low positions
        until a person seeks.
Rule 8: a silence of more than 30 s closes the session where it was; one that is heard again after that has
        everything it had, but must play anew to count as playing.
Rule 9: of pathological sessions the oldest is forgotten: more than 32 ranges of numbers, 8 silences, or 16
        places of which each is behind the one before.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from csn_rt.wire.progress import PlaybackEvent

REWIND_MS: Final = 10_000
"""Players jump back by less after a stall; more than that without a seek is not a person's wish."""
COMPLETION_STANDS_MS: Final = 60_000
SILENCE_MS: Final = 30_000
"""Three missed heartbeats."""
PLAYED_MS: Final = 10_000
MAX_SEEN: Final = 32
MAX_SILENCES: Final = 8
MAX_MARKS: Final = 16

Span = tuple[int, int]
"""From, and up to but not including."""


class Report(Struct, frozen=True, kw_only=True):
    session_id: str
    seq: int
    event: PlaybackEvent
    position_ms: int
    duration_ms: int | None
    """The player's, or else the catalog's; None: not known."""
    at_ms: int
    """When it happened on the server's clock: the time of its arrival less its age."""
    is_user_action: bool = False

    @property
    def is_start(self) -> bool:
        return self.event == "start"

    @property
    def completes(self) -> bool:
        return self.event == "ended" or is_complete(self.position_ms, self.duration_ms)

    @property
    def begins_segment(self) -> bool:
        return self.event == "seek" and (
            self.is_user_action or not is_low(self.position_ms, self.duration_ms)
        )

    @property
    def mark(self) -> "Mark":
        return Mark(self.seq, self.position_ms, self.duration_ms, self.at_ms)


class Mark(Struct, frozen=True):
    """A place that was reported."""

    seq: int
    position_ms: int
    duration_ms: int | None
    at_ms: int


class Place(Struct, frozen=True):
    """Where a session stands."""

    mark: Mark
    is_completed: bool
    is_low: bool
    """Below *started*, and not meant: neither did a person go there, nor is it an end."""


class Playback(Struct, frozen=True, kw_only=True):
    seen: tuple[Span, ...] = ()
    heard: tuple[Span, ...] = ()
    """From each report to 30 s after it, joined: a hole is a silence."""
    start_seq: int | None = None
    start_at_ms: int = 0
    """When the session began; 0: its start was not heard, or not yet."""
    last_at_ms: int | None = None
    """When the newest report that is not a start happened."""
    user_at_ms: int | None = None
    """When a person acted last, starts not counted."""
    least_ms: int | None = None
    most_ms: int | None = None
    shortest_ms: int | None = None
    """The shortest duration that it named."""
    seek_seq: int | None = None
    seek_is_user: bool = False
    ending: Mark | None = None
    """The completion with the highest number."""
    marks: tuple[Mark, ...] = ()
    """The reports of the segment after which none came that is as far: ever later, ever less far."""
    quiet_until_ms: int | None = None
    """A person marked the content by hand; what happened up to then does not count."""

    def has_seen(self, seq: int) -> bool:
        return any(start <= seq < end for start, end in self.seen)

    def is_late(self, seq: int) -> bool:
        return bool(self.seen) and seq < self.seen[-1][1] - 1

    def clamped(self, at_ms: int) -> int:
        """Rule 3."""
        return max(at_ms, self.start_at_ms)

    def has_played_after(self, at_ms: int) -> bool:
        """Whether it was heard after that moment and had by then played 10 s without a silence.

        10 s of the clock and 10 s of the video: neither waiting nor jumping is playing.
        """
        return (self.most_ms or 0) - (self.least_ms or 0) >= PLAYED_MS and any(
            end - SILENCE_MS - start >= PLAYED_MS and end - SILENCE_MS > at_ms for start, end in self.heard
        )

    @property
    def furthest_ms(self) -> int:
        return self.marks[0].position_ms if self.marks else 0

    @property
    def place(self) -> Place | None:
        """Where the session stands; None if it has said nothing but `start`."""
        kept = self._kept()
        if kept is None:
            return None if self.ending is None else Place(self.ending, is_completed=True, is_low=False)
        is_users = self.seek_is_user and (self.ending is None or _is_above(self.seek_seq, self.ending.seq))
        is_low = self._is_low(kept) and not is_users
        if self.ending is not None and (self.is_after_end(kept.at_ms) or is_low):
            return Place(self.ending, is_completed=True, is_low=False)
        return Place(kept, is_completed=False, is_low=is_low)

    def is_after_end(self, at_ms: int) -> bool:
        """Rule 7: within the minute in which a completion stands."""
        return (
            self.ending is not None
            and self.clamped(at_ms) <= self.clamped(self.ending.at_ms) + COMPLETION_STANDS_MS
        )

    def _is_low(self, mark: Mark) -> bool:
        return is_low(mark.position_ms, self.shortest_ms)

    def _kept(self) -> Mark | None:
        """Rules 5 and 6."""
        for mark in reversed(self.marks):
            is_near = mark.position_ms >= self.furthest_ms - REWIND_MS and not self._is_low(mark)
            if is_near or mark.position_ms == self.furthest_ms:
                return mark
        return None

    def hear(self, report: Report) -> "Playback":
        """The session with one more report, whose number it has not seen."""
        seen = _fill_oldest(_joined(self.seen, (report.seq, report.seq + 1)))
        if self.quiet_until_ms is not None and report.at_ms <= self.quiet_until_ms:
            return replace(self, seen=seen)
        heard = _joined(self.heard, (report.at_ms, report.at_ms + SILENCE_MS))
        begins = report.is_start and (self.start_seq is None or report.seq < self.start_seq)
        known = replace(
            self,
            seen=seen,
            heard=heard[-MAX_SILENCES:],
            start_seq=report.seq if begins else self.start_seq,
            start_at_ms=report.at_ms if begins else self.start_at_ms,
            least_ms=_lesser(self.least_ms, report.position_ms),
            most_ms=_greater(self.most_ms, report.position_ms),
            shortest_ms=self.shortest_ms
            if report.duration_ms is None
            else _lesser(self.shortest_ms, report.duration_ms),
        )
        return known if report.is_start else _with_position(known, report)


def is_low(position_ms: int, duration_ms: int | None) -> bool:
    """Below *started*: 3 % of the duration, 120 s at most."""
    return position_ms * 100 < min(3 * (duration_ms or 2**53), 12_000_000)


def is_complete(position_ms: int, duration_ms: int | None) -> bool:
    """What remains is 5 % at most, but never less than 15 s or more than 180 s. Unknown: never."""
    if duration_ms is None:
        return False
    return duration_ms - position_ms <= max(15_000, min(duration_ms // 20, 180_000))


def _with_position(playback: Playback, report: Report) -> Playback:
    ending, seek_seq, seek_is_user = playback.ending, playback.seek_seq, playback.seek_is_user
    if report.completes:
        if ending is None or report.seq > ending.seq:
            ending = report.mark
    elif report.begins_segment and _is_above(report.seq, seek_seq):
        seek_seq, seek_is_user = report.seq, report.is_user_action
    floor = max(-1 if ending is None else ending.seq + 1, -1 if seek_seq is None else seek_seq)
    marks = playback.marks if report.completes else (*playback.marks, report.mark)
    is_users = report.is_user_action
    return replace(
        playback,
        last_at_ms=_greater(playback.last_at_ms, report.at_ms),
        user_at_ms=_greater(playback.user_at_ms, report.at_ms) if is_users else playback.user_at_ms,
        seek_seq=seek_seq,
        seek_is_user=seek_is_user,
        ending=ending,
        marks=_ever_less_far(mark for mark in marks if mark.seq >= floor),
    )


def _joined(spans: tuple[Span, ...], new: Span) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted((*spans, new)):
        if joined and span[0] <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], span[1]))
        else:
            joined.append(span)
    return tuple(joined)


def _fill_oldest(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Numbers in the oldest hole are taken for seen: they are too late to count."""
    if len(spans) <= MAX_SEEN:
        return spans
    return ((spans[0][0], spans[1][1]), *spans[2:])


def _ever_less_far(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.seq, reverse=True):
        if not kept or mark.position_ms > kept[-1].position_ms:
            kept.append(mark)
    if len(kept) > MAX_MARKS:
        del kept[-2]  # the furthest stays: it is what the others are measured by
    return tuple(reversed(kept))


def _lesser(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _greater(one: int | None, other: int) -> int:
    return other if one is None else max(one, other)


def _is_above(seq: int | None, other: int | None) -> bool:
    return seq is not None and (other is None or seq > other)
