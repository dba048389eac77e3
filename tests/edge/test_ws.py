"""The socket itself: bytes that no SDK would send, sockets that are slow, and other servers under us."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import websockets
from websockets.asyncio.client import ClientConnection, connect

from csn_rt.app import open_app
from csn_rt.db import log
from csn_rt.db.log import Outgoing
from csn_rt.wire import names
from tests.support.fans import Fan, until
from tests.support.league import make_stream
from tests.support.nodes import SECRET, RunningNode, running_node, token

WAIT_S = 10.0


@asynccontextmanager
async def raw_socket(node: RunningNode, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"{node.ws_url}/connection/websocket", **options) as ws:
        yield ws


async def replies(ws: ClientConnection, count: int) -> list[dict]:
    """The next messages, however they are packed into frames."""
    messages: list[dict] = []
    async with asyncio.timeout(WAIT_S):
        while len(messages) < count:
            messages += [json.loads(line) for line in str(await ws.recv()).split("\n")]
    return messages


async def close_of(ws: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(WAIT_S):
        await ws.wait_closed()
    return ws.close_code, ws.close_reason


@pytest.fixture
def quiet(caplog, capsys) -> Iterator[None]:
    """Nothing may be logged as an error, by us or by the server under us."""
    yield
    records = [*caplog.get_records("call"), *caplog.records]
    assert [record for record in records if record.levelname in ("ERROR", "CRITICAL")] == []
    captured = capsys.readouterr()
    assert "error" not in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err


GARBAGE = (
    "",
    "no json",
    "[]",
    "7",
    "null",
    '{"id":null,"connect":{}}',
    '{"id":-1,"connect":{}}',
    '{"id":1,"connect":7}',
    '{"id":1,"connect":{}',
    '{"id":1,"connect":{"token":7}}',
    '{"connect":{}}',
    '{"id":1}',
    '{"id":1,"rpc":{"method":"auth.whoami"}}',
    "[" * 100_000,
    b"\x00\xff",
    '{"id":1,"connect":{}}\n{"id":2,"connect":{}}',
)


@pytest.mark.usefixtures("quiet")
async def test_what_is_not_the_protocol_ends_in_a_clean_close(node):
    closes = {}
    for garbage in GARBAGE:
        async with raw_socket(node) as ws:
            await ws.send(garbage)
            closes[garbage] = await close_of(ws)

    assert closes == dict.fromkeys(GARBAGE, (3501, "bad request"))


@pytest.mark.usefixtures("quiet")
async def test_broken_utf8_in_a_text_frame_is_a_clean_close(node):
    async with raw_socket(node) as ws:
        await ws.send(b"\xff\xfe", text=True)
        code, _ = await close_of(ws)

    assert code == 1007


@pytest.mark.usefixtures("quiet")
async def test_a_message_of_more_than_256_kib_is_refused(node):
    async with raw_socket(node) as ws:
        await ws.send("x" * 262_145)
        code, _ = await close_of(ws)

    assert code == 1009


async def test_commands_sent_together_are_answered_in_order_and_before_pushes(node, stream_id):
    chat = names.stream_chat(stream_id)
    commands = [
        {"id": 1, "connect": {"token": token("ann")}},
        {"id": 2, "subscribe": {"channel": chat}},
        {
            "id": 3,
            "rpc": {"method": "chat.send", "data": {"stream_id": stream_id, "text": "hi", "client_id": "c"}},
        },
    ]
    async with raw_socket(node) as ws:
        await ws.send("\n".join(map(json.dumps, commands)))
        answers = await replies(ws, 4)

    ids = [answer.get("id") for answer in answers]
    assert ids[0] == 1
    assert set(ids) == {1, 2, 3, None}
    pushed = next(answer["push"] for answer in answers if "push" in answer)
    assert ids.index(2) < ids.index(None)
    assert pushed["pub"]["data"]["text"] == "hi"


async def test_a_header_without_a_subprotocol_is_taken(node):
    """As centrifuge-python up to 0.6 sends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rpartition(":")[2]))
    writer.write(
        b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: \r\n\r\n"
    )
    status = await reader.readline()
    writer.close()

    assert b"101" in status


async def test_a_browser_of_another_site_is_turned_away(node):
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with raw_socket(node, origin="https://elsewhere.example"):
            pass

    assert refused.value.response.status_code == 403


async def test_a_draining_node_takes_no_sockets(node):
    await node.app.drain()
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with raw_socket(node):
            pass

    assert refused.value.response.status_code == 503


