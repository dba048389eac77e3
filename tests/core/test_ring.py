"""What a node remembers of a channel."""

from hypothesis import given
from hypothesis import strategies as st

from csn_rt.core.ring import Latest, Offer, Ring
from csn_rt.wire.names import CATALOG
from csn_rt.wire.published import Published


def event(offset: int, data: bytes = b"{}") -> Published:
    return Published(CATALOG, "abcdefgh", offset, data)


def test_rule_1_the_next_offset_is_appended():
    ring = Ring("abcdefgh", 4)

    assert ring.offer(5, b"five") is Offer.APPENDED
    assert ring.after(4) == [(5, b"five")]


def test_rule_1_an_offset_that_leaves_a_hole_is_not_taken():
    ring = Ring("abcdefgh", 4)

    assert ring.offer(6, b"six") is Offer.AHEAD
    assert ring.top == 4


def test_rule_1_a_known_offset_is_dropped():
    ring = Ring("abcdefgh", 4)

    assert ring.offer(4, b"other") is Offer.BEHIND


@given(st.lists(st.integers(1, 30), max_size=80), st.integers(1, 8), st.integers(1, 40))
def test_rule_1_whatever_is_offered_the_ring_holds_a_consecutive_end(offsets, max_events, max_bytes):
    ring = Ring("abcdefgh", 0, max_events=max_events, max_bytes=max_bytes)
    for offset in offsets:
        ring.offer(offset, b"x" * (offset % 7))

    held = ring.after(ring.oldest - 1)

    assert held is not None
    assert [offset for offset, _ in held] == list(range(ring.oldest, ring.top + 1))


@given(st.integers(1, 60), st.integers(1, 10), st.integers(1, 50))
def test_rule_2_the_ring_is_bounded_by_count_and_bytes_and_keeps_the_newest(count, max_events, max_bytes):
    ring = Ring("abcdefgh", 0, max_events=max_events, max_bytes=max_bytes)
    for offset in range(1, count + 1):
        ring.offer(offset, b"x" * 5)

    held = ring.after(ring.oldest - 1) or []

    assert len(held) <= max_events
    assert len(held) == 1 or sum(len(data) for _, data in held) <= max_bytes
    assert held[-1][0] == count


def test_rule_2_the_bound_of_bytes_holds_when_an_event_is_replaced_by_a_larger_one():
    ring = Ring("abcdefgh", 0, max_bytes=10)
    ring.offer(1, b"12345")
    ring.offer(2, b"12345")
    ring.redact(2, b"1234567")

    assert ring.after(1) == [(2, b"1234567")]
    assert ring.after(0) is None


def test_rule_2_the_bound_of_bytes_holds_when_a_ring_is_filled_at_its_opening():
    ring = Ring("abcdefgh", 3, max_bytes=10)
    ring.prepend([event(offset, b"12345") for offset in (1, 2, 3)])

    assert ring.oldest == 2


def test_what_fell_off_cannot_be_had():
    ring = Ring("abcdefgh", 0, max_events=2)
    for offset in (1, 2, 3):
        ring.offer(offset, b"x")

    assert ring.after(0) is None
    assert ring.after(1) == [(2, b"x"), (3, b"x")]


def test_a_position_beyond_the_top_cannot_be_had():
    assert Ring("abcdefgh", 3).after(4) is None


def test_rule_3_a_redacted_event_keeps_its_offset_and_loses_its_content():
    ring = Ring("abcdefgh", 0)
    ring.offer(1, b"rude")
    ring.offer(2, b"polite")
    ring.redact(1, b"gone")

    assert ring.after(0) == [(1, b"gone"), (2, b"polite")]


def test_a_warm_ring_begins_after_the_last_hole():
    ring = Ring("abcdefgh", 7)
    ring.prepend([event(3), event(5), event(6), event(7)])

    assert ring.oldest == 5


def test_a_warm_ring_takes_nothing_that_does_not_lead_up_to_its_top():
    ring = Ring("abcdefgh", 9)
    ring.prepend([event(6), event(7)])

    assert ring.after(9) == []
    assert ring.oldest == 10


def test_a_restarted_ring_remembers_nothing():
    ring = Ring("abcdefgh", 0)
    ring.offer(1, b"x")
    ring.restart("hgfedcba", 40)

    assert ring.after(40) == []
    assert ring.after(39) is None


def test_only_the_newest_value_of_a_state_is_kept():
    latest = Latest()
    latest.offer(10, b"ten")
    latest.offer(30, b"thirty")

    assert latest.offer(20, b"twenty") is Offer.BEHIND
    assert latest.after(0) == [(30, b"thirty")]
