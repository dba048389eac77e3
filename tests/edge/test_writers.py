"""Frames through `send` of any ASGI server: in order, within bounds, and never for ever."""

import asyncio
import json
from typing import Any

import pytest

from csn_rt.edge import writers
from csn_rt.edge.endpoint import PATH, WebSocketEndpoint
from csn_rt.edge.writers import HIGH_WATER_FRAMES, MAX_FRAMES, AsgiWriter
from csn_rt.wire import names
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import Frame
from tests.support.fans import until


class Server:
    """The `send` of a server whose socket takes as many messages as the test lets it."""

    def __init__(self, takes: int = 10_000) -> None:
        self.sent: list[dict[str, Any]] = []
        self.room = asyncio.Semaphore(takes)
        self.is_gone = False

    async def send(self, message: Any) -> None:
        if self.is_gone:
            raise OSError
        await self.room.acquire()
        self.sent.append(dict(message))

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]


def frame(n: int) -> Frame:
    return Frame(b"%d" % n)


async def test_frames_leave_in_order_and_the_close_last():
    server = Server()
    async with asyncio.timeout(None) as reading:
        writer = AsgiWriter(server.send, reading)
        for n in range(5):
            writer.write(frame(n))
        writer.close(CloseCode.SHUTDOWN, "shutdown")
        writer.write(frame(5))
        await asyncio.sleep(0.01)

    assert server.texts == ["0", "1", "2", "3", "4"]
    assert server.sent[-1] == {"type": "websocket.close", "code": 3001, "reason": "shutdown"}
    assert not writer.is_writable


async def test_a_full_socket_is_told_when_it_is_half_empty():
    server = Server(takes=0)
    writer = AsgiWriter(server.send, asyncio.timeout(None))
    told: list[int] = []
    writer.on_writable = lambda: told.append(len(server.sent))
    for n in range(HIGH_WATER_FRAMES):
        writer.write(frame(n))
    was_writable = writer.is_writable
    for _ in range(HIGH_WATER_FRAMES):
        server.room.release()
    await asyncio.sleep(0.01)

    assert not was_writable
    assert writer.is_writable
    assert told == [HIGH_WATER_FRAMES // 2 + 1]


async def test_of_what_a_full_socket_does_not_take_nothing_is_kept():
    server = Server(takes=0)
    writer = AsgiWriter(server.send, asyncio.timeout(None))
    taken = [writer.offer(frame(n)) for n in range(HIGH_WATER_FRAMES + 2)]
    for _ in taken:
        server.room.release()
    await asyncio.sleep(0.01)

    assert taken == [True] * HIGH_WATER_FRAMES + [False] * 2
    assert len(server.texts) == HIGH_WATER_FRAMES


async def test_what_waits_is_bounded():
    server = Server(takes=0)
    writer = AsgiWriter(server.send, asyncio.timeout(None))
    for n in range(MAX_FRAMES + 100):
        writer.write(frame(n))

    assert len(writer._frames) == MAX_FRAMES


async def test_the_owner_of_a_full_socket_hears_that_it_is_gone():
    server = Server()
    writer = AsgiWriter(server.send, asyncio.timeout(None))
    told: list[bool] = []
    writer.on_writable = lambda: told.append(writer.is_writable)
    server.is_gone = True
    for n in range(HIGH_WATER_FRAMES):
        writer.write(frame(n))
    await asyncio.sleep(0.01)

    assert told == [False]


async def test_a_close_that_is_not_taken_ends_the_reading_all_the_same(monkeypatch):
    monkeypatch.setattr(writers, "CLOSE_TIMEOUT_S", 0.05)
    server = Server(takes=0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as reading:
            writer = AsgiWriter(server.send, reading)
            writer.write(frame(1))
            writer.close(CloseCode.SLOW, "slow")
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    assert reading.expired()


async def test_a_socket_that_takes_nothing_is_given_up_under_any_server(node, monkeypatch):
    """The server stands still: it neither sends nor says that the socket is gone."""
    monkeypatch.setattr(writers, "CLOSE_TIMEOUT_S", 0.05)
    server = Server(takes=1)
    commands = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": names.CATALOG}}]
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "websocket.connect"})
    for command in commands:
        messages.put_nowait({"type": "websocket.receive", "text": json.dumps(command)})
    scope = {"type": "websocket", "path": PATH, "headers": [], "subprotocols": [], "extensions": {}}
    carried = asyncio.create_task(WebSocketEndpoint(node.app.node, ())(scope, messages.get, server.send))
    await until(lambda: node.app.node.topics.subscriptions == 1)
    for socket in list(node.app.node.sockets):
        socket.disconnect(CloseCode.SLOW)
    async with asyncio.timeout(5):
        await carried

    assert [message["type"] for message in server.sent] == ["websocket.accept"]
    assert node.app.node.sockets == set()
