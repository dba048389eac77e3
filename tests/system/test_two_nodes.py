"""What is acknowledged is seen by everyone, once and in one order, whatever happens to a node or to Redis."""

import asyncio

import redis.asyncio

from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.crowd import Talker, make_crowd
from tests.support.fans import Fan, until
from tests.support.nodes import token


def consecutive(offsets: list[int]) -> bool:
    return offsets == list(range(offsets[0], offsets[0] + len(offsets)))


async def test_every_subscriber_gets_every_acknowledged_message_once_and_in_one_order(
    first, second, stream_id
):
    """Two nodes, 200 subscribers on each, 2,000 messages from 20 senders."""
    channel = names.stream_chat(stream_id)
    crowd = await make_crowd([first.ws_url, second.ws_url], channel, 200)
    talkers = [Talker([[first, second][n % 2].ws_url], f"talker{n}", stream_id) for n in range(20)]
    await asyncio.gather(*[talker.talk(100) for talker in talkers])
    acknowledged = [id_ for talker in talkers for id_ in talker.acknowledged]
    await until(lambda: all(len(member.ids) >= 2_000 for member in crowd), 30)
    for member in crowd:
        member.leave()

    assert len(acknowledged) == 2_000
    assert set(crowd[0].ids) == set(acknowledged)
    assert consecutive(crowd[0].offsets)
    assert all(member.ids == crowd[0].ids for member in crowd)
    assert all(member.offsets == crowd[0].offsets for member in crowd)


async def test_a_killed_node_loses_nothing_and_its_subscribers_recover_on_the_other(first, second, stream_id):
    channel = names.stream_chat(stream_id)
    crowd = await make_crowd([first.ws_url, second.ws_url], channel, 30)
    talkers = [
        Talker([[first, second][n % 2].ws_url, [second, first][n % 2].ws_url], f"talker{n}", stream_id)
        for n in range(10)
    ]

    async def come_back(member) -> None:
        await member.wait_lost()
        member.ws_url = second.ws_url
        await member.enter()

    moved = [asyncio.create_task(come_back(member)) for member in crowd if member.ws_url == first.ws_url]
    talking = asyncio.gather(*[talker.talk(60) for talker in talkers])
    await until(lambda: sum(len(talker.acknowledged) for talker in talkers) > 200)
    await first.kill()
    await talking
    await asyncio.gather(*moved)
    acknowledged = {id_ for talker in talkers for id_ in talker.acknowledged}
    await until(lambda: all(acknowledged <= set(member.ids) for member in crowd), 30)
    for member in crowd:
        member.leave()

    assert len(acknowledged) == 600
    assert all(member.times_recovered == 1 for member in crowd[:30])
    assert all(consecutive(member.offsets) for member in crowd)
    assert all(member.ids == crowd[0].ids for member in crowd)


async def test_the_ghosts_of_a_killed_node_are_gone_within_30_seconds(first, second, stream_id):
    async with Fan(second.ws_url) as dashboard, Fan(second.ws_url, token("bob")) as bob:
        room = await dashboard.enter(names.stream_viewers(stream_id))
        await bob.call("session.start", stream_id=stream_id)
        ann = Fan(first.ws_url, token("ann"))
        await ann.client.connect()
        await ann.client.ready(10)
        await ann.call("session.start", stream_id=stream_id)
        await until(lambda: room.pushed and room.pushed[-1]["viewers"] == 2)
        await first.kill()
        loop = asyncio.get_running_loop()
        killed_at = loop.time()
        heartbeats = asyncio.create_task(_watch_on(bob, stream_id))
        await until(lambda: room.pushed[-1]["viewers"] == 1, 35)
        took_s = loop.time() - killed_at
        heartbeats.cancel()
        await ann.client.disconnect()

    assert took_s < 30


async def _watch_on(fan: Fan, stream_id: str) -> None:
    session = await fan.call("session.start", stream_id=stream_id)
    while True:
        await fan.call("session.heartbeat", session_id=session["session_id"], state="playing")
        await asyncio.sleep(5)


async def test_an_emptied_redis_costs_neither_chat_nor_the_count(first, second, stream_id, redis_url):
    async with Fan(first.ws_url, token("ann")) as ann, Fan(second.ws_url, token("bob")) as bob:
        room = await bob.enter(names.stream_viewers(stream_id))
        chat = await bob.enter(names.stream_chat(stream_id))
        for fan in (ann, bob):
            await fan.call("session.start", stream_id=stream_id)
        await until(lambda: room.pushed and room.pushed[-1]["viewers"] == 2)
        client = redis.asyncio.Redis.from_url(redis_url)
        await client.flushall()
        await client.aclose()
        await ann.call("chat.send", stream_id=stream_id, text="still here", client_id="c")
        await until(lambda: chat.texts == ["still here"])
        await asyncio.sleep(5)
        page = await ann.call("viewers.get", stream_ids=[stream_id])
        seen = [data["viewers"] for data in room.pushed]

    assert page["items"][0]["viewers"] == 2
    assert not page["items"][0]["stale"]
    assert set(seen) <= {1, 2}


async def test_a_terminated_node_says_goodbye_and_ends_well(first, second, stream_id):
    async with Fan(first.ws_url, token("ann")) as ann:
        room = await ann.enter(names.stream_chat(stream_id))
        ann.client._address = f"{second.ws_url}/connection/websocket"
        code = await first.terminate()
        await until(lambda: len(ann.connects) == 2)
        async with Fan(second.ws_url, token("bob", Role.USER)) as bob:
            await bob.call("chat.send", stream_id=stream_id, text="welcome back", client_id="c")
        await until(lambda: room.texts)

    assert code == 0
    assert ann.reconnects[-1].code == 3001
    assert "Traceback" not in first.log_path.read_text()
