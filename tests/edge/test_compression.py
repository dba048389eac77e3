"""Compressed frames: who gets them, that a room shares them, and what a client may compress itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame

from csn_rt.edge.server import MAX_MESSAGE_BYTES
from csn_rt.wire import names
from csn_rt.wire.frames import DEFLATE_FROM_BYTES
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, Room, until
from tests.support.nodes import RunningNode, running_node, token

ON_UVLOOP = True
LONG = "goal " * 90


class Watched(ClientPerMessageDeflateFactory):
    """Keeps what comes over the wire, before it is inflated."""

    def __init__(self, **offer: Any) -> None:
        super().__init__(**offer)
        self.frames: list[Frame] = []

    def process_response_params(self, params: Any, accepted_extensions: Any) -> PerMessageDeflate:
        extension = super().process_response_params(params, accepted_extensions)
        inflate = extension.decode

        def decode(frame: Frame, *, max_size: int | None = None) -> Frame:
            self.frames.append(Frame(frame.opcode, bytes(frame.data), frame.fin, frame.rsv1))
            return inflate(frame, max_size=max_size)

        extension.decode = decode
        return extension

    @property
    def compressed(self) -> list[bytes]:
        return [frame.data for frame in self.frames if frame.rsv1]


class Viewer:
    """A raw client in the chat."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.seen: list[dict] = []

    async def send(self, **command: Any) -> None:
        await self.ws.send(json.dumps(command))

    async def sees(self, text: str) -> dict:
        """Read until somebody has said this; answers the event."""
        async with asyncio.timeout(10):
            while True:
                self.seen += [json.loads(line) for line in str(await self.ws.recv()).split("\n")]
                for message in self.seen:
                    data = message.get("push", {}).get("pub", {}).get("data", {})
                    if data.get("text") == text:
                        return data


@asynccontextmanager
async def viewer(node: RunningNode, stream_id: str, watched: Watched | None = None) -> AsyncIterator[Viewer]:
    extensions = [watched] if watched else None
    async with connect(f"{node.ws_url}/connection/websocket", compression=None, extensions=extensions) as ws:
        viewer = Viewer(ws)
        await viewer.send(id=1, connect={})
        await viewer.send(id=2, subscribe={"channel": names.stream_chat(stream_id)})
        while not any('"id":2' in str(message) for message in viewer.seen):
            viewer.seen.append(str(await ws.recv()))
        viewer.seen.clear()
        yield viewer


@asynccontextmanager
async def speaker(node: RunningNode) -> AsyncIterator[Fan]:
    async with Fan(node.ws_url, token("ann", Role.MODERATOR)) as ann:
        yield ann


async def say(ann: Fan, stream_id: str, text: str) -> None:
    answer = await ann.call("chat.send", stream_id=stream_id, text=text, client_id=text[-60:])
    assert answer["sent"], answer


async def test_neither_side_keeps_a_context(node):
    async with connect(f"{node.ws_url}/connection/websocket", compression="deflate") as ws:
        answer = ws.response.headers["Sec-WebSocket-Extensions"]

    assert answer == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


async def test_one_compressed_frame_serves_the_whole_room(node, stream_id):
    first, second = Watched(), Watched()
    async with (
        speaker(node) as ann,
        viewer(node, stream_id, first) as one,
        viewer(node, stream_id, second) as other,
        viewer(node, stream_id) as plain,
    ):
        for text in (f"{LONG}1", f"{LONG}2"):
            await say(ann, stream_id, text)
            events = [await each.sees(text) for each in (one, other, plain)]
            assert events[0] == events[1] == events[2]

    assert len(first.compressed) == 2
    assert first.compressed == second.compressed


async def test_what_is_compressed_is_less_than_half(node, stream_id):
    watched = Watched()
    async with speaker(node) as ann, viewer(node, stream_id, watched) as fan:
        await say(ann, stream_id, LONG.strip())
        event = await fan.sees(LONG.strip())

    assert len(watched.compressed[0]) < len(json.dumps(event)) / 2


async def test_what_one_socket_alone_is_answered_is_not_compressed(node, stream_id):
    """Or a client could make the node compress for it, again and again."""
    watched = Watched()
    async with speaker(node) as ann, viewer(node, stream_id, watched) as fan:
        await say(ann, stream_id, LONG.strip())
        await fan.sees(LONG.strip())
        shared = len(watched.compressed)
        await fan.send(id=3, rpc={"method": "chat.history", "data": {"stream_id": stream_id}})
        async with asyncio.timeout(10):
            while LONG.strip() not in (reply := str(await fan.ws.recv())):
                pass

    assert len(reply) > DEFLATE_FROM_BYTES
    assert len(watched.compressed) == shared == 1


async def test_a_small_frame_is_sent_as_it_is(node, stream_id):
    watched = Watched()
    async with speaker(node) as ann, viewer(node, stream_id, watched) as fan:
        await say(ann, stream_id, "hi")
        await fan.sees("hi")

    assert watched.compressed == []


async def test_a_client_with_a_smaller_window_than_ours_gets_what_it_can_read(node, stream_id):
    watched = Watched(server_max_window_bits=9)
    async with speaker(node) as ann, viewer(node, stream_id, watched) as fan:
        await say(ann, stream_id, LONG.strip())
        await fan.sees(LONG.strip())

    assert watched.compressed == []


async def test_it_can_be_turned_off(database_url, redis_url):
    async with (
        running_node(database_url, redis_url, compresses=False) as node,
        connect(f"{node.ws_url}/connection/websocket", compression="deflate") as ws,
    ):
        assert "Sec-WebSocket-Extensions" not in ws.response.headers


async def test_a_client_may_compress_what_it_sends(node):
    async with connect(f"{node.ws_url}/connection/websocket", compression="deflate") as ws:
        await ws.send(json.dumps({"id": 1, "connect": {"name": "compressed " * 100}}))
        reply = json.loads(await ws.recv())
        await ws.send(json.dumps({"id": 2, "rpc": {"method": "auth.whoami", "data": {}}}))
        second = json.loads(await ws.recv())

    assert "client" in reply["connect"]
    assert "data" in second["rpc"]


async def test_a_message_that_grows_beyond_the_limit_ends_the_connection(node):
    async with connect(f"{node.ws_url}/connection/websocket", compression="deflate") as ws:
        await ws.send(" " * (MAX_MESSAGE_BYTES * 20))
        async with asyncio.timeout(10):
            await ws.wait_closed()

    assert ws.close_code == 1009


async def test_the_official_client_reads_a_busy_room(node, stream_id):
    """It offers compression by itself."""
    async with speaker(node) as ann, Fan(node.ws_url) as fan:
        room: Room = await fan.enter(names.stream_chat(stream_id))
        texts = [f"{LONG}{n}" for n in range(20)]
        for text in texts:
            await say(ann, stream_id, text)
        await until(lambda: len(room.texts) == 20)

    assert texts == room.texts
