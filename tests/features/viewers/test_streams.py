"""Rule 2.6: a broadcast from its start to the record of its end."""

import asyncio
import json

import pytest

from csn_rt.bus.leases import Ask, Hold
from csn_rt.bus.leases_redis import RedisLeases
from csn_rt.errors import Conflict, NotFound
from csn_rt.features.context import new_id
from csn_rt.features.viewers.store import NewSession, start_sessions
from csn_rt.wire import names
from tests.features.viewers.stage import anonymous, caller, eventually

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def node(real_stage):
    return await real_stage.node("one")


@pytest.fixture
async def other(real_stage):
    return await real_stage.node("two")


@pytest.fixture
async def stream_id(real_stage):
    return await real_stage.stream()


def catalog(node):
    return [json.loads(each.data) for _, each in node.pushes if each.channel == names.CATALOG]


async def test_a_scheduled_stream_has_no_number(node, stream_id):
    snapshot = await node.snapshot(stream_id)

    assert ("scheduled", None, None, False) == tuple(
        snapshot[name] for name in ("state", "viewers", "peak", "stale")
    )


async def test_a_start_is_pushed_to_every_node_at_once_with_zero_viewers(node, other, stream_id):
    for each in (node, other):
        each.viewers.watch(stream_id)
        await each.snapshot(stream_id)
    await node.go_on_air(stream_id)

    assert ("live", 0) == tuple(other.heard(stream_id)[-1][name] for name in ("state", "viewers"))


async def test_a_stream_started_on_one_node_is_live_on_another_for_whoever_asks(node, other, stream_id):
    assert "scheduled" == (await other.count(stream_id)).state
    await node.go_on_air(stream_id)

    assert "live" == (await other.count(stream_id)).state
    assert 1 == (await other.start(ANN, stream_id)).viewers


async def test_starting_a_live_stream_is_a_conflict_and_changes_nothing(real_stage, node, stream_id):
    broadcast_id = await node.go_on_air(stream_id)
    await node.start(ANN, stream_id)
    with pytest.raises(Conflict) as refused:
        await node.go_on_air(stream_id)

    assert ("already_live", broadcast_id) == (refused.value.code, refused.value.details["broadcast_id"])
    assert 1 == len(await real_stage.rows("SELECT 1 FROM live_broadcasts"))
    assert 1 == (await node.count(stream_id)).viewers


async def test_of_two_starts_at_once_on_two_nodes_one_wins(real_stage, node, other, stream_id):
    results = await asyncio.gather(
        *(each.go_on_air(stream_id) for each in (node, other)), return_exceptions=True
    )

    assert ["Conflict", "str"] == sorted(type(result).__name__ for result in results)
    assert 1 == len(await real_stage.rows("SELECT 1 FROM live_broadcasts"))


@pytest.mark.parametrize("which", ["go_on_air", "go_off_air", "start"])
async def test_what_is_no_living_live_stream_is_not_found(real_stage, node, stream_id, which):
    await real_stage.execute("UPDATE content SET deleted_at = now()")
    with pytest.raises(NotFound):
        await (node.start(ANN, stream_id) if which == "start" else getattr(node, which)(stream_id))


async def test_ending_a_stream_that_is_not_live_is_a_conflict(node, stream_id):
    for prepare in (None, node.go_on_air, node.go_off_air):
        if prepare is not None:
            await prepare(stream_id)
        if prepare == node.go_on_air:
            continue
        with pytest.raises(Conflict) as refused:
            await node.go_off_air(stream_id)
        assert "not_live" == refused.value.code


async def test_of_two_ends_at_once_on_two_nodes_one_wins(real_stage, node, other, stream_id, monkeypatch):
    await node.go_on_air(stream_id)
    arrived = []
    both_arrived = asyncio.Event()

    async def count_last(_broadcast_id):
        arrived.append(1)
        if len(arrived) == 2:
            both_arrived.set()
        await both_arrived.wait()

    for each in (node, other):
        monkeypatch.setattr(each.viewers, "count_last", count_last)
    results = await asyncio.gather(
        *(each.go_off_air(stream_id) for each in (node, other)), return_exceptions=True
    )

    assert ["BroadcastEnded", "Conflict"] == sorted(type(result).__name__ for result in results)
    assert 2 == len(await real_stage.rows("SELECT 1 FROM content_audit_log"))


