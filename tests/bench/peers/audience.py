"""Sockets, brought into a room one by one and then read by one process that does nothing else."""

import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from tests.bench.peers.process import LineProcess

HERE = Path(__file__).parent
TIMEOUT_S = 10.0


class Manners(Struct, frozen=True, kw_only=True):
    """How one comes into the room of a server."""

    path: str | None
    """Of the WebSocket; None where there is no handshake."""
    greetings: Sequence[tuple[str, str]] = ()
    """What is said, if anything, and by what the answer is known."""


class Audience:
    def __init__(self, drain: LineProcess) -> None:
        self._drain = drain

    async def has_read(self, messages: int) -> int:
        """Wait until so many messages have come since the start, over all sockets; answers in how many
        frames."""
        came, frames = map(int, (await self._drain.ask(f"wait {messages}")).split())
        assert came == messages
        return frames


@asynccontextmanager
async def audience(
    port: int, manners: Manners, size: int, reader: Sequence[str], log_path: Path
) -> AsyncIterator[Audience]:
    async with AsyncExitStack() as stack:
        with ExitStack() as sockets:
            fds = [sockets.enter_context(_enter(port, manners)).fileno() for _ in range(size)]
            drain = LineProcess([*reader, *map(str, fds)], log_path, pass_fds=fds)
            await stack.enter_async_context(drain)
        yield Audience(drain)


def compiled(name: str, directory: Path) -> Path | None:
    """The C program of that name; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = directory / name
    subprocess.run([compiler, "-O2", "-o", program, HERE / f"{name}.c"], check=True, timeout=60)
    return program


def reader(directory: Path) -> list[str]:
    """The command of the process that reads."""
    program = compiled("drain", directory)
    return [sys.executable, str(HERE / "drain.py")] if program is None else [str(program)]


def _enter(port: int, manners: Manners) -> socket.socket:
    entering = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    if manners.path is not None:
        key = base64.b64encode(os.urandom(16)).decode()
        entering.sendall(
            f"GET {manners.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _receive(entering, 1)
    for said, answered in manners.greetings:
        if said:
            entering.sendall(_masked(said.encode()))
        while answered.encode() not in _receive_frame(entering):
            pass
    return entering


def _receive_frame(entering: socket.socket) -> bytes:
    size = _receive(entering, 2)[1]
    if size >= 126:
        size = int.from_bytes(_receive(entering, 2 if size == 126 else 8), "big")
    return _receive(entering, size)


def _receive(entering: socket.socket, size: int) -> bytes:
    """Exactly so many bytes: what comes after them is for the one who reads later."""
    received = b""
    while len(received) < size:
        piece = entering.recv(size - len(received))
        if not piece:
            raise ConnectionResetError(f"closed after {received!r}")
        received += piece
    return received


def _masked(payload: bytes) -> bytes:
    """A client's text frame; a mask of zeros leaves the text as it is."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + payload
