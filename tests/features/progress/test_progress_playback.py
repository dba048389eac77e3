"""What is kept of a session, and how little that is."""

from csn_rt.features.progress.merge import Row, merge
from csn_rt.features.progress.playback import MAX_MARKS, MAX_SEEN, MAX_SILENCES, Playback, Report

DURATION_MS = 600_000


def report(seq, position_ms=100_000, event="progress", at_ms=None, **more):
    at_ms = 1_000_000 + seq * 10_000 if at_ms is None else at_ms
    return Report(
        session_id="phone",
        seq=seq,
        event=event,
        position_ms=position_ms,
        duration_ms=DURATION_MS,
        at_ms=at_ms,
        **more,
    )


def hear(*reports):
    playback = Playback()
    for each in reports:
        _, _, playback = merge(Row(), playback, each)
    return playback


def test_of_an_ordinary_session_one_range_one_run_and_one_place_are_kept():
    playback = hear(*(report(seq, 50_000 + seq * 10_000) for seq in range(40)))

    assert playback.seen == ((0, 40),)
    assert len(playback.heard) == 1
    assert [mark.seq for mark in playback.marks] == [39]


def test_rule_4_what_was_before_a_seek_or_an_end_does_not_matter_any_more():
    assert [mark.seq for mark in hear(report(1), report(2, 50_000, "seek")).marks] == [2]
    assert hear(report(1), report(2, 300_000, "ended")).marks == ()


def test_rule_9_holes_in_the_numbers_are_forgotten_oldest_first():
    playback = hear(*(report(seq) for seq in range(0, 2 * MAX_SEEN + 2, 2)))

    assert len(playback.seen) == MAX_SEEN
    assert (playback.has_seen(1), playback.has_seen(3)) == (True, False)


def test_rule_9_silences_are_forgotten_oldest_first():
    playback = hear(*(report(seq, at_ms=seq * 100_000) for seq in range(MAX_SILENCES + 3)))

    assert [start for start, _ in playback.heard] == [n * 100_000 for n in range(3, MAX_SILENCES + 3)]


def test_rule_9_places_that_are_ever_less_far_are_forgotten_but_for_the_furthest():
    playback = hear(*(report(seq, 500_000 - seq * 100) for seq in range(MAX_MARKS + 4)))

    assert len(playback.marks) == MAX_MARKS
    assert [mark.seq for mark in playback.marks][:2] == [0, 5]
