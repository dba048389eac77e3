"""What becomes of a report: rules 3.1 to 3.8, 3.10 and 3.11."""

import asyncio

import pytest

from csn_rt.errors import BadRequest, NotFound
from tests.features.progress.couch import DURATION_MS, MINUTE_MS, fan

# 3.1 Time


async def test_an_offline_report_that_comes_late_does_not_replace_what_was_played_since(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv")
    answer = await couch.report(
        video, "pause", MINUTE_MS, session="phone", user_action=True, age_ms=3_600_000
    )

    assert answer.outcome == "stale"
    assert await couch.position(video) == 5 * MINUTE_MS


async def test_no_report_is_older_than_the_start_of_its_session(couch, video):
    """A broken clock on the phone says an hour; the phone was opened after the TV was heard last."""
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=1_000)
    await couch.report(video, "start", session="phone")
    answer = await couch.report(
        video, "pause", MINUTE_MS, session="phone", user_action=True, age_ms=3_600_000
    )

    assert answer.outcome == "saved"


async def test_time_that_a_report_waits_in_the_node_counts_as_its_age(couch, video):
    times = iter([0.0, 60.0])  # its arrival, the merge of its batch
    couch.progress._clock = lambda: next(times)
    progress = (await couch.report(video, "pause", MINUTE_MS, age_ms=1_000)).progress

    # Both are of one transaction: updated_at is its start.
    assert 61.0 <= (progress.updated_at - progress.last_played_at).total_seconds() < 61.001


# 3.2 Retries


async def test_a_replayed_report_is_harmless(couch, video):
    await couch.report(video, "progress", MINUTE_MS, seq=1)
    await couch.report(video, "progress", 2 * MINUTE_MS, seq=2)
    before = await couch.row(video)
    told = len(couch.told_to())

    for seq, position_ms in ((1, MINUTE_MS), (2, 2 * MINUTE_MS), (2, 5 * MINUTE_MS), (1, 0)):
        answer = await couch.report(video, "progress", position_ms, seq=seq, user_action=True)
        assert answer.outcome == "duplicate"
        assert answer.progress == before

    assert await couch.row(video) == before
    assert len(couch.told_to()) == told


async def test_a_report_that_was_overtaken_is_a_duplicate_and_moves_nothing_back(couch, video):
    await couch.report(video, "progress", MINUTE_MS, seq=1)
    await couch.report(video, "progress", 3 * MINUTE_MS, seq=3)
    answer = await couch.report(video, "progress", 2 * MINUTE_MS, seq=2)

    assert answer.outcome == "duplicate"
    assert answer.progress.position_ms == 3 * MINUTE_MS


async def test_a_seek_that_was_overtaken_still_explains_the_jump_back(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS, seq=1)
    jump = await couch.report(video, "progress", MINUTE_MS + 5_000, seq=3)
    late = await couch.report(video, "seek", MINUTE_MS, seq=2, user_action=True)

    assert jump.outcome == "suspicious_rewind"
    assert late.outcome == "duplicate"
    assert late.progress.position_ms == MINUTE_MS + 5_000


# 3.3 Start


async def test_a_start_writes_nothing_and_answers_the_stored_row(couch, video):
    nothing = await couch.report(video, "start", 0, session="phone")
    await couch.report(video, "progress", MINUTE_MS, session="phone")
    stored = await couch.row(video)
    answer = await couch.report(video, "start", 0, session="tv", user_action=True)

    assert (nothing.outcome, nothing.progress) == ("ignored_start", None)
    assert (answer.outcome, answer.progress) == ("ignored_start", stored)
    assert await couch.row(video) == stored


async def test_a_title_that_was_only_opened_is_in_no_list(couch, video):
    await couch.report(video, "start", 0)

    assert await couch.row(video) is None
    assert await couch.history() == ([], None)
    assert couch.told_to() == []


# 3.4 Two sessions


