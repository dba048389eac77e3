"""uvicorn with two things added: ready-made frames leave through an outlet, and a drain before the
shutdown.

uvicorn closes every socket with 1012 in the same moment and only then tells the application; so the drain
happens before, in `Server.shutdown`, and by the time uvicorn closes sockets none should be left.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame as WebSocketFrame
from websockets.http11 import Request
from websockets.protocol import OPEN

from csn_rt.edge.outlet import Outlet
from csn_rt.edge.writers import CLOSE_TIMEOUT_S
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import DEFLATE_WINDOW_BITS

log = structlog.get_logger(__name__)

PROTOCOL_EXTENSION = "csn_rt.protocol"
"""Where the ASGI scope's `extensions` carry the protocol of the socket."""

MAX_MESSAGE_BYTES = 262_144
"""An SDK that reconnects sends all its subscribes in one message: 128 channels with a token each are about
64 KiB."""

_EMPTY_SUBPROTOCOL = b"sec-websocket-protocol: \r\n"


class FrameProtocol(WebSocketsSansIOProtocol):
    """One WebSocket; frames leave through its `Outlet`."""

    outlet: Outlet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.outlet = Outlet(self.transport, self)

    @property
    def is_deflated(self) -> bool:
        """Whether compressed frames may be written. Not to a client that wants a smaller window than ours."""
        return any(
            isinstance(extension, PerMessageDeflate)
            and extension.local_max_window_bits == DEFLATE_WINDOW_BITS
            for extension in self.conn.extensions
        )

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            # centrifuge-python up to 0.6 sends this header without a value, which the parser refuses.
            data = data.replace(_EMPTY_SUBPROTOCOL, b"")
        super().data_received(data)
        if self.transport.is_closing():
            self._drop_later()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][PROTOCOL_EXTENSION] = self  # type: ignore[assignment]

    def send_receive_event_to_app(self) -> None:
        # uvicorn decodes too, but reports a peer's bad UTF-8 as if it were an error of ours.
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def handle_close(self, event: WebSocketFrame) -> None:
        self.outlet.shut()
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        self.outlet.shut()
        super().handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.outlet.paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.outlet.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.outlet.shut()
        super().connection_lost(exc)
        self.outlet.on_writable()

    def close(self, code: CloseCode, reason: str) -> None:
        if self.close_sent:
            return
        self.outlet.shut()
        if self.transport.is_closing() or self.conn.state is not OPEN:
            self._drop_later()
            return
        self.conn.send_close(int(code), reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        # As uvicorn does when the application closes: tell the reader, and read on for the peer's answer.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code), "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._drop_later()

    def abort(self) -> None:
        self.outlet.shut()
        self.transport.abort()

    def shutdown(self) -> None:
        self.outlet.shut()
        # uvicorn would send a second close frame after the answer to the peer's, which is refused.
        if self.transport.is_closing():
            self._drop_later()
        else:
            super().shutdown()

    def _drop_later(self) -> None:
        """A transport that closes waits for ever until what it has still to write is taken."""
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.abort)


class DeflatingProtocol(FrameProtocol):
    """Compresses where the client can. No side keeps a context from one message to the next: a frame serves
    every socket of a room, and a connection at rest holds nothing for it."""

    _OFFERED = (
        ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.available_extensions = self._OFFERED


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


def protocol_of(scope: Scope) -> FrameProtocol | None:
    """The socket's own protocol, where our server runs the application."""
    protocol = scope.get("extensions", {}).get(PROTOCOL_EXTENSION)
    return protocol if isinstance(protocol, FrameProtocol) else None
