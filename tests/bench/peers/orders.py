"""How a server that is measured is told what to do: lines on stdin, each answered with a line on stdout.

`cpu` asks for the CPU seconds that the process has used; everything else is `<what> <how many>` and is
answered when it is done. The end of stdin is the end. The first line written is the port.
"""

import asyncio
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvicorn
import uvloop

WRITE_S = 20.0
"""For one message to all, and much more than it takes."""

Order = Callable[[int], Awaitable[None]]


async def obey(port: int, orders: Mapping[str, Order]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print(port, flush=True)
    while words := (await reader.readline()).split():
        if words[0] == b"cpu":
            print(cpu_s(), flush=True)
        else:
            await orders[words[0].decode()](int(words[1]))
            print("done", flush=True)


def serve(app: Any, orders: Mapping[str, Order]) -> None:
    """Run an ASGI application as it is usually run, but without access log and pings."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, orders))


async def _serve(app: Any, orders: Mapping[str, Order]) -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", access_log=False, ws_ping_interval=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listening]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    await obey(listening.getsockname()[1], orders)
    server.should_exit = True
    await serving


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Written:
    """Counts what an application sends, where a broadcast only hands it to other tasks."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._left = 0
        self._all = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            await send(message)
            if message["type"] == "websocket.send" and self._left:
                self._left -= 1
                if not self._left:
                    self._all.set()

        await self._app(scope, receive, counted)

    def expect(self, frames: int) -> None:
        self._left = frames
        self._all.clear()

    async def wait(self) -> None:
        async with asyncio.timeout(WRITE_S):
            await self._all.wait()
