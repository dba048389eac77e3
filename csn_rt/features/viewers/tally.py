"""What this node knows of one stream's count, and what it makes of news.

Rule 1: the number is what the leases answered as told: it belongs to its `seq`, so that a snapshot and the
        pushes after it are in one order.
Rule 2: what a node finds out by itself (stale, hidden, ended) it shows to its own subscribers only; its `seq`
        is larger than any that can have come from elsewhere so far, for all of them are about the time in ms.
Rule 3: while the count is interrupted the last number is shown as stale, once; never 0, and null only where
        nothing at all is known.
Rule 4: what is hidden from viewers is not told to them at all, so that not even the pace of pushes shows it.
Rule 5: nothing is told when nothing changed.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from csn_rt.bus.leases import Count
from csn_rt.wire.viewers import StaffViewers, StreamState, Viewers

NEW_MS: Final = 2_000
"""A broadcast as young as this began at 0 just now, also if nobody could count it."""


class Known(msgspec.Struct, frozen=True):
    """The newest number that is known, and when it was counted."""

    viewers: int
    peak: int
    sessions: int
    as_of: datetime


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as the database has it."""

    stream_id: str
    state: StreamState
    is_hidden: bool
    is_published: bool
    broadcast_id: str | None
    """The present broadcast, else the last one."""
    started_at: datetime | None
    ended_at: datetime | None
    seq: int
    peak: int
    sampled: Known | None
    read_at: datetime
    """The database's time."""

    @property
    def on_air(self) -> str | None:
        """The id of the broadcast, while it is live."""
        return self.broadcast_id if self.state == "live" else None


class Telling(msgspec.Struct, frozen=True):
    event: Viewers
    is_everywhere: bool
    """False: to the subscribers of this node only."""


class _Face(msgspec.Struct):
    """What one audience was shown last."""

    content: dict[str, Any] | None = None
    seq: int = 0

    def show(self, content: dict[str, Any], seq: int | None, fresh_seq: int, *, must_tell: bool) -> bool:
        """True if there is something to tell, numbered `self.seq`. `seq`: the number it came with, if any."""
        is_newer = seq is not None and seq > self.seq
        if content == self.content and not is_newer and not must_tell:
            return False
        self.content = content
        self.seq = seq if seq is not None and is_newer else max(self.seq + 1, fresh_seq)
        return True


