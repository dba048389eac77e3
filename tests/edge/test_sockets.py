"""Sockets that come to an odd end, on the event loop that serves in production."""

import asyncio
import gc
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from csn_rt.core.session import Session
from csn_rt.edge import frame_protocol
from csn_rt.edge.frame_protocol import FrameProtocol
from csn_rt.edge.operations import Operation
from csn_rt.edge.outlet import Outlet
from csn_rt.edge.schedule import Schedule
from csn_rt.edge.ws import Connection, now
from csn_rt.wire import json_codec, names
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.dialect import dialect
from tests.edge.test_ws import fill, quiet
from tests.support.fans import until
from tests.support.nodes import RunningNode

__all__ = ["quiet"]

ON_UVLOOP = True
TEXT, CLOSE, PING, PONG, CONTINUATION = 0x81, 0x88, 0x89, 0x8A, 0x80


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero, so that the payload can be read."""
    size = len(payload)
    head = struct.pack("!BB", first, 0x80 | size) if size < 126 else struct.pack("!BBH", first, 0xFE, size)
    return head + bytes(4) + payload


def command(**fields: Any) -> bytes:
    return masked(TEXT, json.dumps(fields).encode())


class Client:
    """A TCP connection after the handshake."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""

    async def send(self, *frames: bytes) -> None:
        """All in one segment."""
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(frames))

    async def wait_for(self, text: bytes) -> None:
        async with asyncio.timeout(10):
            while text not in self.received:
                data = await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
                assert data, self.received
                self.received += data

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@asynccontextmanager
async def raw_client(node: RunningNode) -> AsyncIterator[Client]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", int(node.url.rpartition(":")[2])))
        client = Client(sock)
        await client.send(
            b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        await client.wait_for(b"\r\n\r\n")
        yield client


def connections() -> list[Connection]:
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is Connection]


async def stalled(client: Client, node: RunningNode, stream_id: str, db: Any) -> FrameProtocol:
    """The client subscribes, and reads nothing until the server can write no more."""
    channel = names.stream_chat(stream_id)
    await client.send(command(id=1, connect={}), command(id=2, subscribe={"channel": channel}))
    await client.wait_for(b'"id":2')
    await fill(db, stream_id, node, 2_000)
    (connection,) = [each for each in node.app.node.sockets if not each.is_writable]
    assert isinstance(connection, Connection)
    assert isinstance(connection.writer, Outlet)
    assert isinstance(connection.writer._owner, FrameProtocol)
    return connection.writer._owner


async def test_a_failure_in_a_socket_ends_that_socket_alone(node, monkeypatch):
    async with raw_client(node) as client, raw_client(node) as other:
        monkeypatch.setattr(Session, "receive", lambda *_: 1 / 0)
        await client.send(command(id=1, connect={}))
        await until(lambda: len(node.app.node.sockets) == 1)
        monkeypatch.undo()
        await other.send(command(id=1, connect={}))
        await other.wait_for(b'"id":1')


@pytest.mark.parametrize("is_reset", [False, True])
async def test_of_a_socket_that_is_gone_nothing_is_kept(node, is_reset):
    for _ in range(3):
        async with raw_client(node) as client:
            await client.send(command(id=1))  # ends before it is scheduled
        async with raw_client(node) as client:
            await client.send(command(id=1, connect={}), command(id=2, subscribe={"channel": names.CATALOG}))
            await client.wait_for(b'"id":2')
            if is_reset:
                client.reset()
    await until(lambda: not node.app.node.sockets)
    await asyncio.sleep(0.05)
    assert list(node.app.node.schedule.due(now() + 60.0)) == []

    assert connections() == []


@pytest.mark.usefixtures("quiet")
async def test_commands_before_a_reset_are_answered_to_nobody(node):
    for _ in range(5):
        async with raw_client(node) as client:
            calls = [command(id=n, rpc={"method": "auth.whoami"}) for n in range(2, 60)]
            await client.send(command(id=1, connect={}), *calls)
            client.reset()
    await until(lambda: not node.app.node.sockets)
    await asyncio.sleep(0.05)


@pytest.mark.usefixtures("quiet")
async def test_broken_text_before_a_close_is_no_error_of_ours(node):
    async with raw_client(node) as client:
        await client.send(masked(TEXT, b"\xff\xfe"), masked(CLOSE, struct.pack("!H", 1000)))
        await until(lambda: not node.app.node.sockets)


@pytest.mark.usefixtures("quiet")
async def test_a_message_in_pieces_with_a_ping_between_them_is_one_message(node):
    async with raw_client(node) as client:
        await client.send(
            masked(0x01, b'{"id":1,'),
            masked(PING, b"are you there"),
            masked(0x00, b'"connect"'),
            masked(CONTINUATION, b":{}}"),
        )
        await client.wait_for(b'"id":1')

    assert bytes([PONG, 13]) + b"are you there" in client.received


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("say", ["close", "end of file", "nothing"])
async def test_who_goes_without_reading_what_waits_for_him_is_dropped(node, stream_id, db, monkeypatch, say):
    monkeypatch.setattr(frame_protocol, "CLOSE_TIMEOUT_S", 0.2)
    async with raw_client(node) as client:
        protocol = await stalled(client, node, stream_id, db)
        monkeypatch.setattr("csn_rt.edge.node.WRITE_TIMEOUT_S", 0.5)
        if say == "close":
            await client.send(masked(CLOSE, struct.pack("!H", 1000)))
        elif say == "end of file":
            client.sock.shutdown(socket.SHUT_WR)
        await until(lambda: protocol.disconnected)
        await until(lambda: not node.app.node.sockets)


