"""What people see and change by hand: rule 3.9, history, and the marks."""

import asyncio

import pytest

from csn_rt.errors import BadRequest, NotFound
from csn_rt.features.context import new_id
from csn_rt.wire.progress import ProgressGet
from tests.features.progress.couch import DURATION_MS, MINUTE_MS, fan

WEEK_S = 7 * 86_400

# Continue watching


async def test_what_was_started_and_not_completed_is_to_be_continued(couch):
    started, opened, completed = [await couch.video() for _ in range(3)]
    await couch.report(started, "progress", MINUTE_MS)
    await couch.report(opened, "progress", 17_999, session="p2")
    await couch.report(completed, "ended", DURATION_MS, session="p3")

    assert await couch.watching() == [started]


async def test_of_a_crowd_that_asks_at_once_each_gets_his_own(couch):
    first, second = await couch.video(), await couch.video()
    await couch.report(first, "progress", MINUTE_MS, by=fan("ann"))
    await couch.report(second, "progress", MINUTE_MS, session="tv", by=fan("ben"))
    crowd = ["ann", "zoe", "ben", "ann"]
    answers = await asyncio.gather(*[couch.progress.watching(name) for name in crowd])

    assert [[item.content_id for item in items] for items in answers] == [[first], [], [second], [first]]


async def test_an_item_says_what_a_row_of_videos_shows(couch):
    video = await couch.video(title="Gulls at Foxes")
    await couch.report(video, "progress", MINUTE_MS)
    (item,) = await couch.progress.watching("ann")

    assert (item.content_id, item.position_ms, item.remaining_ms) == (video, MINUTE_MS, 9 * MINUTE_MS)
    assert (item.content.id, item.content.title, item.content.kind) == (video, "Gulls at Foxes", "vod")
    assert (item.content.slug, item.content.duration_ms) == (f"match-{video}", DURATION_MS)
    assert (item.version, item.completed, item.removed) == (1, False, False)


async def test_the_newest_play_comes_first(couch):
    first, second = await couch.video(), await couch.video()
    await couch.report(first, "progress", MINUTE_MS, session="p1", age_ms=2_000)
    await couch.report(second, "progress", MINUTE_MS, session="p2", age_ms=1_000)
    before = await couch.watching()
    await couch.report(first, "progress", MINUTE_MS + 1_000, session="p1")

    assert before == [second, first]
    assert await couch.watching() == [first, second]


async def test_forty_at_most_are_to_be_continued(couch):
    videos = [await couch.video() for _ in range(42)]
    for n, video in enumerate(videos):
        await couch.report(video, "progress", MINUTE_MS, session=f"p{n}", age_ms=(42 - n) * 1_000)

    assert await couch.watching() == videos[:1:-1]


async def test_what_was_idle_for_over_16_weeks_drops_out(couch, video):
    await couch.report(video, "progress", MINUTE_MS)
    await couch.pass_time(16 * WEEK_S - 60)
    before = await couch.watching()
    await couch.pass_time(120)

    assert (before, await couch.watching()) == ([video], [])


async def test_what_is_no_longer_published_is_not_to_be_continued(couch, video, db):
    await couch.report(video, "progress", MINUTE_MS)
    async with db.connection() as connection:
        await connection.execute(
            "UPDATE content SET state = 'archived', archived_at = now() WHERE id = $1", video
        )

    assert await couch.watching() == []
    assert await couch.history() == ([], None)


async def test_clips_under_five_minutes_never_enter(couch):
    short = await couch.video(kind="clip", duration_ms=5 * MINUTE_MS - 1)
    unknown = await couch.video(kind="clip", duration_ms=None)
    long = await couch.video(kind="clip", duration_ms=5 * MINUTE_MS)
    for n, clip in enumerate((short, unknown, long)):
        answer = await couch.report(clip, "progress", 2 * MINUTE_MS, session=f"p{n}")
        assert answer.outcome == "saved"

    assert await couch.watching() == [long]


# Removing


async def test_removing_changes_neither_position_nor_watched_state_and_can_be_undone(couch, video):
    await couch.report(video, "progress", MINUTE_MS)
    before = await couch.row(video)
    removed = await couch.remove(video)
    without = await couch.watching()
    back = await couch.undo_remove(video)

    assert (removed.position_ms, removed.completed, removed.removed) == (MINUTE_MS, False, True)
    assert without == []
    assert (back.position_ms, back.completed, back.removed) == (MINUTE_MS, False, False)
    assert (before.version, removed.version, back.version) == (1, 2, 3)
    assert await couch.watching() == [video]


async def test_a_removal_and_its_undoing_are_told(couch, video):
    await couch.report(video, "progress", MINUTE_MS)
    couch.told.clear()
    await couch.remove(video)
    await couch.undo_remove(video)
    removed, changed = couch.told_to()

    assert removed == {"type": "progress.removed", "content_id": video, "version": 2}
    assert (changed["type"], changed["removed"], changed["version"]) == ("progress.changed", False, 3)


async def test_a_removal_ends_at_the_next_real_play(couch, video):
    await couch.report(video, "progress", MINUTE_MS, age_ms=1_000)
    await couch.remove(video)
    opened = await couch.report(video, "start", MINUTE_MS, session="tv")
    late = await couch.report(video, "stop", MINUTE_MS + 500, age_ms=500)
    still_without = await couch.watching()
    played = await couch.report(video, "progress", MINUTE_MS + 10_000)

    assert (opened.progress.removed, late.progress.removed, still_without) == (True, True, [])
    assert played.progress.removed is False
    assert await couch.watching() == [video]


