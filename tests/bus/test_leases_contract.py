"""What both kinds of leases promise (the rules of csn_rt/bus/leases.py), with times that fit a test."""

import asyncio
import time
import uuid

import pytest
import redis.asyncio

from csn_rt.bus.leases import Ask, Count, End, Hold, Leases, LeaseTimes
from csn_rt.bus.leases_memory import MemoryLeases, MemoryLeaseStore
from csn_rt.bus.leases_redis import RedisLeases

TIMES = LeaseTimes(settle_ms=150, pace_ms=100, gap_ms=400, pause_ms=150)
OLD_MS = 60_000
SESSIONS = [str(uuid.UUID(int=n)) for n in range(2_000)]
ANN_PHONE, ANN_TV, BEN, EVE = SESSIONS[:4]


class Site:
    """Two nodes on one store, and the fault of losing everything."""

    def __init__(self, node: Leases, other: Leases, lose_all) -> None:
        self.node = node
        self.other = other
        self.lose_all = lose_all
        self.broadcast_id = str(uuid.uuid4())

    async def ask(self, leases: Leases | None = None, **ask) -> Count:
        [count] = await (leases or self.node).count(
            [Ask(**{"broadcast_id": self.broadcast_id, "age_ms": 0, **ask})]
        )
        assert count is not None
        return count

    async def settled(self, **ask) -> Count:
        while (count := await self.ask(**ask)).settles_in_ms:
            await asyncio.sleep(count.settles_in_ms / 1000)
        return count


@pytest.fixture(params=["memory", "redis", "cluster"])
async def site(request):
    if request.param == "cluster":
        async with request.getfixturevalue("redis_cluster_servers").reachable() as cluster:

            async def empty():
                cluster.empty()

            nodes = [RedisLeases(cluster.url, TIMES) for _ in range(2)]
            yield Site(*nodes, empty)
            for node in nodes:
                await node.close()
        return
    if request.param == "memory":
        store = MemoryLeaseStore(TIMES)

        async def lose_all():
            store.lose_all()

        yield Site(MemoryLeases(store), MemoryLeases(store), lose_all)
        return
    url = request.getfixturevalue("redis_url")
    admin = redis.asyncio.Redis.from_url(url)
    node, other = RedisLeases(url, TIMES), RedisLeases(url, TIMES)
    yield Site(node, other, admin.flushall)
    for client in (node, other):
        await client.close()
    await admin.aclose()


def hold(person: str, session_id: str, ms: int = 5_000) -> Hold:
    return Hold(person, session_id, ms)


async def test_two_sessions_of_a_person_on_two_nodes_are_one_viewer(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])
    count = await site.ask(site.other, holds=[hold("u:ann", ANN_TV)])

    assert (1, 2) == (count.viewers, count.sessions)


async def test_ending_one_of_two_sessions_on_two_nodes_does_not_dip_the_count(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE, 10_000)])
    await site.ask(site.other, holds=[hold("u:ann", ANN_TV)])

    count = await site.ask(site.node, ends=[End("u:ann", ANN_PHONE)])

    assert (1, 1) == (count.viewers, count.sessions)


async def test_after_an_end_the_other_session_counts_only_as_long_as_its_own_lease(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE, 10_000), hold("u:ann", ANN_TV, 60)])
    await site.ask(ends=[End("u:ann", ANN_PHONE)])
    await asyncio.sleep(0.07)

    assert 0 == (await site.ask()).viewers


async def test_an_end_may_come_twice_or_for_nobody(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE), hold("u:ben", BEN)])

    for _ in range(2):
        count = await site.ask(ends=[End("u:ben", BEN), End("u:eve", EVE)])

        assert (1, 1) == (count.viewers, count.sessions)


async def test_an_end_from_another_node_than_the_holder_counts(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])

    assert 0 == (await site.ask(site.other, ends=[End("u:ann", ANN_PHONE)])).viewers


async def test_a_person_whose_id_continues_another_one_is_another_person(site):
    holds = [hold("u:ann", ANN_PHONE), hold("u:ann|", ANN_TV), hold(f"u:ann|{BEN}", EVE)]
    await site.ask(holds=holds)

    count = await site.ask(ends=[End("u:ann", ANN_PHONE)])

    assert (2, 2) == (count.viewers, count.sessions)


