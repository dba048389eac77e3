"""content.get and content.list on real PostgreSQL; the rules are those of features/content/reading.py."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from csn_rt.core.identity import Identity
from csn_rt.db.queries import QUERIES
from csn_rt.errors import BadRequest, NotFound
from csn_rt.features.content import Content
from csn_rt.features.context import Caller, Context, new_id
from csn_rt.wire.content import ContentGet, ContentList
from csn_rt.wire.roles import Role

ANYONE = Caller(identity=Identity(user_id="a-1", role=Role.ANONYMOUS), via="http")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Library:
    """Puts rows where an admin would, and reads them back through the feature."""

    def __init__(self, db):
        self.db = db
        self.content = Content(Context(db, lambda _: None))

    async def insert(self, table, **fields):
        fields = {"id": new_id(), **fields}
        places = ", ".join(f"${n}" for n in range(1, len(fields) + 1))
        async with self.db.connection() as connection:
            await connection.execute(
                f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({places})", *fields.values()
            )
        return fields["id"]

    async def team(self, name, **fields):
        return await self.insert(
            "teams", name=name, short_name=name[:3].upper(), sport="ice hockey", **fields
        )

    async def game(self, home, away, **fields):
        defaults = {"sport": "ice hockey", "starts_at": NOON, "home_team_id": home, "away_team_id": away}
        return await self.insert("games", **defaults, **fields)

    async def video(self, title, **fields):
        defaults = {
            "kind": "vod",
            "state": "published",
            "title": title,
            "slug": title.lower().replace(" ", "-"),
            "published_at": NOON if fields.get("state", "published") == "published" else None,
        }
        return await self.insert("content", **{**defaults, **fields})

    async def get(self, **params):
        return await self.content.get(ANYONE, ContentGet(**params))

    async def list(self, **params):
        return await self.content.list(ANYONE, ContentList(**params))

    async def titles(self, **params):
        return [item.title for item in (await self.list(**params)).items]


@pytest.fixture
def library(db):
    return Library(db)


async def in_database(db, sql, *args):
    async with db.connection() as connection:
        return await connection.fetchval(sql, *args)


async def test_a_video_comes_with_its_game_teams_media_and_where_it_plays(library):
    gulls, foxes = await library.team("Gulls", logo_url="/g.svg"), await library.team("Foxes")
    game_id = await library.game(gulls, foxes, state="final", home_score=3, away_score=2, venue="Pier Arena")
    media_id = await library.insert(
        "media_assets",
        name="g.mp4",
        mime="video/mp4",
        state="ready",
        playable=True,
        bytes=42,
        duration_ms=90_000,
        playback_url="/media/g.mp4",
    )
    content_id = await library.video(
        "Gulls at Foxes",
        description="All of it.",
        game_id=game_id,
        team_ids=[foxes, gulls],
        media_id=media_id,
    )

    video = await library.get(content_id=content_id)

    assert ("Gulls at Foxes", "All of it.", "/media/g.mp4") == (
        video.title,
        video.description,
        video.playback_url,
    )
    assert 90_000 == video.duration_ms, "the asset knows how long it is"
    assert ("video/mp4", 42, True) == (video.media.mime, video.media.bytes, video.media.playable)
    assert ("Gulls", "Foxes", 3, 2) == (
        video.game.home.name,
        video.game.away.name,
        video.game.home_score,
        video.game.away_score,
    )
    assert ["Foxes", "Gulls"] == [team.name for team in video.teams], "in the order that the editor gave"
    assert video == await library.get(slug="gulls-at-foxes")


async def test_content_that_stands_alone_has_nothing_beside_it(library):
    video = await library.get(content_id=await library.video("Alone"))
    assert (None, None, [], None, None) == (
        video.media,
        video.game,
        video.teams,
        video.duration_ms,
        video.playback_url,
    )


async def test_a_video_whose_asset_cannot_be_played_yet_has_no_address(library):
    media_id = await library.insert(
        "media_assets", name="g.mp4", mime="video/mp4", state="processing", playback_url="/media/g.mp4"
    )
    video = await library.get(content_id=await library.video("Soon", media_id=media_id))
    assert (False, None) == (video.media.playable, video.playback_url)


async def test_a_deleted_team_or_game_is_left_out(library, db):
    gulls, foxes = await library.team("Gulls"), await library.team("Foxes")
    game_id = await library.game(gulls, foxes)
    content_id = await library.video("Old", game_id=game_id, team_ids=[gulls, foxes])
    await in_database(db, "UPDATE teams SET deleted_at = now() WHERE name = 'Gulls'")
    await in_database(db, "UPDATE games SET deleted_at = now()")
    video = await library.get(content_id=content_id)
    assert (["Foxes"], None) == ([team.name for team in video.teams], video.game)


HIDDEN = {
    "a draft": {"state": "draft"},
    "scheduled for later": {"state": "scheduled", "publish_at": datetime(2999, 1, 1, tzinfo=UTC)},
    "archived": {"state": "archived", "published_at": NOON, "archived_at": NOON},
    "deleted": {"deleted_at": NOON},
}


@pytest.mark.parametrize("fields", HIDDEN.values(), ids=HIDDEN)
async def test_what_is_not_published_does_not_exist_for_the_reader(library, fields):
    content_id = await library.video("Hidden", tags=["cup"], **fields)
    for way in ({"content_id": content_id}, {"slug": "hidden"}):
        with pytest.raises(NotFound):
            await library.get(**way)
    for filters in ({}, {"kind": "vod"}, {"tag": "cup"}):
        assert [] == await library.titles(**filters), "rule 1"


async def test_a_scheduled_item_that_is_due_is_published_for_the_reader(library):
    due_at = datetime.now(UTC) - timedelta(seconds=1)
    content_id = await library.video("Due", state="scheduled", publish_at=due_at)
    video = await library.get(content_id=content_id)
    assert due_at == video.published_at, "rule 1"
    assert ["Due"] == await library.titles()


@pytest.mark.parametrize("params", [{}, {"content_id": new_id(), "slug": "both"}])
async def test_get_wants_an_id_or_a_slug_and_not_both(library, params):
    with pytest.raises(BadRequest, match="content_id or slug"):
        await library.get(**params)


async def test_an_unknown_id_and_an_unknown_slug_are_not_found(library):
    for way in ({"content_id": new_id()}, {"slug": "no-such"}):
        with pytest.raises(NotFound):
            await library.get(**way)


async def test_a_list_is_newest_first_and_ids_decide_between_equals(library):
    await library.video("old", published_at=NOON)
    await library.video("same 1", published_at=NOON + timedelta(hours=1))
    await library.video("same 2", published_at=NOON + timedelta(hours=1))
    await library.video("new", published_at=NOON + timedelta(hours=2))
    assert ["new", "same 2", "same 1", "old"] == await library.titles()


async def test_filters_narrow_the_list_together(library):
    gulls, foxes, owls = [await library.team(name) for name in ("Gulls", "Foxes", "Owls")]
    game_id = await library.game(gulls, foxes)
    await library.video("a", game_id=game_id, team_ids=[gulls, foxes], tags=["cup"])
    await library.video("b", game_id=game_id, team_ids=[gulls], tags=["cup"], kind="clip")
    await library.video("c", team_ids=[owls], tags=["cup", "final"])
    await library.video("d", team_ids=[gulls], kind="live", live_state="scheduled")
    expected = {
        "dcba": {},
        "d": {"kind": "live"},
        "ba": {"game_id": game_id},
        "dba": {"team_id": gulls},
        "cba": {"tag": "Cup"},
        "b": {"game_id": game_id, "kind": "clip"},
        "a": {"game_id": game_id, "team_id": foxes},
        "c": {"team_id": owls, "tag": "final"},
        "ca": {"tag": "cup", "kind": "vod"},
        "": {"game_id": game_id, "team_id": gulls, "tag": "cup", "kind": "live"},
    }
    for titles, filters in expected.items():
        assert list(titles) == await library.titles(**filters), filters


async def test_pages_follow_each_other_to_the_last_one(library):
    for n in range(7):
        await library.video(f"v {n}", published_at=NOON + timedelta(minutes=n // 2))
    seen, after = [], None
    while True:
        page = await library.list(limit=3, after=after)
        seen += [item.title for item in page.items]
        if page.next is None:
            break
        after = page.next
    assert [f"v {n}" for n in reversed(range(7))] == seen
    assert (await library.list(limit=7)).next is None, "a full last page is the last"


async def test_what_is_published_between_two_pages_repeats_and_hides_nothing(library):
    for n in range(4):
        await library.video(f"v {n}", published_at=NOON + timedelta(minutes=n))
    first = await library.list(limit=2)
    await library.video("late", published_at=NOON + timedelta(hours=1))
    second = await library.list(limit=2, after=first.next)
    titles = [item.title for item in first.items + second.items]
    assert ["v 3", "v 2", "v 1", "v 0"] == titles, "rule 2"


@pytest.mark.parametrize("cursor", ["", "x", "1.2", "1.00000000-0000-0000-0000-00000000000", "'", "9" * 50])
async def test_a_cursor_that_the_list_did_not_give_is_refused(library, cursor):
    with pytest.raises(BadRequest, match="after"):
        await library.list(after=cursor)


async def test_a_farthest_cursor_is_only_an_empty_or_full_page(library):
    await library.video("v")
    assert ["v"] == await library.titles(after=f"{'9' * 17}.{new_id()}")


TEAM, GAME = "00000000-0000-0000-0001-000000000001", "00000000-0000-0000-0002-000000000001"
LISTS = {
    "list_published_content": "",
    "list_published_content_of_kind": "'live', ",
    "list_published_content_of_game": f"'{GAME}', NULL, NULL, NULL, ",
    "list_published_content_of_team": f"'{TEAM}', NULL, NULL, ",
    "list_published_content_of_tag": "'rare-7', NULL, ",
}


@pytest.fixture
async def big_library(db):
    """5,000 items: enough for an index to be worth its while."""
    async with db.connection() as connection:
        await connection.execute("""
            CREATE FUNCTION numbered(area text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
                $$ SELECT ('00000000-0000-0000-' || area || '-' || lpad(n::text, 12, '0'))::uuid $$;
            INSERT INTO teams (id, name, short_name, sport)
            SELECT numbered('0001', n), 'Team ' || n, 'T' || n, 'ice hockey' FROM generate_series(0, 99) n;
            INSERT INTO games (id, sport, home_team_id, away_team_id, starts_at)
            SELECT numbered('0002', n), 'ice hockey',
                   numbered('0001', n % 100), numbered('0001', (n + 1) % 100),
                   now()
              FROM generate_series(0, 999) n;
            INSERT INTO content
                (id, kind, live_state, state, title, slug, published_at, game_id, team_ids, tags)
            SELECT numbered('0003', n), CASE n % 100 WHEN 0 THEN 'live' ELSE 'vod' END,
                   CASE n % 100 WHEN 0 THEN 'ended' END, 'published', 't', 's-' || n,
                   now() - n * interval '1 hour',
                   numbered('0002', n % 1000), ARRAY[numbered('0001', n % 100)], ARRAY['rare-' || n % 500]
              FROM generate_series(1, 5000) n;
            ANALYZE;
        """)
    return db


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_list_reads_all_content(big_library, mode):
    async with big_library.transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        for name, filters in LISTS.items():
            args = f"{filters}'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 51"
            await connection.execute(f"PREPARE {name} AS {QUERIES[name].sql}")
            plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name} ({args})"))
            assert "Seq Scan" not in scans_of_content(plan[0]["Plan"]), name


def scans_of_content(plan):
    own = {plan["Node Type"]} if plan.get("Relation Name") == "content" else set()
    return own.union(*map(scans_of_content, plan.get("Plans", [])))
