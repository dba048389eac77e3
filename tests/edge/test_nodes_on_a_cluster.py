"""Two nodes on a Redis Cluster: what people see while its slots move and its masters die."""

import asyncio

import httpx

from csn_rt.bus.leases_server import key_of
from csn_rt.bus.redis_shard import name_of
from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, until
from tests.support.league import make_stream
from tests.support.nodes import RunningNode, running_node, token


async def bus_is_up(node: RunningNode) -> None:
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        while (await http.get(f"{node.url}/readyz")).json()["checks"]["bus"] != "ok":
            await asyncio.sleep(0.05)


async def test_chat_and_counts_go_on_while_slots_move_and_a_master_dies(database_url, db, redis_cluster):
    stream_id = await make_stream(db)
    async with (
        running_node(database_url, redis_cluster.url, node_id="one") as one,
        running_node(database_url, redis_cluster.url, node_id="two") as two,
        Fan(one.ws_url, token("root", Role.ADMIN)) as admin,
        Fan(one.ws_url, token("ann")) as ann,
        Fan(two.ws_url, token("bob")) as bob,
        Fan(one.ws_url, token("eve")) as eve,
    ):
        broadcast = await admin.call("stream.start", stream_id=stream_id)
        chat = await bob.enter(names.stream_chat(stream_id))
        count = await bob.enter(names.stream_viewers(stream_id))

        async def say(text: str) -> None:
            await ann.call("chat.send", stream_id=stream_id, text=text, client_id=text)
            await until(lambda: chat.texts[-1:] == [text])

        for fan in (ann, bob):
            await fan.call("session.start", stream_id=stream_id)
        await until(lambda: count.pushed and count.pushed[-1]["viewers"] == 2)
        await say("on a cluster")

        master, replica = redis_cluster.replicated(), redis_cluster.replica()
        for name in (
            name_of(names.stream_chat(stream_id)).decode(),
            name_of(names.stream_viewers(stream_id)).decode(),
            key_of(broadcast["broadcast_id"]),
        ):
            source = redis_cluster.owner(name)
            target = master if source is not master else redis_cluster.lonely()
            await asyncio.to_thread(redis_cluster.migrate, name, target)
        await say("after the slots moved")
        session = await eve.call("session.start", stream_id=stream_id)
        await until(lambda: count.pushed[-1]["viewers"] == 3)

        await asyncio.to_thread(master.kill)
        await say("while nobody is master")
        await until(lambda: replica.is_master)
        for node in (one, two):
            await bus_is_up(node)
        await say("after the failover")
        await eve.call("session.end", session_id=session["session_id"])
        await until(lambda: count.pushed[-1]["viewers"] == 2 and not count.pushed[-1]["stale"])

    assert [
        "on a cluster",
        "after the slots moved",
        "while nobody is master",
        "after the failover",
    ] == chat.texts
    assert chat.offsets == list(range(chat.offsets[0], chat.offsets[0] + len(chat.offsets)))
    counts = [data["viewers"] for data in count.pushed]
    assert {2, 3} == set(counts[counts.index(2) :]), "no dip and no ghost"