async def test_an_end_is_larger_than_every_number_also_if_redis_clock_is_ahead(real_stage, node, stream_id):
    broadcast_id = await node.go_on_air(stream_id)
    await asyncio.sleep(0.3)
    [told] = await node.leases.count(
        [
            Ask(
                broadcast_id=broadcast_id,
                age_ms=0,
                holds=[Hold("u:x", broadcast_id, 5_000)],
                seq_floor=(await node.snapshot(stream_id))["seq"] + 3_600_000,
            )
        ]
    )
    await node.go_off_air(stream_id)
    newcomer = await real_stage.node("three")

    assert (await newcomer.snapshot(stream_id))["seq"] > told.seq > told.at_ms


async def test_after_the_end_everyone_is_told_ended_with_no_number_and_nothing_after_it(
    node, other, stream_id
):
    for each in (node, other):
        each.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    for n in range(3):
        await other.start(caller(f"fan {n}"), stream_id)
    # Somebody comes at the very moment of the end.
    await asyncio.gather(node.go_off_air(stream_id), other.start(ANN, stream_id), return_exceptions=True)
    await asyncio.sleep(1.5)

    for each in (node, other):
        for staff in (False, True):
            push = each.heard(stream_id, staff=staff)[-1]
            assert ("ended", None, False) == (push["state"], push["viewers"], push["stale"])
            assert push["peak"] >= 3
        snapshot = await each.snapshot(stream_id)
        assert ("ended", None) == (snapshot["state"], snapshot["viewers"])


async def test_who_subscribes_on_another_node_right_after_the_end_is_told_ended(node, other, stream_id):
    await node.go_on_air(stream_id)
    await other.snapshot(stream_id)
    await node.go_off_air(stream_id)

    assert "ended" == (await other.snapshot(stream_id))["state"]


async def test_a_new_start_begins_at_zero_with_a_larger_number(node, other, stream_id):
    for each in (node, other):
        each.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    for n in range(3):
        await other.start(caller(f"fan {n}"), stream_id)
    await node.go_off_air(stream_id)
    ended = node.heard(stream_id)[-1]
    await node.go_on_air(stream_id)

    for each in (node, other):
        push = each.heard(stream_id)[-1]
        assert ("live", 0, 0) == (push["state"], push["viewers"], push["peak"])
        assert push["seq"] > ended["seq"]
    assert 1 == (await other.start(ANN, stream_id)).viewers


async def test_the_number_grows_over_broadcasts_also_when_the_clock_was_set_back(real_stage, node, stream_id):
    await node.go_on_air(stream_id)
    await node.go_off_air(stream_id)
    hour = 3_600_000
    await real_stage.execute("UPDATE live_broadcasts SET seq = seq + $1", hour)
    before = (await node.snapshot(stream_id))["seq"]
    broadcast_id = await node.go_on_air(stream_id)

    assert (await node.snapshot(stream_id))["seq"] > before
    # The leases, which number the pushes of all nodes, know it too.
    [count] = await node.leases.count([Ask(broadcast_id=broadcast_id, age_ms=0, purpose="read")])
    assert count.seq > before


async def test_the_record_has_peak_average_unique_viewers_and_watch_minutes(real_stage, node, stream_id):
    broadcast_id = await node.go_on_air(stream_id)
    # It ran for 100 s, 40 s of it with two viewers, then one. Ann came twice; Ben never played.
    await real_stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '100 s'")
    for after_s, viewers, viewer_ms in ((10, 2, 20_000), (40, 1, 80_000), (90, 1, 130_000)):
        await real_stage.execute(
            """INSERT INTO live_viewer_samples
               SELECT id, started_at + $1 * interval '1 s', $2, $2, 7, $3 FROM live_broadcasts""",
            after_s,
            viewers,
            viewer_ms,
        )
    for who, watched_ms in ((ANN, 60_000), (ANN, 30_000), (anonymous("x"), 45_000)):
        session = await node.start(who, stream_id)
        await node.end(who, session.session_id)
        await real_stage.execute(
            "UPDATE live_stream_sessions SET watched_ms = $2 WHERE id = $1", session.session_id, watched_ms
        )
    await node.start(BEN, stream_id, state="paused")

    record = await node.go_off_air(stream_id)

    # 130 s of viewers by the last sample, one for the 10 s after it, over 100 s.
    assert 1.4 == pytest.approx(record.average_viewers, abs=0.03)
    assert (2, 2.25) == (record.unique_viewers, pytest.approx(record.watch_minutes, abs=0.01))
    assert 4 == len(await real_stage.rows("SELECT 1 FROM live_viewer_samples")), (
        "the last one is taken at the end"
    )
    row = await real_stage.row("SELECT * FROM live_broadcasts")
    assert (broadcast_id, record.peak_viewers) == (row["id"], row["peak_viewers"])
    assert record.ended_at == row["ended_at"]


