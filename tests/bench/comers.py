"""Many sockets that come, stay, go and come back, in a process of their own.

They cost little: a protocol each, one message for connect and all subscribes as the SDK for JavaScript sends
it, and a pong for every ping. Nothing else is looked at.
"""

import asyncio
import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from csn_rt.wire import names
from tests.support.nodes import token

AT_ONCE = 64
START_S = 60.0
READY_S = 30.0
COME_S = 90.0
PING, PONG = b"\x81\x02{}", b"\x81\x82\0\0\0\0{}"
HANDSHAKE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
)
POSITION = re.compile(rb'"recoverable":true,"epoch":"([^"]+)"')
OFFSET = re.compile(rb'"offset":(\d+)')


class Come(msgspec.Struct, tag=True, frozen=True):
    """Connect these, all of them, `AT_ONCE` at a time, and subscribe to `channels` and to oneself."""

    first: int
    count: int
    channels: list[str]
    with_token: bool = True
    recovers: bool = False


class Go(msgspec.Struct, tag=True, frozen=True):
    """Close every socket at once."""


class Came(msgspec.Struct, frozen=True):
    took_s: float
    recovered: int
    refused: int
    """Replies that are errors."""


class Comer(asyncio.Protocol):
    """One socket; pushes that carry an offset are of the first channel only."""

    def __init__(self, commands: bytes, replies: int) -> None:
        self.is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.first = b""
        """What came until every command was answered."""
        self._commands = commands
        self._replies = replies
        self._is_open = False
        self._newest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if PING in data:
            self.transport.write(PONG)
        if self.is_ready.done():
            if b'"offset":' in data:
                self._newest = data
            return
        self.first += data
        if not self._is_open and b"\r\n\r\n" in self.first:
            self._is_open = True
            self.transport.write(_masked(self._commands))
        if self._is_open and self.first.count(b'{"id":') >= self._replies:
            self.is_ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_ready.done():
            self.is_ready.set_exception(ConnectionResetError(f"{exc}: {self.first[-200:]!r}"))

    def position(self) -> tuple[str, int]:
        """Where the first channel stands."""
        found = POSITION.search(self.first)
        offsets = OFFSET.findall(self._newest) or OFFSET.findall(self.first)
        return (found[1].decode(), int(offsets[-1])) if found and offsets else ("", 0)


class Comers:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        if not pipe.poll(START_S):
            raise TimeoutError("nobody is ready to come")
        pipe.recv_bytes()

    async def come(self, come: Come) -> Came:
        return msgspec.msgpack.decode(await self._ask(come), type=Came)

    async def go(self) -> None:
        await self._ask(Go())

    async def _ask(self, ask: Come | Go) -> bytes:
        self._pipe.send_bytes(msgspec.msgpack.encode(ask))
        async with asyncio.timeout(COME_S):
            while not self._pipe.poll():
                await asyncio.sleep(0.01)
        return self._pipe.recv_bytes()


@contextmanager
def comers(ws_url: str) -> Iterator[Comers]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(ws_url, there))
    process.start()
    try:
        yield Comers(here)
    finally:
        process.terminate()
        process.join()


def _run(ws_url: str, pipe: Connection) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(ws_url, pipe))


async def _serve(ws_url: str, pipe: Connection) -> None:
    here: dict[int, Comer] = {}
    tokens: dict[int, str] = {}
    pipe.send_bytes(b"")
    while True:
        while not pipe.poll():
            await asyncio.sleep(0.005)
        match msgspec.msgpack.decode(pipe.recv_bytes(), type=Come | Go):
            case Go():
                for comer in here.values():
                    comer.transport.abort()
                pipe.send_bytes(b"")
            case Come() as ask:
                pipe.send_bytes(msgspec.msgpack.encode(await _come(ws_url, ask, here, tokens)))


async def _come(ws_url: str, ask: Come, here: dict[int, Comer], tokens: dict[int, str]) -> Came:
    address = urlsplit(ws_url)
    everyone = range(ask.first, ask.first + ask.count)
    todo = []
    for n in everyone:
        if ask.with_token and n not in tokens:
            tokens[n] = token(f"comer{n}")
        recover = here[n].position() if ask.recovers else None
        channels = [*ask.channels, names.user(f"comer{n}")] if ask.with_token else ask.channels
        commands = _commands(tokens[n] if ask.with_token else "", channels, recover)
        todo.append((n, partial(Comer, commands, 1 + len(channels))))
    todo.reverse()
    loop = asyncio.get_running_loop()

    async def work() -> None:
        while todo:
            n, make = todo.pop()
            _, comer = await loop.create_connection(make, address.hostname, address.port)
            here[n] = comer
            async with asyncio.timeout(READY_S):
                await comer.is_ready

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    took_s = time.perf_counter() - started
    replies = [here[n].first for n in everyone]
    return Came(
        took_s,
        sum(b'"recovered":true' in each for each in replies),
        sum(each.count(b'"error"') for each in replies),
    )


def _commands(token: str, channels: Sequence[str], recover: tuple[str, int] | None) -> bytes:
    """All in one message; the first channel is the one to recover."""
    commands: list[dict[str, object]] = [
        {"id": 1, "connect": {"token": token, "name": "js"} if token else {}}
    ]
    for n, channel in enumerate(channels):
        subscribe: dict[str, object] = {"channel": channel, "flag": 1}
        if recover is not None and n == 0:
            subscribe |= {"recover": True, "epoch": recover[0], "offset": recover[1]}
        commands.append({"id": n + 2, "subscribe": subscribe})
    return b"\n".join(map(msgspec.json.encode, commands))


def _masked(payload: bytes) -> bytes:
    """A text frame; its mask is zero."""
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload
