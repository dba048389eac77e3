"""One node as a process: listen, build, serve, drain, take down.

Rule 1: the address is taken first, so that one in use is told before anything else is started.
Rule 2: asked to stop, it drains before anything is taken down.
"""

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack

import structlog

from csn_rt.app import open_app
from csn_rt.db.problems import DATABASE_PROBLEMS, describe_database_problem
from csn_rt.edge.server import Server, make_server
from csn_rt.settings import Settings

log = structlog.get_logger(__name__)


class CannotServe(Exception):
    """The node cannot be had; the message is for the operator."""


async def serve(settings: Settings, host: str, port: int, stopping: asyncio.Event) -> None:
    """Return when `stopping` was set and all is down; raises CannotServe."""
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(_bind(host, port))
        try:
            app = await stack.enter_async_context(
                open_app(
                    database_url=settings.database_url,
                    redis_url=settings.redis_url,
                    secret=settings.secret,
                    allowed_origins=settings.allowed_origins,
                    drain_s=settings.drain_s,
                )
            )
        except DATABASE_PROBLEMS as exc:
            raise CannotServe(describe_database_problem(exc)) from exc
        server = make_server(app.asgi, drain=app.drain, compresses=settings.compression)
        stopper = asyncio.create_task(_stop(server, stopping))
        stack.callback(stopper.cancel)
        await server.serve(sockets=[listening])


async def _stop(server: Server, stopping: asyncio.Event) -> None:
    await stopping.wait()
    server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket; uvicorn listens on it."""
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            # The protocol number is what makes asyncio switch off Nagle's delay on accepted sockets.
            listening = stack.enter_context(socket.socket(family, kind, protocol or socket.IPPROTO_TCP))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError as exc:
            raise CannotServe(f"{host} port {port} cannot be listened on: {exc.strerror}.") from exc
        stack.pop_all()
        return listening
