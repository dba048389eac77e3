"""The beat of pings, and what silence means."""

from hypothesis import given, settings
from hypothesis import strategies as st

from csn_rt.core.keepalive import PING_S, PONG_S, Keepalive


def test_rule_1_the_first_ping_comes_when_it_was_said_and_the_rest_at_a_fixed_beat():
    keepalive = Keepalive(17.0)

    assert not keepalive.take_ping(16.9)
    assert keepalive.take_ping(17.0)
    keepalive.pong()
    assert keepalive.next_due == 42.0


def test_rule_1_a_late_ping_does_not_delay_the_next():
    keepalive = Keepalive(17.0)
    keepalive.take_ping(19.0)
    keepalive.pong()

    assert keepalive.next_due == 42.0


def test_rule_2_an_unanswered_ping_is_a_lost_connection():
    keepalive = Keepalive(17.0)
    keepalive.take_ping(17.0)

    assert keepalive.next_due == 17.0 + PONG_S
    assert not keepalive.is_lost(24.9)
    assert keepalive.is_lost(25.0)


def test_rule_2_an_answered_ping_is_forgotten():
    keepalive = Keepalive(17.0)
    keepalive.take_ping(17.0)
    keepalive.pong()

    assert not keepalive.is_lost(1e9)
    assert keepalive.next_due == 42.0


def test_rule_2_a_pong_before_the_ping_does_not_count_for_it():
    keepalive = Keepalive(17.0)
    keepalive.pong()
    keepalive.take_ping(17.0)

    assert keepalive.is_lost(25.0)


@settings(max_examples=100, deadline=None)
@given(first=st.floats(12.5, 25.0), late_s=st.floats(0.0, 1e6))
def test_rule_3_after_a_stall_one_ping_is_sent_and_the_next_is_on_the_beat(first, late_s):
    keepalive = Keepalive(first)

    assert keepalive.take_ping(first + late_s)
    keepalive.pong()

    beats = (keepalive.next_due - first) / PING_S
    assert 0 < keepalive.next_due - (first + late_s) <= PING_S + 1e-6
    assert abs(beats - round(beats)) < 1e-6
