"""What one writes first: every socket in a set, and a loop that sends to each."""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.bench.peers.orders import serve

TEXT = sys.argv[1]
sockets: set[WebSocket] = set()


async def enter(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        sockets.discard(socket)


async def broadcast(messages: int) -> None:
    for _ in range(messages):
        for socket in sockets:
            await socket.send_text(TEXT)
        await asyncio.sleep(0)  # the loop writes; otherwise it would put two messages into one write


serve(Starlette(routes=[WebSocketRoute("/", enter)]), {"broadcast": broadcast})
