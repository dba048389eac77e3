"""The checker is not blind: what it must find is shown to it."""

from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from tests.prove.checker import Ack, Ledger
from tests.prove.database import compare_acknowledged, compare_log, compare_messages
from tests.prove.probe import Count
from tests.prove.settling import find_behind, find_ghosts, find_silence
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
    return Ack(
        "ann",
        key or f"k{n}",
        message_id or f"m{n}",
        sequence or n,
        f"text {n}",
        sent_at=n,
        acked_at=n + 0.1,
    )


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
    ledger.retracting.add("m5")
    ann.took(1, deleted(5), 1)
    ann.took(2, message(5), 2)

    assert ["shown after removal"] == kinds(ledger)


def test_a_text_before_its_removal_is_none(ledger, ann):
    ledger.retracting.add("m1")
    ann.took(1, message(1), 1)
    ann.took(2, deleted(1), 2)

    assert [] == ledger.findings


def test_a_reply_with_a_text_and_its_removal_is_found(ledger, ann):
    ledger.retracting.add("m1")
    ann.recovered(EPOCH, published((1, message(1)), (2, deleted(1))), 1)

    assert ["shown after removal"] == kinds(ledger)


def test_a_reply_without_the_text_that_it_removes_is_right(ledger, ann):
    bob = subscriber(ledger, "bob")
    ledger.acknowledged(ack(1))
    ann.took(1, message(1), 1)
    ledger.retracting.add("m1")
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
    ledger.retracting.add("m1")
    ann.took(1, message(1), 1)
    ann.took(2, deleted(1), 2)
    ann.reread(ann.not_recovered(EPOCH, 4), 3, [message(1)], 4)

    assert ["shown after removal"] == kinds(ledger)


def test_a_latency_ends_with_the_last_watcher(ledger, ann):
    bob = subscriber(ledger, "bob")
    ann.took(1, message(1), 1.5)
    bob.took(1, message(1), 2.5)

    assert 2.5 == ledger.seen_at[1]


# What nobody took back, and what nobody said


def test_a_message_that_is_told_as_deleted_though_nobody_took_it_back_is_lost(ledger, ann):
    ledger.acknowledged(ack(1))
    ann.took(1, deleted(1), 1)

    assert ["lost"] == kinds(ledger)


def test_another_text_than_the_one_that_was_said_is_a_loss(ledger, ann):
    ledger.acknowledged(ack(1))
    ann.took(1, replace(message(1), text="something else"), 1)

    assert ["lost"] == kinds(ledger)


def test_another_text_in_a_page_is_a_loss(ledger):
    ledger.acknowledged(ack(1))
    ledger.page("reader", 1, [replace(message(1), text="something else")], {})

    assert ["lost"] == kinds(ledger)


def test_a_text_that_was_seen_before_its_sender_was_answered_is_compared_too(ledger, ann):
    ann.took(1, replace(message(1), text="something else"), 1)
    ledger.acknowledged(ack(1))

    assert ["lost"] == kinds(ledger)


def test_a_page_with_a_message_twice_is_a_double(ledger):
    ledger.page("reader", 1, [message(2), message(2), message(1)], {})

    assert ["duplicated"] == kinds(ledger)


def test_a_page_that_is_not_newest_first_is_a_swap(ledger):
    ledger.page("reader", 1, [message(1), message(2)], {})

    assert ["reordered"] == kinds(ledger)


def logged(n, kind="chat.message", text=None, **changes):
    return {"offset": n, "type": kind, "id": f"m{n}", "text": text or f"text {n}", **changes}


def stored(n, **changes):
    row = {"id": f"m{n}", "sequence": n, "user_id": "ann", "client_id": f"k{n}", "text": f"text {n}"}
    return {**row, "status": "visible", **changes}


def compare(ledger, log, messages):
    compare_log(ledger, len(log), log)
    compare_messages(ledger, log, messages)
    compare_acknowledged(ledger, log, messages)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (logged(1, "chat.deleted"), stored(1)),
        (logged(1), stored(1, status="deleted")),
        (logged(1), stored(1, text="something else")),
        (logged(1, text="something else"), stored(1)),
    ],
)
def test_what_the_database_took_away_or_changed_by_itself_is_lost(ledger, log, message):
    ledger.acknowledged(ack(1))
    compare(ledger, [log], [message])

    assert ["lost"] == kinds(ledger)


def test_a_removal_that_the_log_does_not_tell_is_lost(ledger):
    ledger.acknowledged(ack(1))
    ledger.retracting.add("m1")
    ledger.retracted_at["m1"] = 2.0
    compare(ledger, [logged(1, "chat.deleted", text=None) | {"text": None}], [stored(1, status="deleted")])

    assert ["lost"] == kinds(ledger)


def test_a_database_that_has_what_was_said_has_no_finding(ledger):
    for n in (1, 2):
        ledger.acknowledged(ack(n))
    ledger.retracting.add("m2")
    ledger.retracted_at["m2"] = 2.0
    log = [
        logged(1),
        logged(2, "chat.deleted") | {"text": None},
        logged(3, "chat.deleted", id="m2") | {"text": None},
    ]
    compare(ledger, log, [stored(1), stored(2, status="deleted")])

    assert [] == ledger.findings


# Whoever is behind, or gone


@pytest.mark.parametrize(("position", "is_complete"), [(6, True), (7, False)])
def test_a_watcher_that_is_behind_or_away_when_a_round_ends_has_lost_something(ledger, position, is_complete):
    history = SimpleNamespace(name="ann", position=position)
    find_behind(ledger, [SimpleNamespace(history=history, is_complete=is_complete)], 7)

    assert ["lost"] == kinds(ledger)


def test_a_watcher_that_is_there_and_knows_everything_has_lost_nothing(ledger):
    history = SimpleNamespace(name="ann", position=7)
    find_behind(ledger, [SimpleNamespace(history=history, is_complete=True)], 7)

    assert [] == ledger.findings


def test_a_round_in_which_nothing_was_acknowledged_has_shown_nothing(ledger):
    find_silence(ledger, [ack(1)])
    find_silence(ledger, [])

    assert ["lost"] == kinds(ledger)


def probe(*counts):
    node = SimpleNamespace(port=1)
    return SimpleNamespace(node=node, counts=list(counts), count=counts[-1] if counts else None)


def test_a_fresh_count_above_the_players_is_of_ghosts(ledger):
    counts = [Count(31.0, 7, stale=False), Count(31.0, 7, stale=True), Count(29.0, 7, stale=False)]
    find_ghosts(ledger, [probe(count) for count in counts], players=5, since=30.0)

    assert [("ghosts", 2)] == [(finding.kind, finding.times) for finding in ledger.findings]
