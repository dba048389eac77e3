"""When a watch session counts: csn_rt/features/viewers/rules.py."""

from csn_rt.features.viewers.rules import NEVER_PLAYED, lease_until, paused_since


def test_a_playing_session_counts_for_25_s_after_it_was_heard():
    assert 125 == lease_until(100, None)


def test_a_paused_session_counts_while_it_is_heard_up_to_60_s_after_the_pause():
    assert 125 == lease_until(100, 90)
    assert 110 == lease_until(100, 50)


def test_a_pause_never_shortens_what_a_heartbeat_gave():
    assert lease_until(100, 100) == lease_until(100, None)


def test_a_session_that_never_played_does_not_count():
    assert lease_until(100, NEVER_PLAYED) < 100


def test_a_pause_begins_with_the_first_heartbeat_that_says_so_and_ends_with_play():
    began = paused_since(None, 10, is_playing=False)

    assert (10, 10, None) == (
        began,
        paused_since(began, 20, is_playing=False),
        paused_since(began, 30, is_playing=True),
    )


def test_a_session_that_never_played_stays_so_until_it_plays():
    assert NEVER_PLAYED == paused_since(NEVER_PLAYED, 10, is_playing=False)
