"""The shapes of progress: what is refused before any rule is asked, and what answers and events look like."""

import json

import msgspec
import pytest

from csn_rt.wire.progress import ProgressGet, ProgressHistory, ProgressReport
from tests.features.progress.couch import DURATION_MS, MINUTE_MS

VIDEO = "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"
GOOD = {
    "content_id": VIDEO,
    "playback_session_id": "phone-1",
    "seq": 1,
    "event": "progress",
    "position_ms": 0,
}


def decode(**fields):
    return msgspec.json.decode(json.dumps(GOOD | fields), type=ProgressReport)


def test_a_report_needs_no_more_than_where_and_what():
    assert decode() == ProgressReport(**GOOD, duration_ms=None, age_ms=0, user_action=False)


@pytest.mark.parametrize(
    "event", ["start", "play", "progress", "heartbeat", "pause", "seek", "stop", "hide", "ended"]
)
def test_the_usual_words_for_what_a_player_does_are_known(event):
    assert decode(event=event).event == event


@pytest.mark.parametrize(
    "fields",
    [
        {"content_id": "video"},
        {"playback_session_id": ""},
        {"playback_session_id": "x" * 65},
        {"playback_session_id": "a\u0000b"},
        {"playback_session_id": "line\n"},
        {"seq": -1},
        {"seq": 2**53},
        {"event": "explode"},
        {"position_ms": -1},
        {"position_ms": 1.5},
        {"position_ms": 30 * 86_400_000 + 1},
        {"duration_ms": -1},
        {"duration_ms": 2**63},
        {"age_ms": -1},
        {"age_ms": 367 * 86_400_000},
        {"user_action": 1},
        {"user_id": "bob"},
    ],
)
def test_a_field_out_of_its_bounds_is_refused_by_name(fields):
    with pytest.raises(msgspec.ValidationError, match=next(iter(fields))):
        decode(**fields)


def test_lists_of_ids_and_pages_are_bounded():
    for bad in ([], [VIDEO] * 101):
        with pytest.raises(msgspec.ValidationError, match="content_ids"):
            msgspec.convert({"content_ids": bad}, ProgressGet)
    with pytest.raises(msgspec.ValidationError, match="limit"):
        msgspec.convert({"limit": 101}, ProgressHistory)


async def test_every_bound_can_be_stored(couch, video):
    """Nothing that passes the shapes is too large for the statement."""
    most = {"duration_ms": 30 * 86_400_000, "age_ms": 366 * 86_400_000, "seq": 2**53 - 1, "user_action": True}
    answer = await couch.report(video, "seek", 30 * 86_400_000, session="~" * 64, **most)

    assert answer.outcome == "saved"


async def test_an_answer_names_its_outcome_and_the_whole_row(couch, video):
    answer = msgspec.to_builtins(await couch.report(video, "progress", MINUTE_MS))
    row = answer["progress"]

    assert (answer["outcome"], row.pop("updated_at")[-1], row.pop("last_played_at")[-1]) == (
        "saved",
        "Z",
        "Z",
    )
    assert row == {
        "content_id": video,
        "position_ms": MINUTE_MS,
        "duration_ms": DURATION_MS,
        "started": True,
        "completed": False,
        "removed": False,
        "version": 1,
        "playback_session_id": "phone",
    }


async def test_the_event_says_the_same_as_the_row(couch, video):
    row = msgspec.to_builtins((await couch.report(video, "progress", MINUTE_MS)).progress)
    (event,) = couch.told_to()

    assert event == {"type": "progress.changed", **row}
