"""uvicorn with two things added: a WebSocket protocol of our own, and a drain before the shutdown.

uvicorn closes every socket with 1012 in the same moment and only then tells the application; so the drain
happens before, in `Server.shutdown`, and by the time uvicorn closes sockets none should be left.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from csn_rt.edge.frame_protocol import DeflatingProtocol, FrameProtocol
from csn_rt.edge.writers import CLOSE_TIMEOUT_S

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 262_144
"""An SDK that reconnects sends all its subscribes in one message: 128 channels with a token each are about
64 KiB."""


class Server(uvicorn.Server):
    """`drain` is awaited once, when a signal has asked for the end and before any socket is closed."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            log.info("node_serving", address=listening.getsockname())

    async def shutdown(self, sockets: Any = None) -> None:
        await self._drain()
        await super().shutdown(sockets)


def make_server(app: ASGIApp, *, drain: Callable[[], Awaitable[None]], compresses: bool = True) -> Server:
    """The caller listens, and hands the sockets to `serve`. `compresses`: frames to clients that can."""
    config = uvicorn.Config(
        app,
        ws=DeflatingProtocol if compresses else FrameProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # The protocol has its own pings, on a fixed schedule that the SDKs rely on.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        # uvicorn's would take 64 KiB a connection instead of 25, and compress a frame again for every socket.
        ws_per_message_deflate=False,
        # Our own logging is set up before; uvicorn's access log would carry query strings.
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=4096,
        timeout_graceful_shutdown=max(1, int(CLOSE_TIMEOUT_S)),
    )
    return Server(config, drain)
