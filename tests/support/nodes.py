"""Nodes inside the test's own process: the real application under our real server, on a port of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from csn_rt.app import App, open_app
from csn_rt.edge.auth import issue_dev_token
from csn_rt.edge.server import make_server
from csn_rt.wire.roles import Role

SECRET = "a secret that is only used by tests"


class RunningNode:
    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def running_node(
    database_url: str, redis_url: str, *, compresses: bool = True, **options: Any
) -> AsyncIterator[RunningNode]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    options = {"secret": SECRET, "drain_s": 0.0, **options}
    async with open_app(database_url=database_url, redis_url=redis_url, **options) as app:
        server = make_server(app.asgi, drain=app.drain, compresses=compresses)
        # Not `serve`: signals belong to pytest.
        serving = asyncio.create_task(server._serve([listening]))
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield RunningNode(app, listening.getsockname()[1])
        finally:
            server.should_exit = True
            await serving


def token(user_id: str, role: Role = Role.USER, *, ttl_s: int = 3600, name: str | None = None) -> str:
    return issue_dev_token(SECRET, user_id, role=role, name=name or user_id.title(), ttl_s=ttl_s)