async def test_the_average_over_a_loss_of_redis_uses_the_earlier_sample(real_stage, node, stream_id):
    await node.go_on_air(stream_id)
    await real_stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '100 s'")
    for after_s, viewers, life, viewer_ms in ((50, 10, 7, 500_000), (99, 20, 8, 3)):
        await real_stage.execute(
            """INSERT INTO live_viewer_samples
               SELECT id, started_at + $1 * interval '1 s', $2, $2, $3, $4 FROM live_broadcasts""",
            after_s,
            viewers,
            life,
            viewer_ms,
        )

    # 10 for 99 s, 20 for the last one.
    assert 10.1 == pytest.approx((await node.go_off_air(stream_id)).average_viewers, abs=0.05)


async def test_the_average_without_a_sample_before_a_loss_uses_the_first_one_after_it(
    real_stage, node, stream_id
):
    await node.go_on_air(stream_id)
    await real_stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '100 s'")
    await real_stage.execute(
        """INSERT INTO live_viewer_samples
           SELECT id, started_at + interval '99 s', 20, 20, extract(epoch FROM now()) * 1000000, 3
             FROM live_broadcasts"""
    )

    assert 20 == pytest.approx((await node.go_off_air(stream_id)).average_viewers, abs=0.3)


async def test_the_average_is_exact_between_samples(real_stage, node, stream_id):
    await node.go_on_air(stream_id)
    sessions = [await node.start(caller(f"fan {n}"), stream_id) for n in range(4)]
    await asyncio.sleep(0.5)
    for n, session in enumerate(sessions):
        await node.end(caller(f"fan {n}"), session.session_id)
    await asyncio.sleep(0.5)
    record = await node.go_off_air(stream_id)

    passed_s = (record.ended_at - record.started_at).total_seconds()
    assert 4 * 0.5 / passed_s == pytest.approx(record.average_viewers, rel=0.25)


async def test_the_peak_of_the_record_is_that_of_the_counting_not_of_the_samples(node, other, stream_id):
    await node.go_on_air(stream_id)
    for n in range(5):
        session = await node.start(caller(f"fan {n}"), stream_id)
    for n in range(5):
        await other.end(caller(f"fan {n}"), session.session_id) if n == 4 else None
    record = await node.go_off_air(stream_id)

    assert 5 == record.peak_viewers


async def test_an_end_closes_the_open_sessions(real_stage, node, other, stream_id):
    await node.go_on_air(stream_id)
    session = await other.start(ANN, stream_id)
    record = await node.go_off_air(stream_id)

    row = await real_stage.row("SELECT ended_at, end_reason FROM live_stream_sessions")
    assert (record.ended_at, "stream_ended") == (row["ended_at"], row["end_reason"])
    with pytest.raises(NotFound):
        await other.beat(ANN, session.session_id)
    with pytest.raises(Conflict) as refused:
        await other.start(ANN, stream_id)
    assert "not_live" == refused.value.code


async def test_after_the_end_no_node_asks_or_keeps_anything_about_the_broadcast(node, other, stream_id):
    await node.go_on_air(stream_id)
    await other.start(ANN, stream_id)
    await node.go_off_air(stream_id)
    await other.look()

    for each in (node, other):
        assert [] == list(each.viewers._board.broadcasts())
        assert 0 == len(each.viewers._presence)


async def test_no_session_is_left_open_by_those_who_come_at_the_moment_of_the_end(
    real_stage, node, other, stream_id
):
    await node.go_on_air(stream_id)

    async def come(n: int) -> None:
        await asyncio.sleep(n / 1000)
        await other.start(caller(f"fan {n}"), stream_id)

    results = await asyncio.gather(
        *(come(n) for n in range(40)), node.go_off_air(stream_id), return_exceptions=True
    )

    came = sum(result is None for result in results)
    rows = await real_stage.rows("SELECT end_reason FROM live_stream_sessions")
    assert ["stream_ended"] * came == [row["end_reason"] for row in rows]
    assert came == results[-1].unique_viewers


