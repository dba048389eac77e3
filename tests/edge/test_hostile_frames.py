"""Peers that say much without saying anything, or come in a way that no client does."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from csn_rt.edge.frame_protocol import EXTRA_FRAMES
from csn_rt.edge.server import Server, make_server
from csn_rt.edge.ws import Connection
from csn_rt.wire import names
from tests.edge.test_sockets import CLOSE, CONTINUATION, PING, PONG, TEXT, command, masked, raw_client
from tests.edge.test_ws import fill, quiet
from tests.support.fans import until

__all__ = ["quiet"]

ON_UVLOOP = True
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
START_OF_MESSAGE, PIECE = 0x01, 0x00


async def tiresome_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with a lot, and accepts every socket."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        size = 200_000
        headers = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.sleep(60)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Server, Any]]:
    async def no_drain() -> None: ...

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = make_server(tiresome_app, drain=no_drain)
        task = asyncio.create_task(server._serve([listening]))
        await until(lambda: server.started)
        yield server, listening.getsockname()
        server.should_exit = True
        await asyncio.wait_for(task, 15)


@contextmanager
def client(address: Any) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect(address)
        sock.setblocking(False)
        yield sock


async def test_who_upgrades_over_an_answer_that_was_not_read_is_dropped():
    async with serving() as (server, address):
        with client(address) as sock:
            await until(lambda: server.server_state.connections)
            (http,) = server.server_state.connections
            while not http.transport.get_write_buffer_size():
                sock.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(0.01)
            sock.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.05)
            sock.send(UPGRADE % b"")
            await until(lambda: not server.server_state.connections)
        await until(lambda: not server.server_state.tasks)


async def test_a_header_that_is_too_long_is_answered_and_the_server_ends_well():
    async with serving() as (server, address):
        with client(address) as sock:
            sock.send(UPGRADE % (b"Cookie: " + b"a" * 9_000 + b"\r\n"))
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 100), 5)
            await until(lambda: not server.server_state.connections)

    assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", [PING, PONG, PIECE])
async def test_a_flood_of_frames_that_are_no_messages_ends_the_connection(node, kind):
    async with raw_client(node) as fan:
        await fan.send(command(id=1, connect={}))
        await fan.wait_for(b'"id":1')
        if kind == PIECE:
            await fan.send(masked(START_OF_MESSAGE, b""))
        await fan.send(masked(kind, b"") * (EXTRA_FRAMES.burst + 1_000))
        await until(lambda: not node.app.node.sockets)


async def test_as_many_pings_as_a_library_sends_are_answered(node):
    async with raw_client(node) as fan:
        await fan.send(command(id=1, connect={}))
        for n in range(20):
            await fan.send(masked(PING, b"%d" % n))
        await fan.wait_for(b"19")
        await fan.send(command(id=2, rpc={"method": "auth.whoami"}))
        await fan.wait_for(b'"id":2')


@pytest.mark.usefixtures("quiet")
async def test_bad_text_and_a_close_in_one_segment_end_the_connection_quietly(node):
    async with raw_client(node) as fan:
        await fan.send(masked(TEXT, b"\xff") + masked(CLOSE, struct.pack("!H", 1000)))
        await until(lambda: not node.app.node.sockets)


async def test_a_message_in_pieces_is_taken_however_small_the_slices_are(node):
    text = json.dumps({"id": 1, "connect": {"name": "x" * 20_000}}).encode()
    async with raw_client(node) as fan:
        pieces = [text[start : start + 1_000] for start in range(0, len(text), 1_000)]
        frames = [masked(START_OF_MESSAGE, pieces[0])]
        frames += [masked(PIECE, piece) for piece in pieces[1:-1]]
        await fan.send(*frames, masked(CONTINUATION, pieces[-1]))
        await fan.wait_for(b'"id":1')


async def test_many_pages_of_history_wait_until_they_are_read(node, stream_id, db):
    channel = names.stream_chat(stream_id)
    await fill(db, stream_id, node, 300)
    most = 0
    async with raw_client(node) as fan:
        asked = [command(id=n, history={"channel": channel, "limit": 300}) for n in range(2, 66)]
        await fan.send(command(id=1, connect={}), *asked)
        for _ in range(100):
            await asyncio.sleep(0.02)
            for each in node.app.node.sockets:
                assert isinstance(each, Connection)
                most = max(most, each.unsent_bytes)

    assert 0 < most < 1_200_000