async def test_a_player_that_failed_does_not_end_a_removal(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    await couch.remove(video)
    answer = await couch.report(video, "progress", 0)

    assert (answer.outcome, answer.progress.removed) == ("suspicious_rewind", True)


# Marks


async def test_marked_as_watched_it_keeps_its_position_and_is_not_to_be_continued(couch, video):
    await couch.report(video, "progress", MINUTE_MS)
    marked = await couch.mark_watched(video)

    assert (marked.completed, marked.position_ms, marked.version) == (True, MINUTE_MS, 2)
    assert await couch.watching() == []
    assert couch.told_to()[-1]["completed"] is True


async def test_what_was_never_played_can_be_marked_as_watched(couch, video):
    marked = await couch.mark_watched(video)

    assert (marked.completed, marked.position_ms, marked.duration_ms) == (True, 0, DURATION_MS)
    assert marked.last_played_at is None
    assert await couch.history() == ([], None)


async def test_a_mark_that_is_taken_back_leaves_everything_as_it_was(couch, video):
    await couch.report(video, "progress", MINUTE_MS)
    await couch.mark_watched(video)
    unmarked = await couch.mark_unwatched(video)

    assert (unmarked.completed, unmarked.position_ms) == (False, MINUTE_MS)
    assert await couch.watching() == [video]


async def test_what_was_played_to_its_end_begins_anew_when_marked_as_unwatched(couch, video):
    await couch.report(video, "ended", DURATION_MS)
    unmarked = await couch.mark_unwatched(video)

    assert (unmarked.completed, unmarked.position_ms, unmarked.started) == (False, 0, False)
    assert await couch.watching() == []


@pytest.mark.parametrize("mark", ["mark_watched", "mark_unwatched"])
async def test_closing_the_player_within_a_minute_of_a_mark_does_not_undo_it(couch, video, mark):
    event = "progress" if mark == "mark_watched" else "ended"
    await couch.report(video, event, 9 * MINUTE_MS)
    marked = await getattr(couch, mark)(video)
    await couch.pass_time(58)
    closed = await couch.report(video, "stop", 9 * MINUTE_MS, user_action=True)

    assert closed.outcome == "stale"
    assert closed.progress.completed is marked.completed


async def test_who_goes_on_playing_after_a_mark_is_followed_again(couch, video):
    await couch.report(video, "progress", 4 * MINUTE_MS)
    await couch.mark_watched(video)
    await couch.pass_time(70)
    await couch.report(video, "progress", 5 * MINUTE_MS)
    await couch.pass_time(10)
    answer = await couch.report(video, "progress", 5 * MINUTE_MS + 10_000)

    assert (answer.outcome, answer.progress.completed) == ("saved", False)


async def test_a_new_player_after_a_mark_is_followed_at_once(couch, video):
    await couch.report(video, "progress", 4 * MINUTE_MS)
    await couch.mark_watched(video)
    answer = await couch.report(video, "seek", MINUTE_MS, session="tv", user_action=True)

    assert (answer.outcome, answer.progress.completed) == ("saved", False)


async def test_a_retry_from_before_a_mark_is_still_a_duplicate(couch, video):
    await couch.report(video, "progress", 4 * MINUTE_MS, seq=1)
    await couch.mark_watched(video)
    answer = await couch.report(video, "progress", 4 * MINUTE_MS, seq=1, user_action=True)

    assert (answer.outcome, answer.progress.completed) == ("duplicate", True)


@pytest.mark.parametrize("change", ["remove", "undo_remove", "mark_watched", "mark_unwatched"])
async def test_what_is_done_twice_is_done_and_told_once(couch, video, change):
    await couch.report(video, "progress", MINUTE_MS)
    if change == "undo_remove":
        await couch.remove(video)
    if change == "mark_unwatched":
        await couch.mark_watched(video)
    couch.told.clear()
    first = await getattr(couch, change)(video)
    second = await getattr(couch, change)(video)

    assert first == second
    assert len(couch.told_to()) == 1


@pytest.mark.parametrize("change", ["remove", "undo_remove", "mark_unwatched"])
async def test_what_was_never_watched_cannot_be_changed(couch, video, change):
    await couch.report(video, "start", 0)
    with pytest.raises(NotFound):
        await getattr(couch, change)(video)
    with pytest.raises(NotFound):
        await getattr(couch, change)(new_id())


async def test_what_is_no_longer_published_can_still_be_removed(couch, video, db):
    await couch.report(video, "progress", MINUTE_MS)
    async with db.connection() as connection:
        await connection.execute("UPDATE content SET deleted_at = now() WHERE id = $1", video)

    assert (await couch.remove(video)).removed is True
    assert (await couch.mark_watched(video)).completed is True


# History and rows


async def test_history_has_everything_that_was_played_page_by_page(couch):
    videos = [await couch.video() for _ in range(5)]
    for n, video in enumerate(videos):
        await couch.report(
            video, "ended" if n % 2 else "progress", MINUTE_MS, session=f"p{n}", age_ms=(9 - n) * 1_000
        )
    await couch.remove(videos[0])
    first, cursor = await couch.history(limit=3)
    rest, end = await couch.history(limit=3, after=cursor)

    assert first + rest == videos[::-1]
    assert (cursor is not None, end) == (True, None)


async def test_a_cursor_that_was_not_given_is_a_bad_request(couch):
    with pytest.raises(BadRequest, match="after"):
        await couch.history(after="yesterday")


async def test_rows_come_in_the_order_asked_for(couch):
    first, second, unseen = [await couch.video() for _ in range(3)]
    await couch.report(first, "progress", MINUTE_MS, session="p1")
    await couch.report(second, "progress", 2 * MINUTE_MS, session="p2")
    page = await couch.progress.get(fan(), ProgressGet(content_ids=[second, unseen, first]))

    assert [row.content_id for row in page.items] == [second, first]