@pytest.mark.parametrize("is_redis_up", [True, False])
async def test_an_end_waits_for_the_sessions_that_are_just_being_started(stage, lease_store, is_redis_up):
    node = await stage.node("one")
    stream_id = await stage.stream()
    await node.go_on_air(stream_id)
    if not is_redis_up:
        lease_store.go_down()
    session = NewSession(
        session_id=new_id(), stream_id=stream_id, person="u:ann", device_id=None, state="playing"
    )
    async with stage.db.transaction() as connection:
        await start_sessions(connection, [session], "one")
        ending = asyncio.create_task(node.go_off_air(stream_id))
        await asyncio.sleep(0.3)
        assert not ending.done()

    assert 1 == (await ending).unique_viewers
    assert ["stream_ended"] == [
        row["end_reason"] for row in await stage.rows("SELECT end_reason FROM live_stream_sessions")
    ]


async def test_start_and_end_are_in_the_audit_log_and_the_catalog(real_stage, node, stream_id):
    broadcast_id = await node.go_on_air(stream_id)
    await node.go_off_air(stream_id)

    entries = await real_stage.rows("SELECT * FROM content_audit_log ORDER BY at")
    assert ["stream.start", "stream.end"] == [entry["action"] for entry in entries]
    assert [("admin", "content", stream_id)] * 2 == [
        (entry["actor_id"], entry["entity"], entry["entity_id"]) for entry in entries
    ]
    assert {"live_state": "live", "broadcast_id": broadcast_id} == json.loads(entries[0]["after"])
    assert {"live_state": "live"} == json.loads(entries[1]["before"])
    assert [("stream.started", stream_id), ("stream.ended", stream_id)] == [
        (event["type"], event["stream_id"]) for event in catalog(node)
    ]
    assert 2 == len(await real_stage.rows("SELECT 1 FROM channel_log WHERE channel = 'catalog'"))


async def test_the_catalog_does_not_speak_of_a_stream_that_is_not_published(real_stage, node):
    stream_id = await real_stage.stream(state="draft")
    await node.go_on_air(stream_id)
    await node.go_off_air(stream_id)

    assert [] == catalog(node)


async def test_a_stream_that_is_not_published_exists_for_moderators_only(real_stage, node):
    stream_id = await real_stage.stream(state="draft")
    with pytest.raises(NotFound):
        await node.snapshot(stream_id)
    with pytest.raises(NotFound):
        await node.start(ANN, stream_id)

    assert "scheduled" == (await node.snapshot(stream_id, staff=True))["state"]
    await node.go_on_air(stream_id)
    with pytest.raises(NotFound):
        await node.start(ANN, stream_id)
    assert [] == await real_stage.rows("SELECT 1 FROM live_stream_sessions")


async def test_an_end_that_the_bus_lost_is_told_when_the_nodes_read_the_streams(
    real_stage, node, other, stream_id
):
    for each in (node, other):
        each.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    real_stage.is_bus_up = False
    await node.go_off_air(stream_id)

    assert 1.5 > await eventually(lambda: other.heard(stream_id)[-1]["state"] == "ended")


class HeldLeases:
    """Leases whose answers wait until they are let go."""

    def __init__(self, leases):
        self._leases = leases
        self.is_held = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def count(self, asks):
        counts = await self._leases.count(asks)
        if not self.may_go.is_set():
            self.is_held.set()
            await self.may_go.wait()
        return counts

    async def close(self):
        await self._leases.close()


async def test_an_answer_about_an_earlier_broadcast_says_nothing_about_the_next_one(
    real_stage, node, stream_id, redis_url
):
    leases = HeldLeases(RedisLeases(redis_url))
    slow = await real_stage.node("slow", leases)
    slow.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    for n in range(3):
        await slow.start(caller(f"fan {n}"), stream_id)
    await asyncio.sleep(0.3)
    leases.may_go.clear()
    await leases.is_held.wait()
    await node.go_off_air(stream_id)
    await node.go_on_air(stream_id)
    await slow.viewers.look_up(stream_id)
    leases.may_go.set()
    await asyncio.sleep(0.3)

    after_end = slow.heard_numbers(stream_id)[slow.heard_numbers(stream_id).index(None) :]
    assert {None, 0} == set(after_end)
    assert 0 == slow.heard(stream_id)[-1]["peak"]
