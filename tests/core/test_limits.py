"""A token bucket against the definition of its rate."""

from hypothesis import given, settings
from hypothesis import strategies as st

from csn_rt.core.limits import Rate, TokenBucket

FIVE = Rate(burst=5, per_s=2.0)


def test_rule_1_a_new_bucket_is_full():
    bucket = TokenBucket(FIVE, 100.0)

    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]


def test_rule_1_an_empty_bucket_refills_with_time():
    bucket = TokenBucket(FIVE, 0.0)
    for _ in range(5):
        bucket.take(0.0)

    assert [bucket.take(now) for now in (0.4, 0.5, 0.9, 1.0)] == [False, True, False, True]


def test_rule_1_a_bucket_never_holds_more_than_its_burst():
    bucket = TokenBucket(FIVE, 0.0)

    assert [bucket.take(1e9) for _ in range(6)] == [True] * 5 + [False]


def test_rule_2_time_that_goes_backwards_changes_nothing():
    bucket = TokenBucket(Rate(burst=1, per_s=1.0), 10.0)
    bucket.take(10.0)

    assert not bucket.take(0.0)
    assert not bucket.take(10.5)
    assert bucket.take(11.0)


def test_rule_2_time_that_goes_backwards_does_not_empty_a_full_bucket():
    assert TokenBucket(FIVE, 10.0).take(0.0)


@settings(max_examples=100, deadline=None)
@given(
    burst=st.integers(1, 10),
    per_s=st.floats(0.1, 50.0),
    pauses=st.lists(st.floats(0.0, 2.0), max_size=60),
)
def test_rule_1_no_length_of_time_grants_more_than_burst_plus_rate(burst, per_s, pauses):
    bucket = TokenBucket(Rate(burst, per_s), 0.0)
    now = 0.0
    granted = []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            granted.append(now)

    for first, since in enumerate(granted):
        for last in range(first, len(granted)):
            assert last - first + 1 <= burst + (granted[last] - since) * per_s + 1e-6
