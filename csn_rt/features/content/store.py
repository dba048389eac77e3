"""Rows of content to wire structs. A cursor is a position in the order of lists: time, then id."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from asyncpg import Record

from csn_rt.db.queries import Connection, query
from csn_rt.errors import BadRequest
from csn_rt.wire.content import (
    ContentDetail,
    ContentItem,
    ContentList,
    ContentPage,
    GameBrief,
    MediaBrief,
    TeamBrief,
)

_FIND = query("find_published_content")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# At most 17 digits of microseconds reach the year 5138: no cursor can leave the range of a timestamp.
_CURSOR = re.compile(r"(\d{1,17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_media = msgspec.json.Decoder(MediaBrief | None)
_game = msgspec.json.Decoder(GameBrief | None)
_teams = msgspec.json.Decoder(list[TeamBrief])


async def find_one(connection: Connection, content_id: str | None, slug: str | None) -> ContentDetail | None:
    """The published item of that id or, without an id, of that slug."""
    rows = await _FIND.rows(connection, content_id, slug, None, None, None, None, None, None, 1)
    return msgspec.convert(_fields(rows[0]), ContentDetail) if rows else None


async def find_page(connection: Connection, params: ContentList) -> ContentPage:
    published_before, id_before = _position(params.after)
    rows = await _FIND.rows(
        connection,
        None,
        None,
        params.kind,
        params.game_id,
        params.team_id,
        params.tag and params.tag.lower(),
        published_before,
        id_before,
        params.limit + 1,
    )
    items = [msgspec.convert(_fields(row), ContentItem) for row in rows[: params.limit]]
    return ContentPage(items=items, next=_cursor(items[-1]) if len(rows) > params.limit else None)


def _fields(row: Record) -> dict[str, Any]:
    return {
        **row,
        "media": _media.decode(row["media"] or "null"),
        "game": _game.decode(row["game"] or "null"),
        "teams": _teams.decode(row["teams"]),
    }


def _cursor(item: ContentItem) -> str:
    return f"{(item.published_at - _EPOCH) // _MICROSECOND}.{item.id}"


def _position(cursor: str | None) -> tuple[datetime, str] | tuple[None, None]:
    if cursor is None:
        return None, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("after: not a cursor that this list gave")
    return _EPOCH + int(match[1]) * _MICROSECOND, match[2]