class Tally:
    def __init__(self, stream: Stream, now: float) -> None:
        self.stream = stream
        self.known: Known | None = None
        self.viewers: int | None = None
        """How many watch right now, told or not; None: that is not known."""
        self.is_stale = False
        self.needs_all = True
        """Whether everything held here has to be registered again."""
        self.is_over = False
        """Whether the leases say that the broadcast has ended; the database knows more."""
        self._life: int | None = None
        self._read_at = now
        self._clock: tuple[int, float] = (to_ms(stream.read_at), now)
        self._public = _Face()
        self._staff = _Face()
        self._begin(stream)
        self._show(stream.seq, stream.seq, now)

    @property
    def seq(self) -> int:
        """The largest number that was shown here."""
        return max(self._public.seq, self._staff.seq, self.stream.seq)

    @property
    def peak(self) -> int:
        return max(self.known.peak if self.known else 0, self.stream.peak)

    def age_ms(self, now: float) -> int:
        """How long ago the broadcast began."""
        if self.stream.started_at is None:
            return 0
        at_reading = to_ms(self.stream.read_at) - to_ms(self.stream.started_at)
        return max(0, at_reading + int((now - self._read_at) * 1000))

    def learn(self, stream: Stream, now: float, *, is_everywhere: bool = False) -> list[Telling]:
        """The stream as it was just read from the database."""
        is_other = (stream.broadcast_id, stream.state) != (self.stream.broadcast_id, self.stream.state)
        self.stream, self._read_at = stream, now
        if is_other:
            self._begin(stream)
        if stream.state != "live":
            return self._show(stream.seq, stream.seq, now, everywhere=(is_everywhere, is_everywhere))
        return self._show(None, None, now)

    def counted(self, count: Count, now: float, *, was_full: bool) -> list[Telling]:
        """The leases' answer; `was_full`: to an ask with everything that is held here."""
        self.needs_all = count.life != self._life and not was_full
        self._life = count.life
        self._clock = (count.at_ms, now)
        if count.settles_in_ms:
            return self._interrupt(now)
        self.is_over = count.is_ended
        if self.is_over:
            return []
        self.viewers, self.is_stale = count.viewers, False
        self.known = Known(count.told, count.told_peak, count.told_sessions, from_ms(count.at_ms))
        everywhere = (count.is_changed and not self.stream.is_hidden, count.is_staff_changed)
        return self._show(
            None if self.stream.is_hidden else count.seq, count.staff_seq, now, everywhere=everywhere
        )

    def uncounted(self, now: float, people: int) -> list[Telling]:
        """The leases did not answer. `people`: how many count on this node."""
        self.needs_all = True
        if self.known is None and people:
            self.known = Known(people, people, people, from_ms(self._fresh_ms(now)))
        return self._interrupt(now)

    def snapshot(self, *, is_staff: bool) -> Viewers:
        face = self._staff if is_staff else self._public
        return self._event(self._content(is_staff=is_staff), max(face.seq, self.stream.seq))

    def _begin(self, stream: Stream) -> None:
        """A stream that was not known, or not in this state."""
        self.viewers, self._life, self.needs_all = None, None, True
        self.is_stale = self.is_over = False
        self.known = stream.sampled
        if self.known is None and stream.started_at is not None and self.age_ms(self._read_at) < NEW_MS:
            self.known = Known(0, 0, 0, stream.started_at)

    def _interrupt(self, now: float) -> list[Telling]:
        self.viewers, self.is_stale = None, True
        return self._show(None, None, now)

    def _show(
        self,
        public_seq: int | None,
        staff_seq: int | None,
        now: float,
        *,
        everywhere: tuple[bool, bool] = (False, False),
    ) -> list[Telling]:
        if self.stream.state == "live" and self.viewers is None and not self.is_stale:
            return []  # the first count is under way
        faces = ((self._public, public_seq, False), (self._staff, staff_seq, True))
        tellings = []
        for (face, seq, is_staff), is_everywhere in zip(faces, everywhere, strict=True):
            content = self._content(is_staff=is_staff)
            if face.show(content, seq, self._fresh_ms(now), must_tell=is_everywhere):
                tellings.append(Telling(self._event(content, face.seq), is_everywhere))
        return tellings

    def _content(self, *, is_staff: bool) -> dict[str, Any]:
        """What is shown, without what alone is no news: its number and its time."""
        state, known = self.stream.state, self.known
        viewers = peak = None
        if state == "ended":
            peak = self.stream.peak
        elif state == "live" and known:
            viewers, peak = known.viewers, known.peak
        if self.stream.is_hidden and not is_staff:
            viewers = peak = None
        content: dict[str, Any] = {"state": state, "viewers": viewers, "peak": peak}
        content["stale"] = state == "live" and self.viewers is None
        if is_staff:
            content["sessions"] = known.sessions if known and state == "live" else 0
        return content

    def _event(self, content: dict[str, Any], seq: int) -> Viewers:
        as_of = self.stream.ended_at if content["state"] == "ended" else None
        if content["state"] == "live" and self.known is not None:
            as_of = self.known.as_of
        event = StaffViewers if "sessions" in content else Viewers
        return event(stream_id=self.stream.stream_id, as_of=as_of or self.stream.read_at, seq=seq, **content)

    def _fresh_ms(self, now: float) -> int:
        """The time by the clock that numbers pushes."""
        clock_ms, at = self._clock
        return clock_ms + int((now - at) * 1000)


def to_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
