"""Which server owns which slot, and whom that is asked."""

import asyncio

import pytest
from redis.crc import key_slot

from csn_rt.bus.redis_slots import SLOTS, SlotMap, Slots, _View, read_slots
from tests.support.redis_cluster import RedisCluster

ID = b"0" * 40


def slot_map(*servers: str) -> SlotMap:
    return SlotMap([servers[0]] * SLOTS, frozenset(servers[:1]), frozenset(servers))


def view(server: str, *, is_well: bool = True, epoch: int = 1) -> _View:
    return _View(slot_map(server), is_well, epoch)


class Answers(Slots):
    """Servers that answer as the test says."""

    def __init__(self, seeds: str, views: dict[str, _View]) -> None:
        super().__init__(f"redis-cluster://{seeds}")
        self.views = views
        self.asked: list[str] = []

    async def _ask(self, asked: str) -> _View | None:
        self.asked.append(asked)
        return self.views.get(asked)


def test_the_master_of_a_range_comes_first_and_its_replicas_after_it():
    found = read_slots([[0, 99, [b"a", 1, ID], [b"b", 2, ID]], [100, 16383, [b"c", 3, ID]]], "x")

    assert ("a:1", "a:1", "c:3", "c:3") == tuple(found.owners[slot] for slot in (0, 99, 100, 16383))
    assert {"a:1", "c:3"} == found.masters
    assert {"a:1", "b:2", "c:3"} == found.servers
    assert found.is_whole


def test_a_slot_that_nobody_owns_is_told():
    found = read_slots([[0, 99, [b"a", 1, ID]]], "x")

    assert found.owners[100] is None
    assert not found.is_whole


@pytest.mark.parametrize("host", [None, b""])
def test_a_server_that_does_not_know_its_own_address_is_where_it_was_asked(host):
    assert "asked:7" == read_slots([[0, 99, [host, 7, ID]]], "asked").owners[0]


def test_a_server_whose_name_is_not_set_cannot_be_used():
    found = read_slots([[0, 99, [b"?", 7, ID], [b"replica", 8, ID]]], "asked")

    assert found.owners[0] is None
    assert {"replica:8"} == found.servers


def test_an_address_of_the_sixth_version_is_bracketed():
    assert "[::1]:7" == read_slots([[0, 99, [b"::1", 7, ID]]], "x").owners[0]


@pytest.mark.parametrize("slot", [0, 1, 8191, 16383])
def test_a_name_is_found_for_a_master_of_a_single_slot(slot):
    owners: list[str | None] = ["other:1"] * SLOTS
    owners[slot] = "lone:1"
    found = SlotMap(owners, frozenset({"other:1", "lone:1"}), frozenset())

    assert slot == key_slot(found.find_name("lone:1", b"canary:", b"node-{x}"))


async def test_the_complainer_is_asked_before_the_others():
    slots = Answers("seed", {"seed:6379": view("one")})
    await slots.refresh(None)
    slots.views = {name: view(name) for name in ("one", "two", "seed:6379")}

    found = await slots.refresh(slots.map, "two")

    assert "two" == slots.asked[-1]
    assert {"two"} == found.masters


async def test_the_seeds_are_asked_again_when_all_others_are_gone():
    slots = Answers("gone,seed", {"seed:6379": view("one")})
    first = await slots.refresh(None)
    slots.views = {"seed:6379": view("two")}

    found = await slots.refresh(first)

    assert {"two"} == found.masters
    assert "one" in slots.asked


async def test_nobody_answers_and_the_old_map_stays():
    slots = Answers("seed", {"seed:6379": view("one")})
    first = await slots.refresh(None)
    slots.views = {}

    assert first is await slots.refresh(first)


async def test_who_calls_the_cluster_unwell_is_not_believed_while_somebody_says_better():
    slots = Answers("seed", {"seed:6379": _View(slot_map("cut-off", "well"), is_well=True, epoch=1)})
    first = await slots.refresh(None)
    slots.views = {"cut-off": view("cut-off", is_well=False, epoch=9), "well": view("well", epoch=2)}

    found = await slots.refresh(first, "cut-off")

    assert {"well"} == found.masters


async def test_of_those_who_call_it_unwell_the_latest_election_counts():
    slots = Answers("seed", {"seed:6379": _View(slot_map("late", "early"), is_well=True, epoch=1)})
    first = await slots.refresh(None)
    slots.views = {
        "early": view("early", is_well=False, epoch=2),
        "late": view("late", is_well=False, epoch=3),
    }

    for complainer in ("early", "late"):
        assert {"late"} == (await slots.refresh(first, complainer)).masters


async def test_a_large_cluster_that_is_unwell_is_not_asked_as_a_whole():
    servers = [f"server-{n}" for n in range(50)]
    slots = Answers("seed", {"seed:6379": _View(slot_map(*servers), is_well=True, epoch=1)})
    first = await slots.refresh(None)
    slots.views = {server: view(servers[0], is_well=False) for server in servers}
    slots.asked.clear()

    await slots.refresh(first, "server-7")

    assert 4 == len(slots.asked)


async def test_who_waits_while_another_asks_gets_that_answer():
    slots = Answers("seed", {"seed:6379": view("one")})

    found = await asyncio.gather(*(slots.refresh(None) for _ in range(20)))

    assert ["seed:6379"] == slots.asked
    assert {slots.map.owners[0]} == {each.owners[0] for each in found}


async def test_questions_that_bring_nothing_new_become_rare():
    slots = Answers("seed", {"seed:6379": view("one")})
    first = await slots.refresh(None)
    slots.asked.clear()

    async def ask_on() -> None:
        while True:
            await slots.refresh(first)

    asking = asyncio.create_task(ask_on())
    await asyncio.sleep(1.5)
    asking.cancel()

    assert 2 <= len(slots.asked) <= 15


async def test_a_real_cluster_says_who_owns_what(redis_cluster: RedisCluster):
    slots = Slots(redis_cluster.url)

    found = await slots.refresh(None)

    for name in ("a", "b", "c", "d"):
        client_port = redis_cluster.owner(name).client_port
        assert f"127.0.0.1:{client_port}" == found.owners[key_slot(name.encode())]
    assert 4 == len(found.servers)
    assert found.is_whole


async def test_a_server_without_cluster_mode_is_no_answer(redis_url):
    assert await Slots(redis_url.replace("redis://", "redis-cluster://")).refresh(None) is None
