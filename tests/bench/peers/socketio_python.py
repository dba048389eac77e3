"""python-socketio: one room, `emit` to it."""

import json
import sys
from typing import Any

import socketio

from tests.bench.peers.orders import Written, serve

DATA = json.loads(sys.argv[1])
server = socketio.AsyncServer(async_mode="asgi", ping_interval=3_600)
app = Written(socketio.ASGIApp(server))
sids: set[str] = set()


@server.event
async def connect(sid: str, _environ: Any) -> None:
    await server.enter_room(sid, "room")
    sids.add(sid)


async def broadcast(messages: int) -> None:
    for _ in range(messages):
        app.expect(len(sids))
        await server.emit("message", DATA, room="room")
        await app.wait()


serve(app, {"broadcast": broadcast})