@pytest.mark.usefixtures("quiet")
async def test_a_flood_of_pings_by_a_peer_that_never_reads_is_not_answered_for_ever(node, monkeypatch):
    monkeypatch.setattr("csn_rt.edge.node.MAX_UNSENT_BYTES", 100_000)
    flood = masked(PING, b"x" * 125) * 1_000
    async with raw_client(node) as client:
        await client.send(command(id=1, connect={}))
        await client.wait_for(b'"id":1')
        sent = 0
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            while sent < 400_000_000:
                await client.send(flood)
                sent += len(flood)
                await asyncio.sleep(0)
        await until(lambda: not node.app.node.sockets)


class Trickle:
    """A socket's way out that holds a lot back."""

    is_writable = False
    unsent_bytes = 50_000

    def __init__(self) -> None:
        self.on_writable = lambda: None


def test_a_socket_that_takes_a_little_now_and_then_is_not_stalled():
    trickle = Trickle()
    node: Any = SimpleNamespace(door=None, schedule=Schedule())
    session = Session(json_codec, client_id="c", first_ping_s=20.0, now=0.0)
    connection = Connection(node, session, dialect(json_codec), trickle, ip="", user_agent="")
    seen = []
    for second in range(40):
        if second % 8 == 0 and second < 24:
            trickle.unsent_bytes -= 1_000
        seen.append(connection.stalled_s(float(second)))

    assert max(seen[:24]) == 7.0
    assert seen[39] == 23.0


@pytest.mark.usefixtures("quiet")
async def test_a_server_ends_while_somebody_goes_without_reading(node, stream_id, db):
    async with raw_client(node) as client:
        protocol = await stalled(client, node, stream_id, db)
        await client.send(masked(CLOSE, struct.pack("!H", 1000)))
        await until(lambda: not node.app.node.sockets)
        protocol.shutdown()
        protocol.abort()


class Operations:
    """Operations that take a while, and when each began and ended."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def call(self, operation: Operation, _caller: Any, _raw: bytes) -> bytes:
        self.seen.append(f"{operation.name} begins")
        await asyncio.sleep(0.05)
        self.seen.append(f"{operation.name} ends")
        return b"{}"


@pytest.fixture
def operations(node, monkeypatch) -> Operations:
    operations = Operations()
    monkeypatch.setattr(node.app.node.dispatcher, "call", operations.call)
    return operations


async def test_rule_2_mutations_wait_for_each_other_and_queries_for_nobody(node, operations):
    async with raw_client(node) as client:
        methods = enumerate(("chat.send", "chat.retract", "auth.whoami"), start=2)
        await client.send(
            command(id=1, connect={}), *[command(id=n, rpc={"method": method}) for n, method in methods]
        )
        await client.wait_for(b'"id":3')
        mutations = [each for each in operations.seen if each.startswith("chat.")]

    assert mutations == ["chat.send begins", "chat.send ends", "chat.retract begins", "chat.retract ends"]
    assert operations.seen.index("auth.whoami begins") < operations.seen.index("chat.send ends")


async def test_rule_3_what_has_begun_is_finished_when_the_socket_is_gone(node, operations):
    async with raw_client(node) as client:
        await client.send(command(id=1, connect={}), command(id=2, rpc={"method": "chat.send"}))
        await until(lambda: operations.seen)
        client.reset()
    await until(lambda: not node.app.node.sockets)
    had_ended = "chat.send ends" in operations.seen
    await asyncio.sleep(0.1)

    assert not had_ended
    assert operations.seen == ["chat.send begins", "chat.send ends"]


async def test_rule_4_who_does_not_read_is_not_read_either(node, stream_id, db, operations):
    async with raw_client(node) as client:
        await stalled(client, node, stream_id, db)
        for n in range(3, 7):
            await client.send(command(id=n, rpc={"method": "auth.whoami"}))
            await asyncio.sleep(0.03)

    assert operations.seen.count("auth.whoami begins") == 1


async def test_a_drain_is_spread_over_its_time(node):
    class Leaver:
        is_writable = True

        def disconnect(self, code: CloseCode) -> None:
            assert code is CloseCode.SHUTDOWN
            leaving.append(asyncio.get_running_loop().time())

    leaving: list[float] = []
    leavers = {Leaver() for _ in range(4)}
    node.app.node.sockets |= leavers
    await node.app.node.drain(0.2)
    node.app.node.sockets -= leavers

    assert len(leaving) == 4
    assert 0.14 <= leaving[-1] - leaving[0] < 2.0
