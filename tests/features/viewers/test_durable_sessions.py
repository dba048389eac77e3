"""Rule 2.9: rows of sessions, the sweep, samples and charts."""

import asyncio
from datetime import timedelta

import pytest

from csn_rt.bus.leases import Ask, Hold
from csn_rt.bus.leases_memory import MemoryLeases
from csn_rt.errors import BadRequest, NotFound
from csn_rt.features.viewers import jobs
from csn_rt.features.viewers.store import insert_samples
from csn_rt.wire.viewers import ViewersGet, ViewersSeries
from tests.features.viewers.stage import MODERATOR, anonymous, caller

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def node(stage):
    return await stage.node("one")


@pytest.fixture
async def stream_id(stage, node):
    stream_id = await stage.stream()
    await node.go_on_air(stream_id)
    return stream_id


async def session_row(stage, session_id):
    return await stage.row("SELECT * FROM live_stream_sessions WHERE id = $1", session_id)


async def let_pass(stage, seconds):
    """As if the last heartbeat had been so long ago."""
    await stage.execute(
        """UPDATE live_stream_sessions SET started_at = started_at - $1 * interval '1 s',
                  last_heartbeat_at = last_heartbeat_at - $1 * interval '1 s'""",
        seconds,
    )


async def test_a_started_session_is_a_row_when_it_is_answered(stage, node, stream_id):
    started = await node.start(anonymous("x"), stream_id, device_id="phone")

    row = await session_row(stage, started.session_id)
    assert ("a:x", "phone", "one", "playing", 0) == tuple(
        row[name] for name in ("person", "device_id", "node", "state", "watched_ms")
    )
    assert (None, None, row["started_at"]) == (row["ended_at"], row["end_reason"], row["last_heartbeat_at"])


