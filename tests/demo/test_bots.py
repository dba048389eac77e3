"""Fans against stand-ins for nodes. Rule numbers are those of csn_rt/demo/bots.py and connection.py."""

import asyncio
import json
import random
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from csn_rt.demo import bots, connection
from csn_rt.demo.bots import Crowd, Fan, Match, Plan
from csn_rt.demo.connection import Failed, Lost, connected
from csn_rt.demo.lines import LINES
from csn_rt.demo.seed import Programme, Video

STREAM = "0190a6e2-7c1e-7000-8005-000000000001"


class FakeNode:
    """Answers as a node would, and remembers what it was asked."""

    def __init__(self):
        self.url = ""
        self.asked = []
        self.sockets = set()
        self.answers = {"session.start": {"session_id": "s-1", "heartbeat_ms": 50}}
        self.mute = False

    def methods(self):
        return [request["rpc"]["method"] for request in self.asked if "rpc" in request]

    def texts(self):
        return [
            request["rpc"]["data"]["text"]
            for request in self.asked
            if request.get("rpc", {}).get("method") == "chat.send"
        ]

    async def handle(self, socket):
        self.sockets.add(socket)
        async for frame in socket:
            for line in frame.splitlines():
                request = json.loads(line)
                self.asked.append(request)
                if request and not self.mute:
                    await socket.send(json.dumps(self.reply(request)))
        self.sockets.discard(socket)

    def reply(self, request):
        command = next(name for name in request if name != "id")
        if command != "rpc":
            return {"id": request["id"], command: {}}
        answer = self.answers.get(request["rpc"]["method"], {})
        if isinstance(answer, int):
            return {"id": request["id"], "error": {"code": answer, "message": "no"}}
        return {"id": request["id"], "rpc": {"data": answer}}


@asynccontextmanager
async def fake_nodes(count):
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(count):
            node = FakeNode()
            server = await stack.enter_async_context(serve(node.handle, "127.0.0.1", 0))
            node.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            node.server = server
            nodes.append(node)
        yield nodes


@pytest.fixture
def quick(monkeypatch):
    """No waiting for the sake of looking natural."""
    monkeypatch.setattr(bots, "_ARRIVE_S", (0.0, 0.0))
    monkeypatch.setattr(bots, "_FIRST_LINE_S", (0.0, 0.01))
    monkeypatch.setattr(bots, "_RETRY_S", (0.01, 0.05))


def plan_for(nodes, stream_id=STREAM, videos=()):
    return Plan(
        sockets=[node.url for node in nodes],
        programme=Programme(stream_id, is_on=True, videos=videos),
        token=lambda user_id, name: f"token of {user_id}",
    )


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def crowd_of(size, nodes):
    crowd = Crowd(plan_for(nodes), size)
    running = asyncio.create_task(crowd.run())
    try:
        yield crowd
    finally:
        crowd.send_home()
        await running


async def test_a_fan_connects_subscribes_starts_a_session_speaks_and_beats(quick):
    async with fake_nodes(1) as [node], crowd_of(1, [node]):
        await until(lambda: {"chat.send", "session.heartbeat"} <= set(node.methods()))
    first = node.asked[0]["connect"]
    assert "token of demo-fan-1" == first["token"]
    channels = [request["subscribe"]["channel"] for request in node.asked if "subscribe" in request]
    assert ["user:demo-fan-1", f"stream:{STREAM}:chat", f"stream:{STREAM}:viewers"] == channels
    assert all(text in {line for lines in LINES.values() for line in lines} for text in node.texts())


async def test_fans_are_spread_over_the_nodes(quick):
    async with fake_nodes(2) as nodes, crowd_of(4, nodes):
        await until(lambda: all(len(node.sockets) == 2 for node in nodes))


async def test_a_fan_whose_node_is_gone_comes_back_at_another_one(quick):
    async with fake_nodes(2) as [here, there], crowd_of(2, [here, there]):
        await until(lambda: here.sockets and there.sockets)
        here.server.close()
        await until(lambda: len(there.sockets) == 2)


async def test_everyone_says_goodbye_before_going_home(quick):
    async with fake_nodes(1) as [node]:
        async with crowd_of(3, [node]):
            await until(lambda: node.methods().count("session.start") == 3)
        assert 3 == node.methods().count("session.end"), "rule 3"
        await until(lambda: not node.sockets)


async def test_who_cannot_say_goodbye_in_time_is_cut_off(quick, monkeypatch):
    monkeypatch.setattr(bots, "GOODBYE_S", 0.1)
    async with fake_nodes(1) as [node]:
        async with asyncio.timeout(5), crowd_of(2, [node]):
            await until(lambda: node.methods().count("session.start") == 2)
            node.mute = True
        await until(lambda: not node.sockets)


