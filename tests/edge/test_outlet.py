"""The way out of a socket: every byte once and in order, whatever the system takes at once."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from csn_rt.edge import outlet as outlet_module
from csn_rt.edge.outlet import Outlet
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import Frame

ON_UVLOOP = True
PIECE = 100_000


class Near(asyncio.Protocol):
    """Our side of a connection, wired to its outlet as the server's protocol is."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.pauses = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        self.outlet = Outlet(transport, self)

    def pause_writing(self) -> None:
        self.pauses += 1
        self.outlet.paused()

    def resume_writing(self) -> None:
        self.outlet.resumed()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.outlet.shut()
        self.lost.set()

    def close(self, _code: CloseCode, _reason: str) -> None:
        self.outlet.shut()
        self.transport.write(b"closed")

    def abort(self) -> None:
        self.transport.abort()


@asynccontextmanager
async def connected(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Near, asyncio.StreamReader]]:
    """Our side, and the other side as a stream that has little room."""
    nears: list[Near] = []

    def make() -> Near:
        nears.append(Near())
        return nears[0]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
    far = socket.socket()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    far.connect(server.sockets[0].getsockname())
    trusting = ssl._create_unverified_context() if tls else None
    reader, writer = await asyncio.open_connection(
        sock=far, ssl=trusting, server_hostname="x" if tls else None
    )
    async with asyncio.timeout(10):
        while not (nears and hasattr(nears[0], "outlet")):
            await asyncio.sleep(0.01)
    try:
        yield nears[0], reader
    finally:
        writer.transport.abort()
        server.close()
        await asyncio.wait_for(nears[0].lost.wait(), 10)


def frames(count: int) -> list[Frame]:
    return [Frame(bytes([n]) * (n * 997 % PIECE)) for n in range(count)]


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(20):
        return await reader.readexactly(size)


def count_straight_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    straight: list[int] = []

    def counted(descriptor: int, data: bytes) -> int:
        sent = os_write(descriptor, data)
        straight.append(sent)
        return sent

    os_write = os.write
    monkeypatch.setattr(outlet_module.os, "write", counted)
    return straight


async def test_what_the_system_takes_in_part_arrives_whole_and_in_order(monkeypatch):
    straight = count_straight_writes(monkeypatch)
    sent = frames(100)
    expected = b"".join(frame.wire for frame in sent)
    async with connected() as (near, reader):
        for frame in sent:
            near.outlet.write(frame)
        received = await read(reader, len(expected))
        is_partial = straight[-1] < len(expected)
        async with asyncio.timeout(10):
            while not near.outlet.is_writable:
                await asyncio.sleep(0.01)
        near.outlet.write(Frame(b"again"))
        again = await read(reader, len(Frame(b"again").wire))

    assert received == expected
    assert is_partial
    assert near.pauses
    assert again == Frame(b"again").wire


async def test_rule_1_a_transport_that_holds_something_back_is_not_overtaken():
    """Also in the moment in which the system has room again and the loop has not noticed."""
    async with connected() as (near, reader):
        far = reader._transport.get_extra_info("socket").fileno()
        while not near.transport.get_write_buffer_size():
            near.transport.write(b"x" * 999)
        received = b""
        while near.transport.get_write_buffer_size() and len(received) < 100_000:
            try:
                received += os.read(far, 65_536)
            except BlockingIOError:
                break
        near.outlet.write(Frame(b"last"))
        near.transport.write_eof()
        async with asyncio.timeout(10):
            received += await reader.read()

    assert received.startswith(b"x" * 999)
    assert received.endswith(b"x" + Frame(b"last").wire)
    assert received.count(b"last") == 1


async def test_rule_1_who_is_told_that_it_may_write_again_may():
    told: list[bool] = []
    async with connected() as (near, reader):
        near.outlet.on_writable = lambda: told.append(near.outlet.is_writable)
        size = 0
        while near.outlet.is_writable:
            near.outlet.write(Frame(b"x" * 9_000))
            size += len(Frame(b"x" * 9_000).wire)
        await read(reader, size)
        await asyncio.sleep(0.05)

    assert told == [True]


async def test_of_what_a_full_socket_does_not_take_nothing_is_written():
    frame, size = Frame(b"x" * 9_000), 0
    async with connected() as (near, reader):
        while near.outlet.offer(frame):
            size += len(frame.wire)
        received = await read(reader, size)
        near.transport.write_eof()
        async with asyncio.timeout(10):
            rest = await reader.read()

    assert len(received) == size
    assert rest == b""


async def test_rule_2_a_broken_connection_is_told_by_the_transport():
    async with connected() as (near, reader):
        far = reader._transport.get_extra_info("socket")
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        reader._transport.abort()
        async with asyncio.timeout(10):
            while not near.lost.is_set():
                near.outlet.write(Frame(b"anybody there?"))
                await asyncio.sleep(0)
        near.outlet.write(Frame(b"nobody"))

    assert not near.outlet.is_writable


async def test_rule_3_nothing_follows_a_close():
    async with connected() as (near, reader):
        near.outlet.write(Frame(b"first"))
        near.outlet.close(CloseCode.SHUTDOWN, "shutdown")
        near.outlet.write(Frame(b"late"))
        near.transport.write_eof()
        async with asyncio.timeout(10):
            received = await reader.read()

    assert received == Frame(b"first").wire + b"closed"


async def test_rule_3_a_descriptor_that_is_used_again_is_not_written_to():
    async with connected() as (near, _):
        descriptor = near.outlet._descriptor
        near.abort()
        await asyncio.wait_for(near.lost.wait(), 10)
        await asyncio.sleep(0.05)
        here, there = socket.socketpair()
        with here, there:
            if descriptor not in (here.fileno(), there.fileno()):  # the lowest free number is given out
                os.dup2(here.fileno(), descriptor)
            near.outlet.write(Frame(b"for somebody else"))
            for end in (here, there):
                end.setblocking(False)
                with pytest.raises(BlockingIOError):
                    end.recv(100)


async def test_rule_4_what_is_encrypted_goes_through_the_transport(tmp_path, monkeypatch):
    straight = count_straight_writes(monkeypatch)
    sent = frames(60)
    expected = b"".join(frame.wire for frame in sent)
    async with connected(make_tls(tmp_path)) as (near, reader):
        for frame in sent:
            near.outlet.write(frame)
        received = await read(reader, len(expected))

    assert received == expected
    assert straight == []


def make_tls(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "tls.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
