"""Watch progress: what players report, what is remembered, and what a person's other devices are told."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from csn_rt.wire.content import ContentKind, Cursor
from csn_rt.wire.events import Event
from csn_rt.wire.types import Id, Limit, Milliseconds, Params, Result

PlaybackEvent = Literal["start", "play", "progress", "heartbeat", "pause", "seek", "stop", "hide", "ended"]
"""What made the player report.

    start       the player was opened; its position is never stored, the answer says where to begin
    play        playback goes on after a pause
    progress    the heartbeat while playing, every 10 s; `heartbeat` is the same by its other usual name
    pause       playback is paused
    seek        the position was moved; with `user_action` if a person did it
    stop        the player was closed
    hide        the page is hidden and may never be heard of again
    ended       the end was reached
"""

Outcome = Literal["saved", "duplicate", "stale", "suspicious_rewind", "ignored_start"]
"""What became of a report.

    saved              the row is where this report says
    duplicate          its number is not above those seen before; a retry changes nothing
    stale              another session, or a completion within the last minute, is newer
    suspicious_rewind  more than 10 s back without a seek: a player that failed, and is not believed
    ignored_start      a `start`, or a position so near the start that it does not replace a later one
"""

PlaybackSessionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        # The last part is for `$`, which in some dialects also matches before a line break at the end.
        pattern=r"^[!-~]*$(?!\n)",
        description="The player's own name of one playback: a new one whenever a player is opened.",
        examples=["0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"],
    ),
]
Position = Annotated[int, Meta(ge=0, le=30 * 86_400_000, description="A place in a video, in milliseconds.")]
Age = Annotated[
    int,
    Meta(
        ge=0,
        le=366 * 86_400_000,
        description="How long ago it happened, by the device's monotonic clock, in milliseconds.",
    ),
]


class ProgressReport(Params, frozen=True, kw_only=True):
    content_id: Id
    playback_session_id: PlaybackSessionId
    seq: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    """Goes up with every report of the session; a retry keeps its number."""
    event: PlaybackEvent
    position_ms: Position
    duration_ms: Position | None = None
    """As the player knows it; without it (or with 0) the catalog's duration counts."""
    age_ms: Age = 0
    user_action: bool = False
    """A person did this on purpose, with a button or the slider."""


class WatchProgress(Result, frozen=True, kw_only=True):
    """How far a person has watched something."""

    content_id: Id
    position_ms: Milliseconds
    duration_ms: Milliseconds | None
    """Null: not known."""
    started: bool
    """Whether enough was watched to be worth continuing."""
    completed: bool
    """Watched to the end, or marked as watched. The position stays where it was."""
    removed: bool
    """Taken off "Continue watching" by hand; ends when it is played again."""
    version: int
    """Goes up with every change: of two rows the one with the higher version is newer."""
    updated_at: datetime
    last_played_at: datetime | None
    """Null: marked as watched without having been played."""
    playback_session_id: str | None
    """The session that the position comes from; null after it was marked by hand."""


class ProgressReported(Result, frozen=True, kw_only=True):
    outcome: Outcome
    progress: WatchProgress | None
    """The row as it is now; null: nothing is stored yet."""


class ProgressGet(Params, frozen=True, kw_only=True):
    content_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class ProgressPage(Result, frozen=True, kw_only=True):
    items: list[WatchProgress]
    """One for each content of which anything is stored, in the order asked for."""
    next: None = None


class ProgressTitle(Params, frozen=True, kw_only=True):
    content_id: Id


class ContentBrief(Struct, frozen=True, kw_only=True):
    """What a row of videos shows of one."""

    id: Id
    kind: ContentKind
    title: str
    slug: str
    thumbnail_url: str | None
    duration_ms: Milliseconds | None


class WatchedContent(WatchProgress, frozen=True, kw_only=True):
    """A person's progress with the content that it is about."""

    content: ContentBrief
    remaining_ms: Milliseconds | None
    """Null: the duration is not known."""


class ContinueWatching(Result, frozen=True, kw_only=True):
    items: list[WatchedContent]
    """Newest play first, 40 at most."""
    next: None = None


class ProgressHistory(Params, frozen=True, kw_only=True):
    limit: Limit = 50
    after: Cursor | None = None


class HistoryPage(Result, frozen=True, kw_only=True):
    items: list[WatchedContent]
    """Newest play first."""
    next: Cursor | None
    """Give it as `after` for the next page; null: this was the last."""


class ProgressChanged(Event, frozen=True, kw_only=True, tag="progress.changed"):
    """Told to all devices of the person; the newest per content counts.

    A device that is itself playing this content, in another session than the event's, is not moved by it: it
    takes the version and goes on playing.
    """

    content_id: Id
    position_ms: Milliseconds
    duration_ms: Milliseconds | None
    started: bool
    completed: bool
    removed: bool
    version: int
    updated_at: datetime
    last_played_at: datetime | None
    playback_session_id: str | None


class ProgressRemoved(Event, frozen=True, kw_only=True, tag="progress.removed"):
    """Taken off "Continue watching" by hand."""

    content_id: Id
    version: int