async def test_another_session_that_has_not_played_ten_seconds_is_stale(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=60_000)
    await couch.report(video, "start", 2 * MINUTE_MS, session="phone", age_ms=9_000)
    answer = await couch.report(video, "progress", 2 * MINUTE_MS + 9_000, session="phone")

    assert answer.outcome == "stale"
    assert answer.progress.position_ms == 5 * MINUTE_MS


async def test_another_session_that_has_played_ten_seconds_goes_on_from_there(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=60_000)
    await couch.report(video, "start", 2 * MINUTE_MS, session="phone", age_ms=10_000)
    answer = await couch.report(video, "progress", 2 * MINUTE_MS + 10_000, session="phone")

    assert answer.outcome == "saved"
    assert answer.progress.position_ms == 2 * MINUTE_MS + 10_000
    assert answer.progress.playback_session_id == "phone"


async def test_a_jump_is_not_playing_and_neither_is_waiting(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=60_000)
    await couch.report(video, "start", MINUTE_MS, session="jumps", age_ms=1_000)
    await couch.report(video, "start", MINUTE_MS, session="waits", age_ms=20_000)

    assert (await couch.report(video, "progress", 8 * MINUTE_MS, session="jumps")).outcome == "stale"
    assert (await couch.report(video, "stop", MINUTE_MS, session="waits")).outcome == "stale"


async def test_a_person_who_acts_on_another_device_is_believed_at_once(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=60_000)
    answer = await couch.report(video, "seek", 2 * MINUTE_MS, session="phone", user_action=True)

    assert answer.outcome == "saved"
    assert answer.progress.position_ms == 2 * MINUTE_MS


async def test_a_person_who_acted_earlier_than_the_row_was_played_is_stale(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS, session="tv")
    answer = await couch.report(video, "seek", MINUTE_MS, session="phone", user_action=True, age_ms=2_000)

    assert answer.outcome == "stale"


# 3.5 Near the start


async def test_a_position_near_the_start_never_replaces_a_larger_one(couch, video):
    await couch.report(video, "pause", 5 * MINUTE_MS, session="tv", age_ms=60_000)
    await couch.report(video, "start", 0, session="phone", age_ms=15_000)
    answer = await couch.report(video, "progress", 15_000, session="phone")
    started = await couch.report(video, "progress", 18_000, session="phone")

    assert (answer.outcome, answer.progress.position_ms) == ("ignored_start", 5 * MINUTE_MS)
    assert (started.outcome, started.progress.position_ms) == ("saved", 18_000)


