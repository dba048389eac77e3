"""The checker is not blind: what it must find is shown to it."""

import pytest

from tests.prove.checker import Ack, Ledger
from tests.prove.told import Data, Publication, User

EPOCH = "abcdefgh"


def message(n, *, key=None, user="ann"):
    return Data(
        type="chat.message",
        id=f"m{n}",
        user=User(user),
        text=f"text {n}",
        client_id=key or f"k{n}",
        sequence=n,
    )


def deleted(n):
    return Data(type="chat.deleted", id=f"m{n}")


def ack(n, *, sequence=None, key=None, message_id=None):
    return Ack("ann", key or f"k{n}", message_id or f"m{n}", sequence or n, sent_at=n, acked_at=n + 0.1)


def published(*events):
    return [Publication(event, offset) for offset, event in events]


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def ann(ledger):
    return subscriber(ledger, "ann")


def subscriber(ledger, name, offset=0):
    history = ledger.open_history(name)
    history.subscribed(EPOCH, offset)
    return history


def kinds(ledger):
    return [finding.kind for finding in ledger.findings]


def test_a_history_without_a_fault_has_no_finding(ledger, ann):
    bob = subscriber(ledger, "bob")
    for n in range(1, 4):
        ledger.acknowledged(ack(n))
        ann.took(n, message(n), n)
    bob.recovered(EPOCH, published((1, message(1)), (2, message(2)), (3, message(3))), 5)
    ledger.judge(ledger.acks)

    assert [] == ledger.findings
    assert 6 == ledger.deliveries


def test_a_message_that_one_watcher_never_saw_is_lost(ledger, ann):
    bob = subscriber(ledger, "bob")
    ledger.acknowledged(ack(1))
    ledger.acknowledged(ack(2))
    for n in (1, 2):
        ann.took(n, message(n), n)
    bob.took(1, message(1), 1)
    ledger.judge(ledger.acks)

    assert ["lost"] == kinds(ledger)
    assert "bob" in ledger.findings[0].what


def test_a_message_that_was_said_before_somebody_came_is_not_lost(ledger):
    subscriber(ledger, "late", offset=7)
    ledger.judge([ack(7)])

    assert [] == ledger.findings


def test_a_hole_is_lost_as_often_as_it_is_long(ledger, ann):
    ann.took(1, message(1), 1)
    ann.took(4, message(4), 2)

    assert [("lost", 2)] == [(finding.kind, finding.times) for finding in ledger.findings]


def test_what_was_missed_and_not_recovered_must_be_read_again(ledger, ann):
    for n in (1, 2, 3):
        ledger.acknowledged(ack(n))
    gap = ann.not_recovered(EPOCH, 3)
    ann.reread(gap, 4, [message(3), message(1)], 5)
    ledger.judge(ledger.acks)

    assert ["lost"] == kinds(ledger)
    assert "k2" in ledger.findings[0].what


def test_what_its_author_took_back_need_not_be_read_again(ledger, ann):
    ledger.acknowledged(ack(1))
    ledger.retracting.add("m1")
    ann.reread(ann.not_recovered(EPOCH, 2), 4, [], 5)
    ledger.judge(ledger.acks)

    assert [] == ledger.findings


def test_a_position_that_goes_back_is_a_loss(ledger, ann):
    ann.took(1, message(1), 1)
    ann.not_recovered(EPOCH, 0)

    assert ["lost"] == kinds(ledger)


def test_a_numbering_that_begins_anew_is_a_loss(ledger, ann):
    ann.recovered("zyxwvuts", [], 1)

    assert ["lost"] == kinds(ledger)


def test_an_offset_that_comes_twice_is_a_double(ledger, ann):
    ann.took(1, message(1), 1)
    ann.recovered(EPOCH, published((1, message(1))), 2)

    assert ["duplicated"] == kinds(ledger)


def test_a_message_at_two_offsets_is_a_double(ledger, ann):
    ann.took(1, message(1), 1)
    ann.took(2, message(1), 2)

    assert ["duplicated"] == kinds(ledger)


def test_two_messages_for_one_key_are_a_double(ledger, ann):
    ann.took(1, message(1, key="same"), 1)
    ann.took(2, message(2, key="same"), 2)

    assert ["duplicated"] == kinds(ledger)


def test_a_retry_that_is_acknowledged_as_another_message_is_a_double(ledger, ann):
    ann.took(1, message(1), 1)
    ledger.acknowledged(ack(2, key="k1"))

    assert ["duplicated"] == kinds(ledger)


def test_the_same_key_of_two_people_is_no_double(ledger, ann):
    ann.took(1, message(1, key="same"), 1)
    ann.took(2, message(2, key="same", user="bob"), 2)

    assert [] == ledger.findings


def test_two_watchers_with_different_orders_are_a_swap(ledger, ann):
    bob = subscriber(ledger, "bob")
    for n in (1, 2):
        ann.took(n, message(n), n)
    bob.took(1, message(2), 1)
    bob.took(2, message(1), 2)

    assert "reordered" in kinds(ledger)


def test_a_sender_who_is_told_another_place_than_the_watchers_is_a_swap(ledger, ann):
    ann.took(1, message(1), 1)
    ann.took(2, message(2), 2)
    ledger.acknowledged(ack(1, sequence=2))
    ledger.judge(ledger.acks)

    assert ["reordered"] == kinds(ledger)


def test_two_messages_of_one_person_in_the_wrong_order_are_a_swap(ledger):
    ledger.acknowledged(ack(1, sequence=2))
    ledger.acknowledged(ack(2, sequence=1))

    assert ["reordered"] == kinds(ledger)


def test_a_text_that_is_pushed_after_its_removal_is_found(ledger, ann):
    ann.took(1, deleted(5), 1)
    ann.took(2, message(5), 2)

    assert ["shown after removal"] == kinds(ledger)


def test_a_text_before_its_removal_is_none(ledger, ann):
    ann.took(1, message(1), 1)
    ann.took(2, deleted(1), 2)

    assert [] == ledger.findings


def test_a_reply_with_a_text_and_its_removal_is_found(ledger, ann):
    ann.recovered(EPOCH, published((1, message(1)), (2, deleted(1))), 1)

    assert ["shown after removal"] == kinds(ledger)


def test_a_reply_without_the_text_that_it_removes_is_right(ledger, ann):
    bob = subscriber(ledger, "bob")
    ledger.acknowledged(ack(1))
    ann.took(1, message(1), 1)
    ann.took(2, deleted(1), 2)
    bob.recovered(EPOCH, published((1, deleted(1)), (2, deleted(1))), 3)
    ledger.judge(ledger.acks)

    assert [] == ledger.findings


def test_a_page_asked_for_after_the_removal_was_acknowledged_must_not_have_the_text(ledger):
    ledger.retracted_at["m1"] = 10.0
    ledger.page("reader", 9.0, [message(1)], {})
    ledger.page("reader", 11.0, [message(1)], {})

    assert ["shown after removal"] == kinds(ledger)


def test_a_page_asked_for_after_the_removal_was_told_must_not_have_the_text(ledger, ann):
    ann.took(1, message(1), 1)
    ann.took(2, deleted(1), 2)
    ann.reread(ann.not_recovered(EPOCH, 4), 3, [message(1)], 4)

    assert ["shown after removal"] == kinds(ledger)


def test_a_latency_ends_with_the_last_watcher(ledger, ann):
    bob = subscriber(ledger, "bob")
    ann.took(1, message(1), 1.5)
    bob.took(1, message(1), 2.5)

    assert 2.5 == ledger.seen_at[1]
