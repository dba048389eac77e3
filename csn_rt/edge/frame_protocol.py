"""A WebSocket under uvicorn, from the bytes that come to the one who is told of them.

Rule 1: the application answers the handshake and hands the socket over. From then on there is no task, no
        queue and no scope: a connection at rest keeps what the next message needs, and no more.
Rule 2: what came before it was handed over is told first.
Rule 3: while the socket takes no bytes, it is not read.
Rule 4: frames that are no messages (pings, pongs, pieces) are paced like messages, and what comes is taken in
        small slices, so that a flood is noticed before much of it was looked at.
Rule 5: nothing is written after a close frame, and a peer that does not answer it is dropped.
"""

import asyncio
from typing import Any, Protocol

import structlog
from starlette.types import Scope
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame as WebSocketFrame
from websockets.http11 import Request
from websockets.protocol import OPEN

from csn_rt.core.limits import Rate, TokenBucket
from csn_rt.edge.outlet import Outlet
from csn_rt.edge.writers import CLOSE_TIMEOUT_S
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import DEFLATE_WINDOW_BITS

log = structlog.get_logger(__name__)

_EXTENSION = "csn_rt.protocol"
"""Where the ASGI scope's `extensions` carry the protocol of the socket."""
EXTRA_FRAMES = Rate(burst=200, per_s=20)
"""A client's library pings once in some seconds; a message of 256 KiB comes in a few pieces."""
_SLICE_BYTES = 4_096
_EMPTY_SUBPROTOCOL = b"sec-websocket-protocol: \r\n"


class Listener(Protocol):
    """Who is told what comes."""

    def received(self, message: bytes | str) -> None: ...

    def gone(self) -> None:
        """The socket is closed, or about to be; may be told twice."""


class _Told:
    """Stands in for uvicorn's queue: what it would keep for the application is told at once."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def put_nowait(self, event: Any) -> None:
        if event["type"] == "websocket.receive":
            text = event.get("text")
            self._listener.received(event["bytes"] if text is None else text)
        elif event["type"] == "websocket.disconnect":
            self._listener.gone()


class FrameProtocol(WebSocketsSansIOProtocol):
    """The `Closable` of an `Outlet`, through which its frames leave."""

    outlet: Outlet
    _is_handed_over = False
    _extras: TokenBucket | None = None

    def hand_over(self, listener: Listener) -> None:
        """From here on `listener` is told what comes, first what came already; the application may return."""
        came, told = self.queue, _Told(listener)
        self.queue = told  # type: ignore[assignment]
        self._is_handed_over = True
        while not came.empty():
            told.put_nowait(came.get_nowait())
        self._go_on_reading()
        del self.scope, self.request, self.response

    async def run_asgi(self) -> None:
        # As uvicorn's, which would close the transport when the application returns.
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            log.exception("handshake_failed")
            self.send_500_response()
        else:
            if self._is_handed_over:
                return
            if not self.handshake_complete:
                self.send_500_response()
        if self.close_timer is None:
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.outlet = Outlet(self.transport, self)
        if self.transport.get_write_buffer_size():
            # An HTTP answer that was not read. Its protocol was told of the pause and we never would be.
            self.abort()
            http: Any = self.transport.get_protocol()
            http.flow.resume_writing()  # or what it answers would wait for ever

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
        for start in range(0, len(data), _SLICE_BYTES):
            super().data_received(data[start : start + _SLICE_BYTES])
            if self.conn.handshake_exc is not None and not self.transport.is_closing():
                self._refuse_handshake()
            if self.transport.is_closing():
                self._drop_later()
                return

    def _refuse_handshake(self) -> None:
        """What the parser does not take (a header that is too long …) it answers, but uvicorn does not
        send."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][_EXTENSION] = self  # type: ignore[assignment]

    def send_receive_event_to_app(self) -> None:
        # uvicorn decodes too, but reports a peer's bad UTF-8 as if it were an error of ours.
        if self.close_sent and not self._pays():
            return
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                if self.conn.state is OPEN:
                    self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()
        if self._is_handed_over and (self.outlet.is_writable or self.close_sent):
            self._go_on_reading()

    def handle_ping(self) -> None:
        if self._pays() and not self.close_sent:
            super().handle_ping()

    def handle_pong(self, event: WebSocketFrame) -> None:
        if self._pays():
            super().handle_pong(event)

    def handle_cont(self, event: WebSocketFrame) -> None:
        if event.fin or self._pays():
            super().handle_cont(event)

    def _pays(self) -> bool:
        """Whether one more frame that is no message is borne; a flood of them ends the connection."""
        if self.transport.is_closing():
            return False
        now = self.loop.time()
        if self._extras is None:
            self._extras = TokenBucket(EXTRA_FRAMES, now)
        if self._extras.take(now):
            return True
        self.conn.fail(1008, "too many frames")
        self.handle_parser_exception()
        return False

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
        if self._is_handed_over and self.outlet.is_writable:
            self._go_on_reading()

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
        self._go_on_reading()
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

    def _go_on_reading(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

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


def protocol_of(scope: Scope) -> FrameProtocol | None:
    """The socket's own protocol, where our server runs the application."""
    protocol = scope.get("extensions", {}).get(_EXTENSION)
    return protocol if isinstance(protocol, FrameProtocol) else None
