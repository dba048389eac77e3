"""`GET /connection/websocket`: who may come in, and in which dialect they speak.

Protobuf is spoken with those who offer its subprotocol or ask for it in the query, JSON with all others. A
chosen subprotocol is echoed (browsers fail otherwise); one that was not offered never is.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from csn_rt.core.session import Session
from csn_rt.edge.frame_protocol import protocol_of
from csn_rt.edge.node import Node
from csn_rt.edge.writers import AsgiWriter, Writer
from csn_rt.edge.ws import Connection, now
from csn_rt.features.context import new_id
from csn_rt.wire import json_codec, protobuf_codec
from csn_rt.wire.dialect import Dialect, dialect
from csn_rt.wire.protocol import Codec

PATH: Final = "/connection/websocket"
SUBPROTOCOLS: Final[Mapping[str, Codec]] = {
    "centrifuge-protobuf": protobuf_codec,
    "centrifuge-json": json_codec,
}
PROTOBUF_QUERIES: Final = frozenset({("format", "protobuf"), ("cf_protocol", "protobuf")})
FIRST_PING_S: Final = (12.5, 25.0)
"""The first ping comes at a random moment, so that a crowd that came together is not pinged together."""


class WebSocketEndpoint:
    """An ASGI application for the one path; made once per node."""

    def __init__(self, node: Node, allowed_origins: Sequence[str]) -> None:
        self._node = node
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        headers = Headers(scope=scope)
        if self._node.is_draining:
            await _deny(send, 503, "draining")
            return
        if not self._is_allowed(headers):
            await _deny(send, 403, "origin not allowed")
            return
        subprotocol, codec = _negotiate(scope)
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        if (protocol := protocol_of(scope)) is not None:
            spoken = dialect(codec, is_deflated=protocol.is_deflated)
            protocol.hand_over(self._connect(scope, headers, spoken, protocol.outlet))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as reading:
                writer = AsgiWriter(send, reading)
                try:
                    await self._connect(scope, headers, dialect(codec), writer).read(receive)
                finally:
                    writer.abort()

    def _connect(self, scope: Scope, headers: Headers, spoken: Dialect, writer: Writer) -> Connection:
        session = Session(
            spoken.codec, client_id=new_id(), first_ping_s=random.uniform(*FIRST_PING_S), now=now()
        )
        client = scope.get("client")
        connection = Connection(
            self._node,
            session,
            spoken,
            writer,
            ip=client[0] if client else "",
            user_agent=headers.get("user-agent", "")[:500],
        )
        self._node.sockets.add(connection)
        return connection

    def _is_allowed(self, headers: Headers) -> bool:
        """Only browsers send an Origin: it must be this host itself or one of those allowed."""
        origin = headers.get("origin")
        if origin is None or origin in self._allowed_origins or "*" in self._allowed_origins:
            return True
        return urlsplit(origin).netloc == headers.get("host")


def _negotiate(scope: Scope) -> tuple[str | None, Codec]:
    """The subprotocol to echo, and the encoding."""
    offered = scope.get("subprotocols", ())
    for subprotocol, codec in SUBPROTOCOLS.items():
        if subprotocol in offered:
            return subprotocol, codec
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
    return None, json_codec if PROTOBUF_QUERIES.isdisjoint(query) else protobuf_codec


async def _deny(send: Send, status: int, text: str) -> None:
    await send(
        {
            "type": "websocket.http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
        }
    )
    await send({"type": "websocket.http.response.body", "body": text.encode()})
