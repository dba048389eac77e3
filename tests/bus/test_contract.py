"""What every bus does; the same cases on memory, Redis and a cluster of Redis."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from csn_rt.bus.base import Bus, BusDown, Envelope
from csn_rt.bus.memory import MemoryBus
from csn_rt.bus.redis import RedisBus
from csn_rt.wire.names import Channel
from tests.support.buses import Behind, BehindCluster, BehindMemory, BehindRedis, Listener, eventually
from tests.support.proxy import Proxy

A, B = Channel("a"), Channel("b")

MakeListener = Callable[[], Awaitable[Listener]]


@pytest.fixture(params=["memory", "redis", "cluster"])
async def behind(request: pytest.FixtureRequest) -> AsyncIterator[Behind]:
    if request.param == "memory":
        yield BehindMemory()
        return
    if request.param == "cluster":
        async with request.getfixturevalue("redis_cluster_servers").reachable() as cluster:
            behind = BehindCluster(cluster)
            yield behind
            await behind.come_back()
        return
    async with Proxy(request.getfixturevalue("redis_url")) as proxy:
        behind = BehindRedis(proxy)
        yield behind
        await behind.come_back()


@pytest.fixture
async def listen(behind: Behind) -> AsyncIterator[MakeListener]:
    listeners: list[Listener] = []

    async def make() -> Listener:
        listeners.append(await Listener(behind.new_bus()).start())
        return listeners[-1]

    yield make
    for listener in listeners:
        await listener.bus.close()


async def test_what_is_published_reaches_every_subscribed_node_the_senders_too(listen: MakeListener):
    ann, bob = await listen(), await listen()
    await ann.bus.subscribe(A)
    await bob.bus.subscribe(A)

    said = ann.say(A)

    assert [said] == await ann.heard(1)
    assert [said] == await bob.heard(1)


async def test_a_node_hears_only_what_it_subscribed(listen: MakeListener):
    ann, bob = await listen(), await listen()
    await bob.bus.subscribe(A)

    ann.say(B)

    assert await bob.heard_nothing()


async def test_publish_never_delivers_before_it_returns(listen: MakeListener):
    ann = await listen()
    await ann.bus.subscribe(A)

    ann.say(A)

    assert [] == ann.received


async def test_one_senders_envelopes_of_a_channel_come_in_order(listen: MakeListener):
    ann, bob = await listen(), await listen()
    await bob.bus.subscribe(A)

    for offset in range(1, 2001):
        ann.say(A, offset)

    assert list(range(1, 2001)) == [envelope.offset for envelope in await bob.heard(2000)]


async def test_an_envelope_arrives_as_it_was_sent(listen: MakeListener):
    ann = await listen()
    await ann.bus.subscribe(A)
    sent = Envelope("node", A, "abc", 2**60, [b'{"a":"\xc3\xa9"}', bytes(range(256)) * 1000], [1, 7])

    ann.bus.publish(sent)

    assert [sent] == await ann.heard(1)


async def test_after_unsubscribe_nothing_arrives(listen: MakeListener):
    ann, bob = await listen(), await listen()
    await bob.bus.subscribe(A)
    bob.bus.unsubscribe(A)

    ann.say(A)

    assert await bob.heard_nothing()


async def test_the_unsubscribe_of_a_last_leaver_does_not_overtake_a_newcomer(listen: MakeListener):
    ann, bob = await listen(), await listen()
    for offset in range(1, 51):
        await bob.bus.subscribe(A)
        ann.say(A, offset)
        await bob.heard(offset)
        bob.bus.unsubscribe(A)

    await bob.bus.subscribe(A)
    ann.say(A, 51)

    assert list(range(1, 52)) == [envelope.offset for envelope in await bob.heard(51)]


async def test_subscribing_twice_is_subscribing_once(listen: MakeListener):
    ann = await listen()
    await asyncio.gather(*(ann.bus.subscribe(A) for _ in range(10)))

    ann.say(A)

    assert 1 == len(await ann.heard(1))
    ann.received.clear()
    assert await ann.heard_nothing()


async def test_start_says_that_the_bus_is_up(listen: MakeListener):
    ann = await listen()

    assert ann.bus.is_up
    assert [True] == ann.told
    assert ann.bus.lag_s is not None
    assert 0.0 <= ann.bus.lag_s < 1.0


async def test_a_bus_that_goes_down_says_so(listen: MakeListener, behind: Behind):
    ann = await listen()

    await behind.go_down()
    await eventually(lambda: not ann.bus.is_up)

    assert [True, False] == ann.told


async def test_what_is_published_while_down_is_dropped_and_counted(listen: MakeListener, behind: Behind):
    ann = await listen()
    await ann.bus.subscribe(A)
    await behind.go_down()
    await eventually(lambda: not ann.bus.is_up)

    for offset in (1, 2, 3):
        ann.say(A, offset)

    assert 3 == ann.bus.statistics().dropped
    await behind.come_back()
    await eventually(lambda: ann.bus.is_up)
    await ann.heard_nothing()
    assert not {1, 2} & {envelope.offset for envelope in ann.received}, "the newest may be told"


async def test_a_bus_that_is_back_says_so_and_delivers_what_was_subscribed_before(
    listen: MakeListener, behind: Behind
):
    ann, bob = await listen(), await listen()
    await bob.bus.subscribe(A)
    await behind.go_down()
    await eventually(lambda: not ann.bus.is_up and not bob.bus.is_up)
    await behind.come_back()
    await eventually(lambda: ann.bus.is_up and bob.bus.is_up)

    said = ann.say(A)

    assert [True, False, True] == ann.told
    assert [said] == await bob.heard(1)


async def test_a_channel_subscribed_while_down_is_refused_but_stays_wanted(
    listen: MakeListener, behind: Behind
):
    ann = await listen()
    await behind.go_down()
    await eventually(lambda: not ann.bus.is_up)
    with pytest.raises(BusDown):
        await ann.bus.subscribe(A)
    await behind.come_back()
    await eventually(lambda: ann.bus.is_up)

    said = ann.say(A)

    assert [said] == await ann.heard(1)


async def test_a_channel_unsubscribed_while_down_is_not_subscribed_again(
    listen: MakeListener, behind: Behind
):
    ann = await listen()
    await ann.bus.subscribe(A)
    await behind.go_down()
    await eventually(lambda: not ann.bus.is_up)
    ann.bus.unsubscribe(A)
    await behind.come_back()
    await eventually(lambda: ann.bus.is_up)

    ann.say(A)

    assert await ann.heard_nothing()


async def test_a_receiver_that_fails_is_logged_and_hears_the_next(behind: Behind):
    received: list[int] = []

    def receive(envelope: Envelope) -> None:
        received.append(envelope.offset)
        if envelope.offset == 1:
            raise ValueError("no good")

    bus = behind.new_bus()
    await bus.start(receive, lambda _is_up: None)
    await bus.subscribe(A)

    with capture_logs() as logs:
        for offset in (1, 2):
            bus.publish(Envelope("node", A, "abc", offset, [b"{}"]))
        await eventually(lambda: received == [1, 2])
    await bus.close()

    assert ["bus_receive_failed"] == [line["event"] for line in logs if line["log_level"] == "error"]


async def test_close_sends_what_was_published_before(behind: Behind):
    ann, bob = await Listener(behind.new_bus()).start(), await Listener(behind.new_bus()).start()
    await bob.bus.subscribe(A)

    said = ann.say(A)
    await ann.bus.close()

    assert [said] == await bob.heard(1)
    await bob.bus.close()


async def test_close_leaves_no_task_behind_and_may_be_repeated(behind: Behind):
    before = asyncio.all_tasks()
    ann = await Listener(behind.new_bus()).start()
    await ann.bus.subscribe(A)

    await ann.bus.close()
    await ann.bus.close()

    await eventually(lambda: {task for task in asyncio.all_tasks() if "bus" in task.get_name()} <= before)
    assert not ann.bus.is_up


async def test_what_is_sent_and_received_is_counted(listen: MakeListener):
    ann, bob = await listen(), await listen()
    await bob.bus.subscribe(A)

    for offset in (1, 2, 3):
        ann.say(A, offset)
    await bob.heard(3)

    assert (3, 0) == (ann.bus.statistics().published, ann.bus.statistics().dropped)
    assert (3, 0) == (bob.bus.statistics().received, bob.bus.statistics().malformed)


@pytest.mark.parametrize("bus", [MemoryBus, RedisBus])
def test_every_bus_has_the_methods_of_the_contract(bus: type):
    promised = {name: member for name, member in vars(Bus).items() if not name.startswith("_")}

    assert set(promised) <= set(dir(bus))
    for name, member in promised.items():
        if inspect.isfunction(member):
            assert list(inspect.signature(member).parameters) == list(
                inspect.signature(getattr(bus, name)).parameters
            )
