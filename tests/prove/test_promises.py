"""Promises, and what they are judged by: what was not measured was not kept."""

import json
import random
from types import SimpleNamespace

import pytest

from tests.bench.client import Refused
from tests.prove import __main__ as command
from tests.prove.checker import Ack
from tests.prove.client import Closing, Diary, Failure
from tests.prove.logs import complaints_in
from tests.prove.probe import Count
from tests.prove.promises import promise_known, promise_quiet, promise_sockets, promise_stale
from tests.prove.quiet import QuietChat
from tests.prove.told import Data
from tests.prove.trial import Trial, Window


def probe(*counts):
    return SimpleNamespace(node=SimpleNamespace(port=1), counts=list(counts))


def trial_of(*probes, diary=None, quiet=None):
    load = SimpleNamespace(probes=list(probes), diary=diary or Diary(), quiet=quiet, chatters=[])
    return Trial(SimpleNamespace(nodes=[]), load, rng=None)


def are_kept(trial):
    return [promise.is_kept for promise in trial.promises]


def window_of(trial, began_at=10.0, ended_at=20.0):
    return Window(trial.load, began_at, ended_at)


def test_a_count_that_nobody_was_given_is_no_kept_promise():
    trial = trial_of(probe(Count(11.0, 5, stale=True)), probe())
    promise_known(trial, window_of(trial), "then")
    promise_stale(trial, window_of(trial), "then", 0.5)

    assert [False, False] == are_kept(trial)


def test_counts_that_are_known_and_stale_are():
    trial = trial_of(probe(Count(11.0, 5, stale=True)))
    promise_known(trial, window_of(trial), "then")
    promise_stale(trial, window_of(trial), "then", 0.5)

    assert [True, True] == are_kept(trial)


def test_what_never_came_is_not_a_matter_of_time():
    trial = trial_of()
    trial.promise_within("it comes", None, 1.0)
    trial.promise_within("it comes", float("inf"), 1.0)
    trial.promise_within("it comes", 2.0, 1.0)

    assert [False, False, True] == [promise.is_of_time for promise in trial.promises]


def test_a_command_that_was_asked_in_the_time_and_answered_later_counts():
    diary = Diary()
    for at, took_s in ((22.0, 5.0), (22.0, 1.0), (12.0, 5.0), (9.0, 1.0)):
        diary.failures.append(Failure(at, "chat.send", 100, True, took_s))

    assert [(22.0, 5.0), (12.0, 5.0)] == [
        (each.at, each.took_s) for each in window_of(trial_of(diary=diary)).failures
    ]


@pytest.mark.parametrize(
    ("error", "noted"),
    [
        (TimeoutError(), [("subscribe", -1, False)]),
        (Refused({"code": 103}), [("subscribe", 103, False)]),
        (Refused({"code": 100, "temporary": True}), [("subscribe", 100, True)]),
        (ConnectionResetError(), []),
    ],
)
def test_a_subscription_that_is_refused_or_not_answered_is_noted(error, noted):
    diary = Diary()
    with pytest.raises(type(error)), diary.noting("subscribe"):
        raise error

    assert noted == [(each.method, each.code, each.is_temporary) for each in diary.failures]


def test_a_socket_that_is_lost_without_a_goodbye_is_lost():
    diary = Diary()
    diary.closings = [
        Closing(12.0, "laggard", "", None, is_ours=False),
        Closing(12.0, "impatient", "", None, is_ours=True),
    ]
    trial = trial_of(diary=diary)
    promise_sockets(trial, window_of(trial), "then", but=["laggard"])
    diary.closings.append(Closing(12.0, "ann", "", None, is_ours=False))
    promise_sockets(trial, window_of(trial), "then", but=["laggard"])

    assert [True, False] == are_kept(trial)


def test_a_fault_is_for_a_node_at_which_somebody_talks():
    chatter = SimpleNamespace(socket=SimpleNamespace(url="ws://b"))
    nodes = [SimpleNamespace(ws_url="ws://a"), SimpleNamespace(ws_url="ws://b")]
    load = SimpleNamespace(chatters=[chatter, SimpleNamespace(socket=None)])
    picked = [Trial(SimpleNamespace(nodes=nodes), load, random.Random(seed)).pick_node() for seed in range(9)]

    assert [nodes[1]] * 9 == picked


# A chat in which little is said


@pytest.fixture
def quiet():
    nodes = [SimpleNamespace(ws_url=f"ws://{n}") for n in range(2)]
    chat = QuietChat([], Diary(), nodes, "stream")
    for listener in chat.listeners:
        listener.history.subscribed("abcdefgh", 0)
    return chat


def said_at_0(quiet, *, told):
    quiet.ledger.acknowledged(Ack("speaker0", "k1", "m1", 1, "text 1", sent_at=11.0, acked_at=12.0))
    for listener, at in zip(quiet.listeners, told, strict=False):
        listener.history.took(1, Data(type="chat.message", id="m1", text="text 1"), at)


@pytest.mark.parametrize(
    ("told", "speakers", "is_kept"),
    [
        ([12.0, 13.0], [0], True),
        ([12.0, 14.0], [0], False),
        ([12.0], [0], False),
        ([12.0, 13.0], [1], False),
    ],
)
def test_in_a_quiet_chat_every_node_is_told_in_time_and_something_is_said(quiet, told, speakers, is_kept):
    said_at_0(quiet, told=told)
    trial = trial_of(quiet=quiet)
    promise_quiet(trial, window_of(trial), "then", 1.5, speakers=speakers, listeners=[0, 1])

    assert [is_kept] == are_kept(trial)


def test_what_a_quiet_chat_loses_goes_where_the_other_findings_are():
    findings = []
    QuietChat(findings, Diary(), [], "stream").ledger.find("lost", "something")

    assert 1 == len(findings)


# What there is to prove


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_no_time_at_random_is_refused(monkeypatch, capsys, seconds):
    monkeypatch.setattr("sys.argv", ["prove", "--random", f"--seconds={seconds}"])
    with pytest.raises(SystemExit):
        command.main()

    assert "--seconds" in capsys.readouterr().err


# What the processes say


def event(**fields):
    return json.dumps({"level": "info", "event": "something", **fields})


def test_an_error_and_a_traceback_in_a_log_are_complaints_and_a_warning_is_none():
    lines = [
        event(),
        event(level="warning", event="database_away"),
        event(level="error", event="part_not_closed", part="node"),
        event(level="info", event="odd", exception="Traceback (most recent call last): ValueError"),
    ]

    assert ["part_not_closed", "odd"] == [told.split()[0] for told in complaints_in(lines)]


def test_a_traceback_that_is_no_event_is_one_complaint_with_its_end():
    raw = ["Traceback (most recent call last):", '  File "x.py", line 1', "ImportError: nothing"]
    complaints = list(complaints_in([event(), *raw, event(), '{"level": "in']))

    assert ["\n".join(raw)] == complaints
