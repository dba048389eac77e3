"""Rules 2.1-2.4: who is counted, and until when. Time passes when the test says so."""

import asyncio

import pytest

from csn_rt.errors import NotFound
from tests.features.viewers.stage import anonymous, caller

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def node(stage):
    return await stage.node("one")


@pytest.fixture
async def other(stage):
    return await stage.node("two")


@pytest.fixture
async def stream_id(stage, node):
    stream_id = await stage.stream()
    await node.go_on_air(stream_id)
    return stream_id


async def viewers(node, stream_id):
    """How many there are at this moment, told or not."""
    node.viewers.watch(stream_id)
    await node.look()
    return (await node.viewers.look_up(stream_id)).viewers


async def test_two_devices_of_one_user_on_two_nodes_are_one_viewer(node, other, stream_id):
    await node.start(ANN, stream_id, device_id="phone")
    started = await other.start(ANN, stream_id, device_id="tv")

    assert 1 == started.viewers


async def test_closing_one_of_two_devices_on_two_nodes_does_not_dip_the_number(stage, node, other, stream_id):
    phone = await node.start(ANN, stream_id)
    tv = await other.start(ANN, stream_id)
    await stage.pass_time(1)
    await node.end(ANN, phone.session_id)
    await stage.pass_time(2)

    assert [0, 1] == node.heard_numbers(stream_id)

    await other.end(ANN, tv.session_id)
    await stage.pass_time(1)
    assert [0, 1, 0] == node.heard_numbers(stream_id)


async def test_an_anonymous_viewer_is_one_person_and_not_the_user_of_the_same_name(node, stream_id):
    await node.start(anonymous("ann"), stream_id)
    await node.start(anonymous("ann"), stream_id)

    assert 2 == (await node.start(ANN, stream_id)).viewers


async def test_subscribers_and_askers_are_no_viewers(stage, node, stream_id):
    node.viewers.watch(stream_id)
    await node.snapshot(stream_id)
    await node.count(stream_id)
    await stage.pass_time(1)

    assert 0 == await viewers(node, stream_id)


async def test_a_paused_session_counts_for_60_s_more(stage, node, stream_id):
    session = await node.start(ANN, stream_id)
    await node.beat(ANN, session.session_id, "paused")
    for _ in range(5):
        await stage.pass_time(10)
        await node.beat(ANN, session.session_id, "paused")
    await stage.pass_time(9)
    assert 1 == await viewers(node, stream_id)

    await stage.pass_time(1)
    assert 0 == await viewers(node, stream_id)


async def test_a_session_that_plays_again_after_a_long_pause_counts_at_once(stage, node, stream_id):
    session = await node.start(ANN, stream_id)
    for _ in range(8):
        await node.beat(ANN, session.session_id, "paused")
        await stage.pass_time(10)
    assert 0 == await viewers(node, stream_id)

    await node.beat(ANN, session.session_id, "playing")
    await asyncio.sleep(0.05)
    assert 1 == (await node.viewers.look_up(stream_id)).viewers


async def test_a_session_that_never_played_does_not_count_until_it_plays(stage, node, stream_id):
    session = await node.start(ANN, stream_id, state="paused")
    assert 0 == session.viewers
    await node.beat(ANN, session.session_id, "paused")
    assert 0 == await viewers(node, stream_id)

    await node.beat(ANN, session.session_id, "playing")
    assert 1 == await viewers(node, stream_id)


async def test_a_session_that_never_played_does_not_count_on_another_node_either(node, other, stream_id):
    session = await node.start(ANN, stream_id, state="paused")
    await other.beat(ANN, session.session_id, "paused")

    assert 0 == await viewers(other, stream_id)


async def test_players_are_asked_for_a_heartbeat_every_10_s(node, stream_id):
    assert 10_000 == (await node.start(ANN, stream_id)).heartbeat_ms


async def test_a_player_that_is_heard_every_10_s_stays_counted(stage, node, stream_id):
    session = await node.start(ANN, stream_id)
    for _ in range(6):
        await stage.pass_time(10)
        await node.beat(ANN, session.session_id)
    await stage.pass_time(1)

    assert [0, 1] == node.heard_numbers(stream_id)


async def test_a_lost_socket_is_counted_until_its_lease_of_25_s_ends(stage, node, stream_id):
    await node.start(ANN, stream_id)
    await stage.pass_time(24)
    assert 1 == await viewers(node, stream_id)

    await stage.pass_time(1)
    assert 0 == await viewers(node, stream_id)


