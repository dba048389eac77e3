"""Commands that wait, and what they weigh."""

from csn_rt.core.held import MAX_BYTES, MAX_COMMANDS, Held
from csn_rt.wire.protocol import Command


def test_rule_1_commands_leave_in_the_order_in_which_they_came():
    held = Held()
    for n in (1, 2, 3):
        held.put(Command(id=n), 10)

    assert [held.take().id for _ in range(3)] == [1, 2, 3]


def test_rule_1_a_command_that_is_put_back_is_the_next():
    held = Held()
    held.put(Command(id=1), 10)
    held.put(Command(id=2), 0)
    held.put_back(held.take())

    assert [held.take().id for _ in range(2)] == [1, 2]


def test_rule_2_what_is_taken_weighs_no_more():
    held = Held()
    held.put(Command(id=1), 10)
    held.put(Command(id=2), 0)
    held.put(Command(id=3), 7)
    held.take()

    assert held.bytes == 7


def test_rule_2_the_bounds_are_included():
    held = Held()
    for n in range(MAX_COMMANDS):
        held.put(Command(id=n), MAX_BYTES if n == 0 else 0)

    assert not held.is_too_much


def test_rule_2_one_command_or_one_byte_more_is_too_much():
    many = Held()
    for n in range(MAX_COMMANDS + 1):
        many.put(Command(id=n), 0)
    heavy = Held()
    heavy.put(Command(id=1), MAX_BYTES + 1)

    assert many.is_too_much
    assert heavy.is_too_much


def test_what_is_cleared_weighs_nothing():
    held = Held()
    held.put(Command(id=1), 10)
    held.clear()

    assert (0, 0) == (len(held), held.bytes)