async def test_a_lease_that_is_not_renewed_is_gone(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE, 60), hold("u:ben", BEN)])
    await asyncio.sleep(0.07)

    assert 1 == (await site.ask()).viewers


async def test_an_older_renewal_that_comes_late_does_not_shorten_a_lease(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])
    await site.ask(site.other, holds=[hold("u:ann", ANN_PHONE, 30)])
    await asyncio.sleep(0.04)

    assert (1, 1) == ((count := await site.ask()).viewers, count.sessions)


async def test_the_same_ask_twice_counts_once_and_tells_once(site):
    holds = [hold("u:ann", ANN_PHONE)]

    first, second = await site.ask(holds=holds), await site.ask(holds=holds)

    assert (1, True) == (first.viewers, first.is_changed)
    assert (1, False, first.seq) == (second.viewers, second.is_changed, second.seq)


async def test_a_new_broadcast_begins_at_zero_and_settled(site):
    count = await site.ask()

    assert (0, 0, 0) == (count.viewers, count.peak, count.settles_in_ms)


async def test_one_node_is_told_of_a_change_and_the_other_sees_its_number(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])
    seen = await site.ask(site.other)

    assert (1, False) == (seen.told, seen.is_changed)


async def test_the_first_change_is_told_at_once_and_the_next_after_the_pace(site):
    await site.ask()
    await asyncio.sleep(TIMES.pace_ms / 1000)
    first = await site.ask(holds=[hold("u:ann", ANN_PHONE)])
    second = await site.ask(site.other, holds=[hold("u:ben", BEN)])

    assert first.is_changed
    assert (2, 1, first.seq, False) == (second.viewers, second.told, second.seq, second.is_changed)
    assert 0 < second.tells_in_ms <= TIMES.pace_ms

    await asyncio.sleep((second.tells_in_ms + 1) / 1000)
    third = await site.ask()

    assert (2, True, 0) == (third.told, third.is_changed, third.tells_in_ms)
    assert third.seq > second.seq


async def test_a_change_that_is_undone_within_the_pace_is_never_told(site):
    first = await site.ask(holds=[hold("u:ann", ANN_PHONE)])
    await site.ask(holds=[hold("u:ben", BEN)])
    await site.ask(ends=[End("u:ben", BEN)])
    await asyncio.sleep(TIMES.pace_ms / 1000)
    later = await site.ask()

    # The peak of two did happen, and is told.
    assert (1, 2) == (later.told, later.told_peak)
    await asyncio.sleep(TIMES.pace_ms / 1000)
    again = await site.ask()
    assert (False, later.seq) == (again.is_changed, again.seq)
    assert again.seq > first.seq


async def test_another_session_of_a_viewer_is_news_for_the_staff_only(site):
    first = await site.ask(holds=[hold("u:ann", ANN_PHONE)])
    await asyncio.sleep(TIMES.pace_ms / 1000)
    second = await site.ask(holds=[hold("u:ann", ANN_TV)])

    assert (False, True) == (second.is_changed, second.is_staff_changed)
    assert first.seq == second.seq
    assert first.staff_seq < second.staff_seq


async def test_a_reader_takes_no_news_away(site):
    read = await site.ask(holds=[hold("u:ann", ANN_PHONE)], purpose="read")
    told = await site.ask()

    assert (1, False, -1) == (read.viewers, read.is_changed, read.told)
    assert (True, 1) == (told.is_changed, told.told)


async def test_numbers_are_larger_than_the_askers_floor(site):
    floor = int(time.time() * 1000) + 3_600_000

    assert floor < (await site.ask(seq_floor=floor, holds=[hold("u:ann", ANN_PHONE)])).seq


async def test_the_peak_stays_when_viewers_go(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE), hold("u:ben", BEN)])

    assert (1, 2) == ((count := await site.ask(ends=[End("u:ben", BEN)])).viewers, count.peak)


async def test_the_peak_is_never_below_what_an_asker_knows(site):
    await site.ask()

    assert 7 == (await site.ask(peak_floor=7)).peak


async def test_a_young_broadcast_that_had_a_peak_is_heard_again_after_a_loss(site):
    await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])
    await site.lose_all()

    assert (await site.ask(site.other, peak_floor=1)).settles_in_ms > 0