async def test_a_person_who_seeks_to_the_start_is_there(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    answer = await couch.report(video, "seek", 0, user_action=True)
    after = await couch.report(video, "progress", 5_000)

    assert (answer.outcome, answer.progress.position_ms) == ("saved", 0)
    assert (after.outcome, after.progress.position_ms) == ("saved", 5_000)


async def test_a_player_that_seeks_to_the_start_by_itself_is_not_followed(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    answer = await couch.report(video, "seek", 0)

    assert (answer.outcome, answer.progress.position_ms) == ("ignored_start", 5 * MINUTE_MS)


# 3.6 Rewinds


async def test_a_player_that_failed_and_reports_zero_is_not_believed(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    for event in ("progress", "pause", "stop", "hide"):
        answer = await couch.report(video, event, 0, user_action=True)
        assert (answer.outcome, answer.progress.position_ms) == ("suspicious_rewind", 5 * MINUTE_MS)


async def test_ten_seconds_back_are_a_players_jitter_and_more_are_suspicious(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    jitter = await couch.report(video, "progress", 5 * MINUTE_MS - 10_000)
    jump = await couch.report(video, "progress", 5 * MINUTE_MS - 10_001)

    assert (jitter.outcome, jitter.progress.position_ms) == ("saved", 5 * MINUTE_MS - 10_000)
    assert (jump.outcome, jump.progress.position_ms) == ("suspicious_rewind", 5 * MINUTE_MS - 10_000)


async def test_a_jump_back_after_a_seek_is_meant(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    seek = await couch.report(video, "seek", 2 * MINUTE_MS)
    after = await couch.report(video, "progress", 2 * MINUTE_MS + 5_000)

    assert (seek.outcome, after.outcome) == ("saved", "saved")
    assert after.progress.position_ms == 2 * MINUTE_MS + 5_000


# 3.7 Bounds and completion


async def test_a_position_beyond_the_end_is_a_bad_request(couch, video):
    assert (await couch.report(video, "progress", DURATION_MS + 2_000)).outcome == "saved"
    with pytest.raises(BadRequest, match="position_ms"):
        await couch.report(video, "progress", DURATION_MS + 2_001)
    with pytest.raises(BadRequest, match="position_ms"):
        await couch.report(video, "progress", MINUTE_MS + 2_001, duration_ms=MINUTE_MS)


async def test_one_bad_report_does_not_spoil_its_batch(couch, video):
    results = await asyncio.gather(
        couch.report(video, "progress", MINUTE_MS, by=fan("ann")),
        couch.report(video, "progress", DURATION_MS * 2, by=fan("bob")),
        couch.report("0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77", "progress", 0, by=fan("cid")),
        couch.report(video, "progress", 2 * MINUTE_MS, by=fan("dan")),
        return_exceptions=True,
    )

    assert [results[0].outcome, results[3].outcome] == ["saved", "saved"]
    assert isinstance(results[1], BadRequest)
    assert isinstance(results[2], NotFound)


async def test_late_reports_of_the_session_do_not_clear_a_completion_within_a_minute(couch, video):
    await couch.report(video, "ended", DURATION_MS, age_ms=55_000)
    late = await couch.report(video, "seek", MINUTE_MS, user_action=True)

    assert (late.outcome, late.progress.completed) == ("stale", True)
    assert late.progress.position_ms == DURATION_MS


async def test_who_watches_on_a_minute_after_the_end_has_not_completed(couch, video):
    await couch.report(video, "ended", DURATION_MS, age_ms=61_000)
    again = await couch.report(video, "progress", MINUTE_MS)

    assert (again.outcome, again.progress.completed) == ("saved", False)
    assert again.progress.position_ms == MINUTE_MS


async def test_a_player_that_idles_at_zero_after_the_end_does_not_clear_a_completion(couch, video):
    await couch.report(video, "ended", DURATION_MS, age_ms=300_000)
    answer = await couch.report(video, "progress", 0)

    assert (answer.outcome, answer.progress.completed) == ("ignored_start", True)


async def test_another_session_that_plays_again_clears_a_completion(couch, video):
    await couch.report(video, "ended", DURATION_MS, session="tv", age_ms=1_000)
    answer = await couch.report(video, "seek", MINUTE_MS, session="phone", user_action=True)

    assert (answer.outcome, answer.progress.completed) == ("saved", False)


# 3.8 Started and completed


@pytest.mark.parametrize(
    ("minutes", "started_at_ms"),
    [(10, 18_000), (60, 108_000), (90, 120_000), (180, 120_000), (None, 120_000)],
)
async def test_started_is_three_per_cent_but_two_minutes_at_most(couch, minutes, started_at_ms):
    video = await couch.video(duration_ms=minutes and minutes * MINUTE_MS)
    before = await couch.report(video, "seek", started_at_ms - 1, user_action=True)
    after = await couch.report(video, "progress", started_at_ms)

    assert (before.progress.started, after.progress.started) == (False, True)


@pytest.mark.parametrize(("minutes", "left_ms"), [(2, 15_000), (10, 30_000), (30, 90_000), (120, 180_000)])
async def test_completed_is_five_per_cent_left_but_15_s_at_least_and_180_at_most(couch, minutes, left_ms):
    video = await couch.video(duration_ms=minutes * MINUTE_MS)
    before = await couch.report(video, "progress", minutes * MINUTE_MS - left_ms - 1)
    after = await couch.report(video, "progress", minutes * MINUTE_MS - left_ms)

    assert (before.progress.completed, after.progress.completed) == (False, True)
    assert after.progress.position_ms == minutes * MINUTE_MS - left_ms


async def test_the_end_completes_wherever_it_is(couch, video):
    answer = await couch.report(video, "ended", 5 * MINUTE_MS)

    assert (answer.outcome, answer.progress.completed) == ("saved", True)
    assert answer.progress.position_ms == 5 * MINUTE_MS


async def test_an_unknown_duration_never_means_watched(couch):
    video = await couch.video(duration_ms=None)
    for duration_ms in (None, 0):
        answer = await couch.report(video, "progress", 5 * MINUTE_MS, duration_ms=duration_ms)
        assert (answer.outcome, answer.progress.completed) == ("saved", False)
        assert answer.progress.duration_ms is None


async def test_the_catalogs_duration_counts_where_the_player_gives_none(couch, video):
    answer = await couch.report(video, "progress", DURATION_MS - 30_000)

    assert (answer.progress.completed, answer.progress.duration_ms) == (True, DURATION_MS)


# 3.10 Silence


async def test_a_session_that_falls_silent_is_closed_where_it_was(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    before = await couch.row(video)
    await couch.pass_time(31)
    after = await couch.row(video)

    assert (after.position_ms, after.version) == (before.position_ms, before.version)


async def test_a_session_that_wakes_up_must_play_before_it_moves_the_row_again(couch, video):
    """The tablet slept while the TV went on: its first heartbeat is no news."""
    await couch.report(video, "start", 60_000, session="tablet")
    await couch.pass_time(20)
    await couch.report(video, "progress", 80_000, session="tablet")
    await couch.pass_time(600)
    await couch.report(video, "seek", 5 * MINUTE_MS, session="tv", user_action=True)
    await couch.pass_time(60)

    woken = await couch.report(video, "progress", 80_500, session="tablet")
    await couch.pass_time(10)
    playing = await couch.report(video, "progress", 90_500, session="tablet")

    assert (woken.outcome, woken.progress.position_ms) == ("stale", 5 * MINUTE_MS)
    assert (playing.outcome, playing.progress.position_ms) == ("saved", 90_500)


# 3.11 Telling


async def test_a_change_is_told_to_the_persons_devices_and_to_nobody_else(couch, video):
    answer = await couch.report(video, "progress", MINUTE_MS)
    (event,) = couch.told_to("ann")

    assert event["type"] == "progress.changed"
    assert (event["content_id"], event["position_ms"]) == (video, MINUTE_MS)
    assert (event["version"], event["playback_session_id"]) == (answer.progress.version, "phone")
    assert len(couch.told.published) == 1


async def test_a_report_that_changes_nothing_is_told_to_nobody(couch, video):
    await couch.report(video, "progress", 5 * MINUTE_MS)
    await couch.report(video, "progress", 0)
    await couch.report(video, "progress", MINUTE_MS, session="tv")
    answer = await couch.report(video, "pause", 5 * MINUTE_MS)

    assert (answer.outcome, answer.progress.version) == ("saved", 1)
    assert len(couch.told_to()) == 1


# What has progress at all


async def test_a_live_stream_has_no_progress(couch):
    stream = await couch.video(kind="live", live_state="scheduled", duration_ms=None)
    with pytest.raises(BadRequest, match="live"):
        await couch.report(stream, "progress", 0)


async def test_content_that_nobody_may_see_is_not_found(couch, video, db):
    async with db.connection() as connection:
        await connection.execute("UPDATE content SET deleted_at = now() WHERE id = $1", video)
    with pytest.raises(NotFound):
        await couch.report(video, "progress", MINUTE_MS)
    with pytest.raises(NotFound):
        await couch.mark_watched(video)


async def test_people_do_not_share_progress(couch, video):
    await couch.report(video, "progress", MINUTE_MS, by=fan("ann"))
    await couch.report(video, "progress", 2 * MINUTE_MS, by=fan("bob"), seq=1)

    assert (await couch.row(video, fan("ann"))).position_ms == MINUTE_MS
    assert (await couch.row(video, fan("bob"))).position_ms == 2 * MINUTE_MS
