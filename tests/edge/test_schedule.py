"""When each connection is looked at."""

import weakref
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from csn_rt.edge.schedule import Schedule


def test_an_owner_is_due_when_its_time_has_come():
    schedule: Schedule[str] = Schedule()
    schedule.set("late", 2.0)
    schedule.set("early", 1.0)

    assert list(schedule.due(1.5)) == ["early"]


def test_setting_a_time_again_replaces_it():
    schedule: Schedule[str] = Schedule()
    schedule.set("owner", 1.0)
    schedule.set("owner", 5.0)

    assert list(schedule.due(4.0)) == []
    assert list(schedule.due(5.0)) == ["owner"]


def test_a_time_may_be_moved_forward():
    schedule: Schedule[str] = Schedule()
    schedule.set("owner", 5.0)
    schedule.set("owner", 1.0)

    assert list(schedule.due(1.0)) == ["owner"]
    assert list(schedule.due(9.0)) == []


def test_who_is_discarded_is_never_due():
    schedule: Schedule[str] = Schedule()
    schedule.set("owner", 1.0)
    schedule.discard("owner")

    assert list(schedule.due(9.0)) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 10)), max_size=40), st.floats(0, 10))
def test_exactly_those_whose_last_set_time_has_come_are_due_and_once(sets, now):
    schedule: Schedule[int] = Schedule()
    model = {}
    for owner, due in sets:
        schedule.set(owner, due)
        model[owner] = due

    assert sorted(schedule.due(now)) == sorted(owner for owner, due in model.items() if due <= now)


def test_what_is_due_at_infinity_is_not_kept_for_ever():
    class Owner: ...

    schedule: Schedule[Owner] = Schedule()
    owner = Owner()
    schedule.set(owner, 1.0)
    schedule.set(owner, inf)
    still_there = weakref.ref(owner)
    del owner

    assert list(schedule.due(1.0)) == []
    assert still_there() is None


def test_who_is_discarded_or_set_anew_is_not_kept_alive():
    class Owner:
        pass

    schedule: Schedule[Owner] = Schedule()
    owner = Owner()
    gone = weakref.ref(owner)
    schedule.set(owner, 1.0)
    schedule.set(owner, 2.0)
    schedule.discard(owner)
    del owner

    assert gone() is None
