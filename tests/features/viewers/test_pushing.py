"""Rules 2.3 and 2.5 in real time on real Redis: pushes, their pace, and what is pushed."""

import asyncio
import itertools
import time

import pytest

from tests.features.viewers.stage import MODERATOR, caller, eventually

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def node(real_stage):
    return await real_stage.node("one")


@pytest.fixture
async def other(real_stage):
    return await real_stage.node("two")


@pytest.fixture
async def stream_id(real_stage, node, other):
    stream_id = await real_stage.stream()
    for each in (node, other):
        each.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    return stream_id


async def test_a_push_is_the_whole_state_with_its_nulls(node, other, stream_id):
    await eventually(lambda: other.heard(stream_id))
    [push] = other.heard(stream_id)

    assert ["type", "stream_id", "state", "viewers", "peak", "as_of", "stale", "seq"] == list(push)
    assert ("viewers", stream_id, "live", 0, 0, False) == (
        push["type"],
        push["stream_id"],
        push["state"],
        push["viewers"],
        push["peak"],
        push["stale"],
    )
    assert push["as_of"].endswith("Z")


async def test_the_first_change_reaches_every_node_at_once(node, other, stream_id):
    await asyncio.sleep(0.3)
    await node.start(ANN, stream_id)

    # Well before the other node would have looked by itself.
    assert 0.4 > await eventually(lambda: other.heard_numbers(stream_id)[-1] == 1)


async def test_a_clean_end_is_pushed_within_500_ms(node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await eventually(lambda: other.heard_numbers(stream_id)[-1] == 1)
    await node.end(ANN, session.session_id)

    assert 0.5 > await eventually(lambda: other.heard_numbers(stream_id)[-1] == 0)


async def test_there_are_at_most_4_pushes_a_second_however_many_come_on_however_many_nodes(
    node, other, stream_id
):
    started = time.monotonic()
    n = 0
    while time.monotonic() - started < 1.2:
        await asyncio.gather(
            *(each.start(caller(f"fan {(n := n + 1)}"), stream_id) for each in (node, other))
        )
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == n)

    # The number of a push is about its time in ms.
    seqs = [push["seq"] for push in node.heard(stream_id)]
    assert all(later - earlier >= 250 for earlier, later in itertools.pairwise(seqs))
    assert len(seqs) >= 4
    numbers = node.heard_numbers(stream_id)
    assert sorted(numbers) == numbers
    assert numbers[-1] == (await other.count(stream_id)).viewers
    assert seqs[-1] == other.heard(stream_id)[-1]["seq"]


async def test_nothing_is_pushed_when_nothing_changed(node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await eventually(lambda: other.heard_numbers(stream_id)[-1] == 1)
    count = len(node.pushes), len(other.pushes)
    for _ in range(4):
        await node.beat(ANN, session.session_id)
        await other.snapshot(stream_id)
        await asyncio.sleep(0.4)

    assert count == (len(node.pushes), len(other.pushes))


async def test_numbers_of_pushes_only_grow(node, other, stream_id):
    for n in range(3):
        session = await node.start(caller(f"fan {n}"), stream_id)
        await other.end(caller(f"fan {n}"), session.session_id)
    await asyncio.sleep(0.3)

    seqs = [push["seq"] for push in other.heard(stream_id)]
    assert sorted(set(seqs)) == seqs


async def test_a_lost_push_is_made_good_by_the_node_itself(real_stage, node, other, stream_id):
    real_stage.is_bus_up = False
    await node.start(ANN, stream_id)

    assert 1.5 > await eventually(lambda: other.heard_numbers(stream_id)[-1:] == [1])
    assert node.heard(stream_id)[-1]["seq"] == other.heard(stream_id)[-1]["seq"]


async def test_a_snapshot_carries_the_number_at_once(real_stage, node, stream_id):
    await node.start(ANN, stream_id)
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 1)
    newcomer = await real_stage.node("three")

    snapshot = await newcomer.snapshot(stream_id)

    assert ("live", 1, 1, False) == tuple(snapshot[name] for name in ("state", "viewers", "peak", "stale"))


async def test_who_subscribes_is_not_shown_less_than_what_was_pushed_before(node, other, stream_id):
    for n in range(10):
        await node.start(caller(f"fan {n}"), stream_id)
        snapshot = await other.snapshot(stream_id)

        assert snapshot["seq"] >= max(push["seq"] for push in node.heard(stream_id))


async def test_who_asks_gets_the_number_of_this_moment(node, other, stream_id):
    for n in range(3):
        await node.start(caller(f"fan {n}"), stream_id)

        assert n + 1 == (await other.count(stream_id)).viewers


async def test_a_push_after_a_snapshot_is_newer_than_it(node, other, stream_id):
    for n in range(3):
        await node.start(caller(f"fan {n}"), stream_id)
        snapshot = await other.snapshot(stream_id)
    await eventually(lambda: other.heard_numbers(stream_id)[-1] == 3)

    assert snapshot["viewers"] == 3 or snapshot["seq"] < other.heard(stream_id)[-1]["seq"]


async def test_a_player_sees_himself_counted(node, other, stream_id):
    numbers = [
        (await each.start(caller(f"fan {n}"), stream_id)).viewers for n, each in enumerate((node, other))
    ]

    assert [1, 2] == numbers


async def test_many_who_come_at_once_are_all_in_their_own_answers(node, stream_id):
    answers = await asyncio.gather(*(node.start(caller(f"fan {n}"), stream_id) for n in range(100)))

    assert 100 == max(answer.viewers for answer in answers)
    assert all(answer.viewers >= 1 for answer in answers)


async def test_the_peak_stays_when_viewers_leave(node, other, stream_id):
    sessions = [await node.start(caller(f"fan {n}"), stream_id) for n in range(3)]
    for n, session in enumerate(sessions):
        await other.end(caller(f"fan {n}"), session.session_id)

    await eventually(lambda: [0, 3] == [other.heard(stream_id)[-1][name] for name in ("viewers", "peak")])


async def test_moderators_also_get_the_number_of_sessions(node, other, stream_id):
    await node.start(ANN, stream_id)
    await node.start(ANN, stream_id)
    await eventually(lambda: other.heard(stream_id, staff=True)[-1]["sessions"] == 2)

    assert 1 == other.heard(stream_id, staff=True)[-1]["viewers"]
    assert all("sessions" not in push for push in other.heard(stream_id))
    assert 2 == (await other.count(stream_id, MODERATOR)).sessions
    assert 2 == (await other.snapshot(stream_id, staff=True))["sessions"]


async def test_a_second_session_of_a_viewer_is_pushed_to_moderators_only(node, stream_id):
    await node.start(ANN, stream_id)
    await eventually(lambda: node.heard_numbers(stream_id)[-1] == 1)
    before = len(node.heard(stream_id))
    await node.start(ANN, stream_id)
    await eventually(lambda: node.heard(stream_id, staff=True)[-1]["sessions"] == 2)

    assert before == len(node.heard(stream_id))