async def test_a_reconnect_to_another_node_does_not_dip_the_number(stage, node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await stage.pass_time(20)
    await other.beat(ANN, session.session_id)
    for _ in range(3):
        await stage.pass_time(10)
        await other.beat(ANN, session.session_id)

    assert [0, 1] == other.heard_numbers(stream_id)


async def test_a_session_that_moved_to_another_node_is_gone_at_once_when_it_ends_there(
    stage, node, other, stream_id
):
    session = await node.start(ANN, stream_id)
    await other.beat(ANN, session.session_id)
    await other.end(ANN, session.session_id)

    assert 0 == await viewers(other, stream_id)
    await stage.pass_time(1)
    assert 0 == await viewers(node, stream_id)


async def test_an_end_that_reaches_another_node_than_the_heartbeats_counts(node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await other.end(ANN, session.session_id)

    assert 0 == await viewers(node, stream_id)


async def test_a_paused_session_that_moves_keeps_the_beginning_of_its_pause(stage, node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await node.beat(ANN, session.session_id, "paused")
    await stage.execute("UPDATE live_stream_sessions SET paused_at = now() - interval '50 s'")
    await other.beat(ANN, session.session_id, "paused")
    await stage.kill(node)
    await stage.pass_time(9)
    await other.beat(ANN, session.session_id, "paused")
    assert 1 == await viewers(other, stream_id)

    # The first node knew of a pause that began later: its lease lasts as long as it promised.
    await stage.pass_time(16)
    assert 0 == await viewers(other, stream_id)


async def test_the_ghosts_of_a_killed_node_are_gone_within_30_s(stage, node, other, stream_id):
    for n in range(20):
        await node.start(caller(f"fan {n}"), stream_id)
    await other.start(BEN, stream_id)
    ben = await other.start(BEN, stream_id)
    await stage.kill(node)
    for _ in range(2):
        await stage.pass_time(10)
        await other.beat(BEN, ben.session_id)
    assert 21 == await viewers(other, stream_id)

    await stage.pass_time(10)
    assert 1 == await viewers(other, stream_id)
    assert 1 == other.heard_numbers(stream_id)[-1]


async def test_ending_twice_is_ending_once(stage, node, other, stream_id):
    ann, _ben = await node.start(ANN, stream_id), await node.start(BEN, stream_id)
    for each in (node, node, other):
        await each.end(ANN, ann.session_id)
        await stage.pass_time(1)

        assert 1 == await viewers(node, stream_id)


async def test_the_number_is_never_negative(stage, node, stream_id):
    session = await node.start(ANN, stream_id)
    for _ in range(3):
        await node.end(ANN, session.session_id)
    await stage.pass_time(30)

    assert 0 == await viewers(node, stream_id)
    assert min(node.heard_numbers(stream_id)) == 0


async def test_a_heartbeat_after_the_end_finds_no_session_and_counts_nobody(node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await node.end(ANN, session.session_id)
    for each in (node, other):
        with pytest.raises(NotFound):
            await each.beat(ANN, session.session_id)

    assert 0 == await viewers(node, stream_id)


async def test_a_heartbeat_sent_right_after_the_end_finds_no_session(node, stream_id):
    session = await node.start(ANN, stream_id)
    _, beat = await asyncio.gather(
        node.end(ANN, session.session_id), node.beat(ANN, session.session_id), return_exceptions=True
    )

    assert isinstance(beat, NotFound)
    assert 0 == await viewers(node, stream_id)


async def test_nobody_can_end_or_keep_the_session_of_somebody_else(stage, node, other, stream_id):
    session = await node.start(ANN, stream_id)
    await stage.pass_time(10)
    heard_at = node.viewers.find(session.session_id).heard_at
    for each in (node, other):
        with pytest.raises(NotFound):
            await each.end(BEN, session.session_id)
        with pytest.raises(NotFound):
            await each.beat(BEN, session.session_id)

    assert 1 == await viewers(node, stream_id)
    assert heard_at == node.viewers.find(session.session_id).heard_at
    assert None is other.viewers.find(session.session_id)
    await node.beat(ANN, session.session_id)


async def test_a_session_that_the_sweep_ended_stops_counting_at_its_next_heartbeat(stage, node, stream_id):
    session = await node.start(ANN, stream_id)
    await stage.execute("UPDATE live_stream_sessions SET ended_at = now(), end_reason = 'lost'")
    with pytest.raises(NotFound):
        await node.beat(ANN, session.session_id)

    assert 0 == await viewers(node, stream_id)


async def test_a_node_that_meets_a_new_life_registers_all_it_holds_at_once(
    stage, node, stream_id, lease_store, clock
):
    await stage.execute("UPDATE live_broadcasts SET started_at = started_at - interval '1 hour'")
    for n in range(3):
        await node.start(caller(f"fan {n}"), stream_id)
    await node.look()
    clock.jump(0.1)
    lease_store.lose_all()
    await node.look()
    await asyncio.sleep(0.05)

    [broadcast] = lease_store._broadcasts.values()
    assert 3 == len(broadcast._leases)


async def test_who_left_while_redis_was_away_is_gone_when_it_is_back(stage, node, stream_id, lease_store):
    session = await node.start(ANN, stream_id)
    lease_store.go_down()
    await node.look()
    await node.end(ANN, session.session_id)
    await node.look()
    lease_store.come_back()

    assert 0 == await viewers(node, stream_id)
