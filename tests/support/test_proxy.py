"""The proxy's faults are the ones that it says, and nothing more."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy


class EchoServer:
    def __init__(self) -> None:
        self.connections = 0
        self._server: asyncio.Server

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._echo, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        self.connections -= 1


@pytest.fixture
async def echo() -> AsyncIterator[tuple[EchoServer, Proxy]]:
    server = EchoServer()
    port = await server.start()
    async with Proxy(f"redis://127.0.0.1:{port}/0") as proxy:
        yield server, proxy
    await server.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2].partition("/")[0]))


async def until(is_so) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_the_server_hears_at_once_that_a_client_was_reset(echo):
    server, proxy = echo
    reader, writer = await connect(proxy)
    writer.write(b"hello")
    await reader.readexactly(5)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await until(lambda: server.connections == 0)
    await until(lambda: proxy.connections == 0)

    assert 0 == server.connections


async def test_a_client_hears_that_the_server_has_ended(echo):
    _, proxy = echo
    reader, writer = await connect(proxy)
    writer.write_eof()

    assert b"" == await asyncio.wait_for(reader.read(), 5)

    writer.close()


async def test_what_is_slow_comes_later_and_does_not_become_less(echo):
    """Thirty pieces, 0.1 s each way: one after another they would take three seconds and more."""
    _, proxy = echo
    reader, writer = await connect(proxy)
    async with proxy.slow(0.1), asyncio.timeout(2.5):
        started = asyncio.get_running_loop().time()
        for n in range(30):
            writer.write(b"%02d" % n)
            await writer.drain()
            await asyncio.sleep(0.005)
        answer = await reader.readexactly(60)
        took_s = asyncio.get_running_loop().time() - started
    writer.close()

    assert b"".join(b"%02d" % n for n in range(30)) == answer
    assert took_s >= 0.2


async def test_a_stalled_connection_goes_on_where_it_was(echo):
    _, proxy = echo
    reader, writer = await connect(proxy)
    async with proxy.stall():
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)

    assert b"hello" == await asyncio.wait_for(reader.readexactly(5), 5)

    writer.close()
