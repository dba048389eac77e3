"""Content as everyone may see it: videos, clips and live streams with their game, teams and media facts."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from csn_rt.wire.types import Id, Limit, Milliseconds, Params, Result

ContentKind = Literal["vod", "live", "clip"]
LiveState = Literal["scheduled", "live", "ended"]
GameState = Literal["scheduled", "playing", "final", "postponed", "cancelled"]
Slug = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$(?!\n)",
        max_length=120,
        description="The name in addresses, unique among what is not deleted.",
        examples=["gulls-at-foxes-highlights"],
    ),
]
Tag = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)",
        description="A word to find content by; case does not matter.",
    ),
]
Cursor = Annotated[
    str, Meta(max_length=100, description="The `next` of the page before. Its form is nobody's business.")
]


class ContentGet(Params, frozen=True, kw_only=True):
    """Exactly one of the two says which."""

    content_id: Id | None = None
    slug: Slug | None = None


class ContentList(Params, frozen=True, kw_only=True):
    """Filters narrow the list together."""

    kind: ContentKind | None = None
    """`vod`: whole recordings, `live`: streams, `clip`: short pieces."""
    game_id: Id | None = None
    team_id: Id | None = None
    tag: Tag | None = None
    limit: Limit = 50
    after: Cursor | None = None


class TeamBrief(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    name: str
    short_name: str
    logo_url: str | None


class GameBrief(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    sport: str
    state: GameState
    starts_at: datetime
    venue: str | None
    home: TeamBrief
    away: TeamBrief
    home_score: int | None
    away_score: int | None


class MediaBrief(msgspec.Struct, frozen=True, kw_only=True):
    id: Id
    mime: str
    bytes: int | None
    playable: bool


class ContentItem(Result, frozen=True, kw_only=True):
    """One line of a list."""

    id: Id
    """Of content of kind live this is the stream id in channel names."""
    kind: ContentKind
    title: str
    slug: Slug
    tags: list[str]
    thumbnail_url: str | None
    duration_ms: Milliseconds | None
    live_state: LiveState | None
    """Null exactly when the kind is not live."""
    published_at: datetime
    version: int
    updated_at: datetime
    media: MediaBrief | None
    game: GameBrief | None
    teams: list[TeamBrief]
    """The teams that it is about, the most important first."""


class ContentDetail(ContentItem, frozen=True, kw_only=True):
    """A line of the list and what only a page about it needs."""

    description: str
    playback_url: str | None
    """Where it plays; null while nothing playable is known."""


class ContentPage(Result, frozen=True, kw_only=True):
    items: list[ContentItem]
    """Newest publication first."""
    next: Cursor | None
    """Give it as `after` for the next page; null: this was the last."""
