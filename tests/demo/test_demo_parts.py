"""The parts of the demo that need no server but the database."""

import stat

import pytest

from csn_rt.core.identity import Identity
from csn_rt.demo.home import HomeFailed, default_data_dir, kept_secret, make_home
from csn_rt.demo.lines import LINES, NAMES, Moment
from csn_rt.demo.seed import seed
from csn_rt.features.content import Content
from csn_rt.features.context import Caller, Context
from csn_rt.wire.content import ContentGet, ContentList
from csn_rt.wire.roles import Role

ANYONE = Caller(identity=Identity(user_id="a", role=Role.ANONYMOUS), via="http")


async def seeded(db):
    async with db.connection() as connection:
        return await seed(connection)


async def count(db, table):
    async with db.connection() as connection:
        return await connection.fetchval(f"SELECT count(*) FROM {table}")


async def test_the_sample_league_is_complete(db):
    programme = await seeded(db)
    assert 3 == len(programme.videos)
    assert programme.stream_id is not None
    expected = {"teams": 4, "players": 10, "games": 2, "media_assets": 3, "content": 4}
    assert expected == {table: await count(db, table) for table in expected}


async def test_everyone_sees_the_sample_content_as_it_is_meant(db):
    programme = await seeded(db)
    content = Content(Context(db, lambda _: None))
    live = await content.list(ANYONE, ContentList(kind="live"))
    assert [programme.stream_id] == [item.id for item in live.items]
    assert ("Harbour City Gulls", "Ridgeway Foxes") == (
        live.items[0].game.home.name,
        live.items[0].game.away.name,
    )
    for each in programme.videos:
        video = await content.get(ANYONE, ContentGet(content_id=each.id))
        assert each.duration_ms == video.duration_ms
        assert video.playback_url.startswith("/demo-placeholder/"), "it does not pretend to be a film"


async def test_a_second_start_finds_its_rows_and_adds_none(db):
    first = await seeded(db)
    assert first == await seeded(db)
    assert 4 == await count(db, "content")


async def test_what_somebody_changed_stays_changed(db):
    programme = await seeded(db)
    async with db.connection() as connection:
        await connection.execute("UPDATE content SET deleted_at = now() WHERE kind = 'live'")
        await connection.execute("UPDATE teams SET name = 'Gulls FC' WHERE short_name = 'HCG'")
    again = await seeded(db)
    assert (None, programme.videos) == (again.stream_id, again.videos)
    async with db.connection() as connection:
        assert "Gulls FC" == await connection.fetchval("SELECT name FROM teams WHERE short_name = 'HCG'")


def test_the_secret_is_made_once_and_is_for_its_owner_only(tmp_path):
    secret = kept_secret(tmp_path)
    assert len(secret.encode()) >= 32
    assert secret == kept_secret(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / "secret").stat().st_mode)


def test_a_secret_that_was_cut_short_is_made_anew(tmp_path):
    (tmp_path / "secret").write_text("half a sec")
    assert len(kept_secret(tmp_path).encode()) >= 32


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeFailed, match="cannot be made"):
        make_home(tmp_path / "file" / "below")


def test_the_data_directory_is_the_user_s_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert tmp_path / "csn_rt" / "demo" == default_data_dir("demo")


def test_fans_have_something_to_say_at_every_moment():
    for moment in Moment:
        assert len(set(LINES[moment])) >= 10, moment
    assert all(1 <= len(line) <= 500 for lines in LINES.values() for line in lines)
    assert len(NAMES) == len(set(NAMES))