async def test_after_a_loss_nothing_is_told_until_all_nodes_were_heard(site):
    before = await site.ask(site.node, holds=[hold("u:ann", ANN_PHONE)])
    await site.ask(site.other, holds=[hold("u:ben", BEN)])
    await site.lose_all()

    partial = await site.ask(site.node, age_ms=OLD_MS, holds=[hold("u:ann", ANN_PHONE)], peak_floor=2)
    await site.ask(site.other, age_ms=OLD_MS, holds=[hold("u:ben", BEN)])
    after = await site.settled(age_ms=OLD_MS, peak_floor=2, seq_floor=before.seq)

    assert (False, True) == (partial.is_changed, 0 < partial.settles_in_ms <= TIMES.settle_ms)
    assert before.life != partial.life == after.life
    assert (2, 2, 2, True) == (after.viewers, after.told, after.peak, after.is_changed)
    assert after.seq > before.seq


async def test_leases_that_nobody_asked_for_during_an_absence_begin_a_new_life(site):
    before = await site.ask(holds=[hold("u:ann", ANN_PHONE), hold("u:ben", BEN, 100)])
    await asyncio.sleep(TIMES.gap_ms / 1000 + 0.05)
    after = await site.ask(age_ms=OLD_MS, holds=[hold("u:ann", ANN_PHONE)])

    assert before.life != after.life
    assert after.settles_in_ms > 0


async def test_an_idle_broadcast_without_viewers_stays_settled(site):
    before = await site.ask()
    await asyncio.sleep(TIMES.gap_ms / 1000 + 0.05)
    after = await site.ask(age_ms=OLD_MS, holds=[hold("u:ann", ANN_PHONE)])

    assert (before.life, 0) == (after.life, after.settles_in_ms)


async def test_an_ended_broadcast_takes_and_tells_nothing(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE)])
    ended = await site.ask(purpose="end")
    later = await site.ask(site.other, holds=[hold("u:ben", BEN)], ends=[End("u:ann", ANN_PHONE)])

    assert (1, True) == (later.viewers, later.is_ended)
    assert (False, ended.seq) == (later.is_changed, later.seq)


async def test_an_end_has_a_number_larger_than_all_before(site):
    told = await site.ask(holds=[hold("u:ann", ANN_PHONE)])
    ended = await site.ask(purpose="end")

    assert (True, True) == (ended.seq > told.seq, ended.staff_seq > told.staff_seq)


async def test_an_end_that_was_taken_back_is_forgotten_after_a_moment(site):
    await site.ask(purpose="end")
    await asyncio.sleep(TIMES.pause_ms / 1000 + 0.01)

    assert (1, False) == (
        (count := await site.ask(holds=[hold("u:ann", ANN_PHONE)])).viewers,
        count.is_ended,
    )


async def test_viewers_are_summed_over_time(site):
    await site.ask(holds=[hold("u:ann", ANN_PHONE), hold("u:ben", BEN)])
    started = time.monotonic()
    await asyncio.sleep(0.1)
    count = await site.ask(ends=[End("u:ann", ANN_PHONE), End("u:ben", BEN)])
    passed_ms = (time.monotonic() - started) * 1000
    await asyncio.sleep(0.05)

    assert passed_ms * 2 == pytest.approx(count.viewer_ms, abs=30)
    assert count.viewer_ms == (await site.ask()).viewer_ms


async def test_a_crowd_is_registered_in_parts_and_told_as_one(site):
    holds = [hold(f"u:{n}", session_id) for n, session_id in enumerate(SESSIONS[:1_200])]

    count = await site.ask(holds=holds)

    assert (1_200, 1_200, True) == (count.viewers, count.told, count.is_changed)

    gone = await site.ask(ends=[End(each.person, each.session_id) for each in holds])
    assert 0 == gone.viewers


async def test_many_broadcasts_are_answered_in_the_order_of_the_asks(site):
    asks = [
        Ask(
            broadcast_id=str(uuid.uuid4()),
            age_ms=0,
            holds=[hold(f"u:{n}", SESSIONS[n]) for n in range(size)],
        )
        for size in (3, 0, 5)
    ]

    assert [3, 0, 5] == [count.viewers for count in await site.node.count(asks)]
