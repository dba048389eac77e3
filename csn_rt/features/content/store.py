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

_READ = query("read_published_content")
_READ_BY_SLUG = query("read_published_content_by_slug")
_IS_STREAM = query("is_published_stream")
_LIST = query("list_published_content")
_LIST_OF_KIND = query("list_published_content_of_kind")
_LIST_OF_GAME = query("list_published_content_of_game")
_LIST_OF_TEAM = query("list_published_content_of_team")
_LIST_OF_TAG = query("list_published_content_of_tag")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# At most 17 digits of microseconds reach the year 5138: no cursor can leave the range of a timestamp.
_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_BEFORE_ALL = (datetime(9999, 1, 1, tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")

_media = msgspec.json.Decoder(MediaBrief | None)
_game = msgspec.json.Decoder(GameBrief | None)
_teams = msgspec.json.Decoder(list[TeamBrief])


async def read(connection: Connection, content_id: str) -> ContentDetail | None:
    row = await _READ.row(connection, content_id)
    return msgspec.convert(_fields(row), ContentDetail) if row else None


async def read_by_slug(connection: Connection, slug: str) -> ContentDetail | None:
    row = await _READ_BY_SLUG.row(connection, slug)
    return msgspec.convert(_fields(row), ContentDetail) if row else None


async def is_stream(connection: Connection, content_id: str) -> bool:
    return bool(await _IS_STREAM.value(connection, content_id))


async def read_page(connection: Connection, params: ContentList) -> ContentPage:
    rows = await _list(connection, params)
    items = [msgspec.convert(_fields(row), ContentItem) for row in rows[: params.limit]]
    return ContentPage(items=items, next=_cursor(items[-1]) if len(rows) > params.limit else None)


async def _list(connection: Connection, params: ContentList) -> list[Record]:
    """One row more than the page: whether there is a next one."""
    kind, game_id, team_id = params.kind, params.game_id, params.team_id
    tag = params.tag and params.tag.lower()
    page = (*_position(params.after), params.limit + 1)
    if game_id:
        return await _LIST_OF_GAME.rows(connection, game_id, kind, team_id, tag, *page)
    if team_id:
        return await _LIST_OF_TEAM.rows(connection, team_id, kind, tag, *page)
    if tag:
        return await _LIST_OF_TAG.rows(connection, tag, kind, *page)
    if kind:
        return await _LIST_OF_KIND.rows(connection, kind, *page)
    return await _LIST.rows(connection, *page)


def _fields(row: Record) -> dict[str, Any]:
    return {
        **row,
        "media": _media.decode(row["media"] or "null"),
        "game": _game.decode(row["game"] or "null"),
        "teams": _teams.decode(row["teams"]),
    }


def _cursor(item: ContentItem) -> str:
    return f"{(item.published_at - _EPOCH) // _MICROSECOND}.{item.id}"


def _position(cursor: str | None) -> tuple[datetime, str]:
    if cursor is None:
        return _BEFORE_ALL
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadRequest("after: not a cursor that this list gave")
    return _EPOCH + int(match[1]) * _MICROSECOND, match[2]
