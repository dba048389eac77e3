"""What a node makes of news about one stream: csn_rt/features/viewers/tally.py."""

from datetime import UTC, datetime, timedelta

import msgspec

from csn_rt.bus.leases import Count
from csn_rt.features.viewers.tally import Known, Stream, Tally, from_ms
from csn_rt.wire.viewers import StaffViewers, Viewers

NOW_MS = 1_800_000_000_000
STARTED_AT = datetime.fromtimestamp(NOW_MS / 1000, UTC) - timedelta(hours=1)


def stream(**changes):
    return Stream(
        **{
            "stream_id": "s",
            "state": "live",
            "is_hidden": False,
            "is_published": True,
            "broadcast_id": "b",
            "started_at": STARTED_AT,
            "ended_at": None,
            "seq": 5,
            "peak": 0,
            "sampled": None,
            "read_at": from_ms(NOW_MS),
            **changes,
        }
    )


def count(viewers, *, seq, **changes):
    fields = {
        "viewers": viewers,
        "sessions": viewers,
        "told": viewers,
        "told_peak": viewers,
        "told_sessions": viewers,
        "peak": viewers,
        "seq": seq,
        "staff_seq": seq,
        "at_ms": NOW_MS,
        "life": 1,
        "is_changed": False,
        "is_staff_changed": False,
        "settles_in_ms": 0,
        "tells_in_ms": 0,
        "is_ended": False,
        "viewer_ms": 0,
    }
    return msgspec.convert(list((fields | changes).values()), Count)


def public(tellings):
    return [each.event for each in tellings if not isinstance(each.event, StaffViewers)]


def counted(viewers=3, **changes):
    tally = Tally(stream(**changes), 0.0)
    tally.counted(count(viewers, seq=NOW_MS), 0.0, was_full=True)
    return tally


def test_the_same_count_is_no_news():
    assert [] == counted().counted(count(3, seq=NOW_MS), 1.0, was_full=True)


def test_a_change_that_another_node_told_is_shown_here_only():
    [telling, staff] = counted().counted(count(4, seq=NOW_MS + 9), 1.0, was_full=True)

    assert (4, NOW_MS + 9, False) == (telling.event.viewers, telling.event.seq, telling.is_everywhere)
    assert not staff.is_everywhere


def test_a_change_that_is_this_nodes_to_tell_is_told_everywhere():
    changed = count(4, seq=NOW_MS + 9, is_changed=True, is_staff_changed=True)

    assert [True, True] == [each.is_everywhere for each in counted().counted(changed, 1.0, was_full=True)]


def test_stale_is_newer_than_anything_that_other_nodes_can_have_told_meanwhile():
    [event] = public(counted().uncounted(0.9, 0))

    assert (3, True) == (event.viewers, event.stale)
    assert event.seq >= NOW_MS + 900
    assert event.as_of == from_ms(NOW_MS)


def test_stale_is_said_once():
    tally = counted()
    tally.uncounted(1.0, 0)

    assert [] == tally.uncounted(2.0, 0)


def test_fresh_again_is_newer_than_stale_though_the_count_was_told_long_ago():
    tally = counted()
    [stale] = public(tally.uncounted(1.0, 0))
    [fresh] = public(tally.counted(count(3, seq=NOW_MS), 2.0, was_full=True))

    assert (3, False) == (fresh.viewers, fresh.stale)
    assert fresh.seq > stale.seq


def test_a_count_that_is_not_settled_is_shown_as_the_last_one_stale():
    [event] = public(counted().counted(count(1, seq=NOW_MS, settles_in_ms=900), 1.0, was_full=True))

    assert (3, True) == (event.viewers, event.stale)


def test_without_any_count_the_last_sample_is_shown_as_stale():
    sampled = Known(42, 50, 44, STARTED_AT)
    [event] = public(Tally(stream(sampled=sampled), 0.0).uncounted(0.0, 1))

    assert (42, 50, True, STARTED_AT) == (event.viewers, event.peak, event.stale, event.as_of)


def test_without_any_count_or_sample_those_who_watch_here_are_shown():
    assert 7 == public(Tally(stream(), 0.0).uncounted(0.0, 7))[0].viewers


def test_null_is_shown_only_where_nothing_at_all_is_known():
    [event] = public(Tally(stream(), 0.0).uncounted(0.0, 0))

    assert (None, None, True) == (event.viewers, event.peak, event.stale)


def test_a_broadcast_that_began_just_now_has_no_viewers_yet():
    [event] = public(Tally(stream(started_at=from_ms(NOW_MS - 500)), 0.0).uncounted(0.0, 0))

    assert (0, True) == (event.viewers, event.stale)


def test_before_the_first_count_nothing_is_told_and_a_snapshot_is_stale():
    tally = Tally(stream(sampled=Known(42, 50, 44, STARTED_AT)), 0.0)

    assert [] == tally.learn(stream(is_hidden=False), 0.0)
    assert (42, True) == ((event := tally.snapshot(is_staff=False)).viewers, event.stale)


def test_an_end_is_newer_than_every_count_also_if_the_databases_clock_is_behind():
    tally = counted()
    [event] = public(tally.learn(stream(state="ended", ended_at=STARTED_AT, seq=6, peak=9), 1.0))

    assert ("ended", None, 9, False) == (event.state, event.viewers, event.peak, event.stale)
    assert event.seq > NOW_MS


def test_another_broadcast_of_the_stream_knows_nothing_of_the_one_before():
    tally = counted()
    tally.learn(stream(state="ended", ended_at=STARTED_AT, seq=NOW_MS + 1), 1.0)
    tally.learn(stream(broadcast_id="c", seq=NOW_MS + 2), 2.0)

    assert (None, True) == (tally.snapshot(is_staff=False).viewers, tally.needs_all)


def test_a_new_life_of_the_leases_needs_everything_that_is_held_here():
    tally = counted()
    tally.counted(count(3, seq=NOW_MS, life=2), 1.0, was_full=False)

    assert tally.needs_all
    tally.counted(count(3, seq=NOW_MS, life=2), 1.0, was_full=True)
    assert not tally.needs_all


def test_an_answer_that_did_not_come_needs_everything_again():
    tally = counted()
    tally.uncounted(1.0, 0)

    assert tally.needs_all


def test_hiding_is_told_here_at_once_and_newer_than_what_was_told():
    [event] = public(counted().learn(stream(is_hidden=True), 0.5))

    assert (None, None) == (event.viewers, event.peak)
    assert event.seq >= NOW_MS + 500


def test_a_snapshot_has_the_number_of_what_it_shows():
    snapshot = counted().snapshot(is_staff=False)

    assert (3, NOW_MS) == (snapshot.viewers, snapshot.seq)
    assert type(snapshot) is Viewers
    assert 3 == counted().snapshot(is_staff=True).sessions
