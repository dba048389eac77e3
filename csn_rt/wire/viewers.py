"""Watch sessions, viewer counts and the start and end of streams."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from csn_rt.wire.events import Event
from csn_rt.wire.types import Id, Milliseconds, Params, Result

StreamState = Literal["scheduled", "live", "ended"]
PlayerState = Literal["playing", "paused"]

HEARTBEAT_MS = 10_000
"""How often a player is asked to be heard."""

SessionId = Annotated[Id, Meta(description="The session, as `session.start` answered it.")]
StreamId = Annotated[Id, Meta(description="The stream: the id of the content of kind live.")]


class SessionStart(Params, frozen=True, kw_only=True):
    stream_id: StreamId
    device_id: (
        Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] | None
    ) = None
    """What the player calls its device, if it likes."""
    state: PlayerState = "playing"
    """A player that waits for its first play says paused: it counts from its first play on."""


class SessionStarted(Result, frozen=True, kw_only=True):
    session_id: SessionId
    heartbeat_ms: Milliseconds
    """How often to send `session.heartbeat`; at once when play begins or pauses."""
    viewers: int | None
    """The viewers now, this one with them. Null: hidden on this stream."""


class SessionHeartbeat(Params, frozen=True, kw_only=True):
    session_id: SessionId
    state: PlayerState
    """What the player does now; only who plays is counted, and for a while who has paused."""


class SessionHeard(Result, frozen=True, kw_only=True):
    session_id: SessionId
    state: PlayerState


class SessionEnd(Params, frozen=True, kw_only=True):
    session_id: SessionId


class SessionEnded(Result, frozen=True, kw_only=True):
    session_id: SessionId


class ViewersGet(Params, frozen=True, kw_only=True):
    stream_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class ViewerCount(Result, frozen=True, kw_only=True):
    stream_id: StreamId
    state: StreamState
    viewers: int | None
    """Null: not live, hidden on this stream, or not known yet."""
    peak: int | None
    as_of: datetime
    stale: bool
    """True: the newest number that is known; the counting is interrupted."""
    seq: int
    """Of two counts of one stream, the one with the larger number is the newer one."""
    sessions: int | UnsetType = UNSET
    """Playing sessions; a person may have several. Moderators only."""


class ViewerCounts(Result, frozen=True, kw_only=True):
    items: list[ViewerCount]
    """In the order asked for; streams that do not exist are left out."""


class ViewersSeries(Params, frozen=True, kw_only=True):
    """Without `from` and `to` it is about the last broadcast, or the one on air."""

    stream_id: StreamId
    from_: datetime | None = field(default=None, name="from")
    """Beginning of the time asked for."""
    to: datetime | None = None
    """End of the time asked for."""
    step_ms: Annotated[int, Meta(ge=1_000, le=86_400_000)] | None = None
    """Length of one step. Without it, as many as make 500 steps at most."""


class SeriesPoint(Result, frozen=True, kw_only=True):
    at: datetime
    """Beginning of the step."""
    viewers: float
    """On average."""
    peak: int
    sessions: int
    """At most."""


class Series(Result, frozen=True, kw_only=True):
    stream_id: StreamId
    step_ms: Milliseconds
    items: list[SeriesPoint]
    """Oldest first; steps without a sample are left out."""


class StreamStart(Params, frozen=True, kw_only=True):
    stream_id: StreamId


class StreamEnd(Params, frozen=True, kw_only=True):
    stream_id: StreamId


class BroadcastStarted(Result, frozen=True, kw_only=True):
    stream_id: StreamId
    broadcast_id: Id
    started_at: datetime


class BroadcastEnded(Result, frozen=True, kw_only=True):
    """The record of a broadcast."""

    stream_id: StreamId
    broadcast_id: Id
    started_at: datetime
    ended_at: datetime
    peak_viewers: int
    average_viewers: float
    """Viewers at a time, weighted by time."""
    unique_viewers: int
    watch_minutes: float


# Pushed to those who watch a count. No field has a default: nulls are written, every push is the whole state.


class Viewers(Event, frozen=True, kw_only=True, tag="viewers"):
    stream_id: StreamId
    state: StreamState
    viewers: int | None
    peak: int | None
    as_of: datetime
    stale: bool
    seq: int


class StaffViewers(Viewers, frozen=True, kw_only=True, tag="viewers"):
    """What moderators get instead: the number also where it is hidden."""

    sessions: int


# Pushed on catalog.


class StreamStarted(Event, frozen=True, kw_only=True, tag="stream.started"):
    stream_id: StreamId
    started_at: datetime


class StreamEnded(Event, frozen=True, kw_only=True, tag="stream.ended"):
    stream_id: StreamId
    ended_at: datetime