async def fill(db, stream_id: str, node: RunningNode, count: int, size: int = 4_000) -> None:
    """Tell many large events on the chat channel."""
    padding = "x" * size
    for start in range(0, count, 50):
        async with db.transaction() as connection:
            published = await log.append(
                connection,
                [
                    Outgoing(
                        names.stream_chat(stream_id),
                        b'{"type":"chat.message","text":"%d","x":"%b"}' % (n, padding.encode()),
                    )
                    for n in range(start, start + 50)
                ],
            )
        for event in published:
            node.app.node.topics.accept(event)
        await asyncio.sleep(0)


async def slow_client(node: RunningNode, stream_id: str) -> ClientConnection:
    """Subscribed, takes next to nothing into its buffers, and wants every byte of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", int(node.url.rpartition(":")[2])))
    ws = await connect(f"{node.ws_url}/connection/websocket", sock=sock, max_queue=1, compression=None)
    await ws.send('{"id":1,"connect":{}}')
    await replies(ws, 1)
    await ws.send(json.dumps({"id": 2, "subscribe": {"channel": names.stream_chat(stream_id)}}))
    await replies(ws, 1)
    return ws


async def test_a_slow_socket_catches_up_from_the_ring_without_a_hole(node, stream_id, db):
    ws = await slow_client(node, stream_id)
    await fill(db, stream_id, node, 200)
    pushes = await replies(ws, 200)
    await ws.close()

    offsets = [push["push"]["pub"]["offset"] for push in pushes]
    assert offsets == list(range(offsets[0], offsets[0] + 200))


async def test_a_socket_that_falls_off_the_ring_is_told_to_subscribe_again(node, stream_id, db):
    ws = await slow_client(node, stream_id)
    await fill(db, stream_id, node, 3_000)
    seen: list[dict] = []
    async with asyncio.timeout(WAIT_S):
        while not any("unsubscribe" in message.get("push", {}) for message in seen):
            seen += await replies(ws, 1)
    await ws.close()

    assert seen[-1]["push"]["unsubscribe"] == {"code": 2500, "reason": "insufficient state"}
    assert len(seen) < 2_000


async def test_a_slow_socket_delays_nobody(node, stream_id, db):
    ws = await slow_client(node, stream_id)
    async with Fan(node.ws_url) as fan:
        room = await fan.enter(names.stream_chat(stream_id))
        await fill(db, stream_id, node, 400)
        await until(lambda: len(room.offsets) == 400)
    await ws.close()

    assert room.offsets == list(range(room.offsets[0], room.offsets[0] + 400))


async def test_a_socket_that_takes_nothing_for_long_is_closed(node, stream_id, db, monkeypatch):
    monkeypatch.setattr("csn_rt.edge.node.WRITE_TIMEOUT_S", 0.5)
    ws = await slow_client(node, stream_id)
    before = len(node.app.node.sockets)
    await fill(db, stream_id, node, 3_000)
    await until(lambda: len(node.app.node.sockets) == before - 1)
    ws.transport.abort()


async def test_under_another_server_the_ordinary_send_does_the_same(database_url, redis_url, db):
    """uvicorn with its own WebSocket implementation stands for any ASGI server."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    stream_id = await make_stream(db)
    async with open_app(database_url=database_url, redis_url=redis_url, secret=SECRET, drain_s=0.0) as app:
        server = uvicorn.Server(uvicorn.Config(app.asgi, log_config=None))
        serving = asyncio.create_task(server._serve([listening]))
        await until(lambda: server.started)
        ws_url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        async with Fan(ws_url, token("ann")) as ann:
            room = await ann.enter(names.stream_chat(stream_id))
            await ann.call("chat.send", stream_id=stream_id, text="hello", client_id="c")
            await until(lambda: room.texts)
        bad = Fan(ws_url, "not.a.token")
        await bad.client.connect()
        await until(lambda: bad.disconnects)
        server.should_exit = True
        await serving

    assert room.texts == ["hello"]
    assert bad.disconnects[0].code == 3500


async def test_any_site_is_let_in_where_all_are_allowed(database_url, redis_url):
    async with (
        running_node(database_url, redis_url, allowed_origins=["*"]) as node,
        raw_socket(node, origin="https://elsewhere.example") as ws,
    ):
        await ws.send('{"id":1,"connect":{}}')
        (answer,) = await replies(ws, 1)

    assert answer["id"] == 1