async def test_a_fan_does_not_repeat_himself_and_takes_his_time():
    async with fake_nodes(1) as [node]:
        plan, rng = plan_for([node]), random.Random(7)
        fan = Fan(plan, Match(rng), asyncio.Event(), rng, 0)
        async with connected(node.url, "t") as player:
            pauses_s = [await fan._speak(player, STREAM) for _ in range(30)]
    assert all(6 <= pause_s <= 30 for pause_s in pauses_s), "rule 1"
    texts = node.texts()
    assert all(text not in texts[max(0, n - 5) : n] for n, text in enumerate(texts)), "rule 1"


async def test_a_fan_who_is_told_to_slow_down_waits_as_long_as_he_was_told():
    async with fake_nodes(1) as [node]:
        drop = {"code": "slow_mode", "message": "slow", "retry_after_ms": 120_000}
        node.answers["chat.send"] = {"sent": False, "drop": drop}
        plan, rng = plan_for([node]), random.Random(7)
        fan = Fan(plan, Match(rng), asyncio.Event(), rng, 0)
        async with connected(node.url, "t") as player:
            assert 120 == await fan._speak(player, STREAM), "rule 1"


async def test_a_fan_of_videos_goes_on_where_he_was_and_reports_to_the_end(quick, monkeypatch):
    monkeypatch.setattr(bots, "_REPORT_S", 0.05)
    video = Video("v-1", 60_100)
    async with fake_nodes(1) as [node]:
        node.answers["progress.report"] = {
            "outcome": "saved",
            "progress": {"position_ms": 60_000, "completed": False},
        }
        rng = random.Random(7)
        fan = Fan(plan_for([node], videos=(video,)), Match(rng), asyncio.Event(), rng, 3)
        await fan._visit()
    reports = [request["rpc"]["data"] for request in node.asked if "rpc" in request]
    assert ["start", "progress", "ended"] == [reports[0]["event"], reports[1]["event"], reports[-1]["event"]]
    assert list(range(len(reports))) == [report["seq"] for report in reports]
    assert 60_000 < reports[1]["position_ms"] < reports[-1]["position_ms"] == video.duration_ms


async def test_a_fan_who_is_sent_home_stops_his_video_where_it_is(quick):
    async with fake_nodes(1) as [node]:
        node.answers["progress.report"] = {"outcome": "saved", "progress": None}
        rng, home = random.Random(7), asyncio.Event()
        fan = Fan(plan_for([node], videos=(Video("v-1", 60_000),)), Match(rng), home, rng, 3)
        visit = asyncio.create_task(fan._visit())
        await until(node.methods)
        home.set()
        await visit
    assert "stop" == node.asked[-1]["rpc"]["data"]["event"]


async def test_without_a_stream_a_fan_just_stays(quick):
    async with fake_nodes(1) as [node]:
        crowd = Crowd(plan_for([node], stream_id=None), 1)
        running = asyncio.create_task(crowd.run())
        await until(lambda: len(node.asked) == 2)
        crowd.send_home()
        await running
    assert [] == node.methods()


async def test_a_ping_is_answered():
    async with fake_nodes(1) as [node], connected(node.url, "t"):
        [socket] = node.sockets
        await socket.send("{}")
        await until(lambda: {} in node.asked)


async def test_an_error_is_raised_to_whoever_asked():
    async with fake_nodes(1) as [node], connected(node.url, "t") as player:
        node.answers["stream.start"] = 409
        with pytest.raises(Failed) as failed:
            await player.rpc("stream.start")
        assert 409 == failed.value.code
        assert {} == await player.rpc("chat.send")


async def test_nobody_waits_for_ever_for_an_answer(monkeypatch):
    monkeypatch.setattr(connection, "COMMAND_TIMEOUT_S", 0.1)
    async with fake_nodes(1) as [node], connected(node.url, "t") as player:
        node.mute = True
        with pytest.raises(Lost):
            await player.rpc("chat.send")


async def test_a_lost_socket_ends_the_wait_at_once_and_every_later_one():
    async with fake_nodes(1) as [node], connected(node.url, "t") as player:
        node.mute = True
        asking = asyncio.create_task(player.rpc("chat.send"))
        await until(node.methods)
        [socket] = node.sockets
        await socket.close()
        for waiting in (asking, player.rpc("chat.send")):
            async with asyncio.timeout(1):
                with pytest.raises(Lost):
                    await waiting


async def test_a_node_that_is_not_there_is_lost():
    with pytest.raises(Lost):
        async with connected("ws://127.0.0.1:1", "t"):
            pass