async def test_many_sessions_are_started_in_few_transactions(stage, node, stream_id):
    before = await stage.row("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    await asyncio.gather(*(node.start(caller(f"fan {n}"), stream_id) for n in range(200)))

    assert 200 == len(await stage.rows("SELECT 1 FROM live_stream_sessions"))
    transactions = await stage.rows("SELECT DISTINCT xmin::text FROM live_stream_sessions")
    assert len(transactions) <= 5
    assert before


async def test_a_bad_start_in_a_batch_does_not_hurt_the_others(stage, node, stream_id):
    unknown = "01900000-0000-7000-8000-000000000000"
    good, bad = await asyncio.gather(
        node.start(ANN, stream_id), node.start(BEN, unknown), return_exceptions=True
    )

    assert good.viewers >= 1
    assert isinstance(bad, NotFound)


async def test_time_between_heartbeats_is_watched_while_it_plays(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    await let_pass(stage, 10)
    await node.beat(ANN, started.session_id, "paused")
    await let_pass(stage, 10)
    await node.beat(ANN, started.session_id, "playing")
    await let_pass(stage, 5)
    await node.end(ANN, started.session_id)

    row = await session_row(stage, started.session_id)
    assert 15_000 == pytest.approx(row["watched_ms"], abs=500)
    assert "left" == row["end_reason"]


async def test_a_long_silence_counts_as_watched_for_one_lease_only(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    await let_pass(stage, 44)
    await node.beat(ANN, started.session_id)

    assert 25_000 == (await session_row(stage, started.session_id))["watched_ms"]


async def test_the_beginning_of_a_pause_is_kept_and_play_ends_it(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    await node.beat(ANN, started.session_id, "paused")
    paused_at = (await session_row(stage, started.session_id))["paused_at"]
    await node.beat(ANN, started.session_id, "paused")

    assert paused_at == (await session_row(stage, started.session_id))["paused_at"] is not None
    await node.beat(ANN, started.session_id, "playing")
    assert None is (await session_row(stage, started.session_id))["paused_at"]


async def test_a_row_says_which_node_heard_it_last(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    other = await stage.node("two")
    await other.beat(ANN, started.session_id)

    assert "two" == (await session_row(stage, started.session_id))["node"]


async def test_a_strangers_heartbeat_changes_nothing(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    before = await session_row(stage, started.session_id)
    other = await stage.node("two")
    with pytest.raises(NotFound):
        await other.beat(BEN, started.session_id)

    assert before == await session_row(stage, started.session_id)


async def test_an_end_is_written_once(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    await node.end(ANN, started.session_id)
    first = await session_row(stage, started.session_id)
    await let_pass(stage, 5)
    await asyncio.gather(*(node.end(ANN, started.session_id) for _ in range(3)))

    again = await session_row(stage, started.session_id)
    assert (first["ended_at"], first["watched_ms"]) == (again["ended_at"], again["watched_ms"])


async def test_a_session_that_never_was_cannot_be_heard_or_ended(node, stream_id):
    unknown = "01900000-0000-7000-8000-000000000000"
    for call in (node.beat, node.end):
        with pytest.raises(NotFound):
            await call(ANN, unknown)


async def test_the_sweep_ends_sessions_that_were_silent_for_45_s_at_their_last_heartbeat(
    stage, node, stream_id
):
    lost = await node.start(ANN, stream_id)
    await let_pass(stage, 20)
    await node.beat(ANN, lost.session_id)
    await let_pass(stage, 46)
    alive = await node.start(BEN, stream_id)
    await let_pass(stage, 0)

    assert 1 == await jobs.sweep(node.ctx)
    row = await session_row(stage, lost.session_id)
    assert (row["last_heartbeat_at"], "lost") == (row["ended_at"], row["end_reason"])
    assert 20_000 == pytest.approx(row["watched_ms"], abs=500)
    assert None is (await session_row(stage, alive.session_id))["ended_at"]
    assert 0 == await jobs.sweep(node.ctx)


async def test_a_session_that_was_silent_for_44_s_goes_on(stage, node, stream_id):
    started = await node.start(ANN, stream_id)
    await let_pass(stage, 44)

    assert 0 == await jobs.sweep(node.ctx)
    await node.beat(ANN, started.session_id)


async def test_a_sample_keeps_the_count_and_the_greatest_peak(stage, node, stream_id, lease_store):
    sessions = [await node.start(caller(f"fan {n}"), stream_id) for n in range(3)]
    leases = MemoryLeases(lease_store)
    await jobs.sample(node.ctx, leases)
    for n in range(2):
        await node.end(caller(f"fan {n}"), sessions[n].session_id)
    await node.look()

    assert 1 == await jobs.sample(node.ctx, leases)
    samples = await stage.rows("SELECT viewers, sessions FROM live_viewer_samples ORDER BY at")
    assert [(3, 3), (1, 1)] == [(row["viewers"], row["sessions"]) for row in samples]
    assert 3 == (await stage.row("SELECT peak_viewers FROM live_broadcasts"))["peak_viewers"]


async def test_a_sample_takes_no_news_from_those_who_tell_it(node, stream_id, lease_store, clock):
    leases = MemoryLeases(lease_store)
    [broadcast_id] = lease_store._broadcasts
    read = Ask(broadcast_id=broadcast_id, age_ms=0, purpose="read")
    hold = Hold("u:x", broadcast_id, 5_000)
    await leases.count([Ask(broadcast_id=broadcast_id, age_ms=0, purpose="read", holds=[hold])])
    clock.jump(1)
    await jobs.sample(node.ctx, leases)

    assert [(1, 0)] == [(count.viewers, count.told) for count in await leases.count([read])]


async def test_a_lower_peak_does_not_replace_a_greater_one(stage, node, stream_id, lease_store):
    leases = MemoryLeases(lease_store)
    await node.start(ANN, stream_id)
    await stage.execute("UPDATE live_broadcasts SET peak_viewers = 7")
    broadcasts = [row["id"] for row in await stage.rows("SELECT id FROM live_broadcasts")]
    asks = [Ask(broadcast_id=each, age_ms=0, purpose="read") for each in broadcasts]
    counts = await leases.count(asks)
    async with stage.db.transaction() as connection:
        await insert_samples(connection, dict(zip(broadcasts, counts, strict=True)))

    assert 7 == (await stage.row("SELECT peak_viewers FROM live_broadcasts"))["peak_viewers"]


async def test_nothing_is_sampled_while_redis_is_away_or_the_count_is_not_settled(
    stage, node, stream_id, lease_store
):
    await node.start(ANN, stream_id)
    leases = MemoryLeases(lease_store)
    lease_store.go_down()
    assert 0 == await jobs.sample(node.ctx, leases)

    lease_store.come_back()
    lease_store.lose_all()
    await stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '1 hour'")
    assert 0 == await jobs.sample(node.ctx, leases)
    assert [] == await stage.rows("SELECT 1 FROM live_viewer_samples")


async def test_an_ended_broadcast_is_sampled_no_more(stage, node, stream_id, lease_store):
    await node.go_off_air(stream_id)
    before = await stage.rows("SELECT 1 FROM live_viewer_samples")

    assert 0 == await jobs.sample(node.ctx, MemoryLeases(lease_store))
    assert before == await stage.rows("SELECT 1 FROM live_viewer_samples")


async def sampled(stage, offsets_and_viewers):
    await stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '10 minutes'")
    for seconds, viewers in offsets_and_viewers:
        await stage.execute(
            """INSERT INTO live_viewer_samples
               SELECT id, started_at + $1 * interval '1 s', $2, $2 + 1, 1, 0 FROM live_broadcasts""",
            seconds,
            viewers,
        )


async def series(node, stream_id, **params):
    return await node.viewers.series(MODERATOR, ViewersSeries(stream_id=stream_id, **params))


async def test_a_series_shows_average_and_peak_of_each_step(stage, node, stream_id):
    await sampled(stage, [(0, 2), (10, 4), (30, 5), (70, 7)])
    result = await series(node, stream_id, step_ms=60_000)

    assert [(pytest.approx(11 / 3), 5, 6), (7, 7, 8)] == [
        (point.viewers, point.peak, point.sessions) for point in result.items
    ]
    assert timedelta(seconds=60) == result.items[1].at - result.items[0].at


async def test_a_series_is_cut_to_what_was_asked(stage, node, stream_id):
    await sampled(stage, [(0, 2), (10, 4), (30, 5)])
    started_at = (await stage.row("SELECT started_at FROM live_broadcasts"))["started_at"]
    result = await series(
        node,
        stream_id,
        from_=started_at + timedelta(seconds=5),
        to=started_at + timedelta(seconds=30),
        step_ms=10_000,
    )

    assert [4] == [point.viewers for point in result.items]


async def test_a_series_of_a_stream_that_never_was_live_is_empty(stage, node):
    assert [] == (await series(node, await stage.stream())).items


async def test_a_series_has_no_more_points_than_anybody_draws(stage, node, stream_id):
    await sampled(stage, [(0, 2)])
    started_at = (await stage.row("SELECT started_at FROM live_broadcasts"))["started_at"]
    year = started_at + timedelta(days=365)

    assert (await series(node, stream_id, from_=started_at, to=year)).step_ms >= 365 * 86_400_000 / 500
    with pytest.raises(BadRequest):
        await series(node, stream_id, from_=started_at, to=year, step_ms=10_000)
    with pytest.raises(BadRequest):
        await series(node, stream_id, from_=year, to=started_at)


async def test_counts_of_many_streams_are_answered_in_order_without_those_that_do_not_exist(
    stage, node, stream_id
):
    scheduled, draft = await stage.stream(), await stage.stream(state="draft")
    unknown = "01900000-0000-7000-8000-000000000000"
    ids = [scheduled, unknown, stream_id, draft, scheduled]

    counts = await node.viewers.get(ANN, ViewersGet(stream_ids=ids))

    assert [(scheduled, "scheduled"), (stream_id, "live")] == [
        (item.stream_id, item.state) for item in counts.items
    ]
