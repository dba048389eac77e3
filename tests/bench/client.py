"""A load client that keeps up: frames are parsed in C, so that the server is what is measured.

It speaks the JSON protocol: connect, subscribe, rpc, pings; pushes go to a callback as bytes.
"""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

_encode = msgspec.json.encode
_decode = msgspec.json.decode
COMMAND_TIMEOUT_S = 30.0
DEFLATE_OFFER = "permessage-deflate; client_max_window_bits"
"""Word for word what Chrome and Firefox offer."""


class Refused(Exception):
    """An error reply."""


class LoadClient(WSListener):
    """One socket. `on_push` gets every line that is no reply, undecoded; `on_frame`, where it is set, whole
    payloads as they came, and whether they are compressed: for somebody who only counts, and sends no more
    commands."""

    def __init__(self) -> None:
        self.on_push: Callable[[bytes], None] = lambda _line: None
        self.on_frame: Callable[[bytes, int], None] | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self._transport: WSTransport | None = None
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        if self.on_frame is not None and payload != b"{}":
            self.on_frame(payload, frame.rsv1)
            return
        if frame.rsv1:
            payload = inflate(payload)
        for line in payload.split(b"\n"):
            if line == b"{}":
                transport.send(WSMsgType.TEXT, b"{}")
            elif line.startswith(b'{"id"'):
                self._replied(_decode(line))
            else:
                self.on_push(line)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionResetError("closed"))

    def _replied(self, reply: dict[str, Any]) -> None:
        future = self._replies.pop(reply["id"], None)
        if future is None or future.done():
            return
        if "error" in reply:
            future.set_exception(Refused(reply["error"]))
        else:
            future.set_result(reply)

    def send(self, **request: Any) -> asyncio.Future[Any]:
        """Send one command; the future is its reply."""
        self._last_id += 1
        future = asyncio.get_running_loop().create_future()
        self._replies[self._last_id] = future
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, _encode({"id": self._last_id, **request}))
        return future

    async def rpc(self, method: str, **data: Any) -> Any:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            reply = await self.send(rpc={"method": method, "data": data})
        return reply["rpc"].get("data")

    async def subscribe(self, channel: str, **options: Any) -> dict[str, Any]:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            return (await self.send(subscribe={"channel": channel, **options}))["subscribe"]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.disconnect()


async def connect(url: str, token: str = "", *, is_compressed: bool = False) -> LoadClient:
    """`url` as in ws://127.0.0.1:8000."""
    headers = {"Sec-WebSocket-Extensions": DEFLATE_OFFER} if is_compressed else None
    async with asyncio.timeout(COMMAND_TIMEOUT_S):
        transport, client = await ws_connect(
            LoadClient, f"{url}/connection/websocket", extra_headers=headers, websocket_handshake_timeout=None
        )
        if is_compressed:
            answer = transport.response.headers.get("Sec-WebSocket-Extensions", "")
            assert "server_no_context_takeover" in answer, f"compression was not agreed on: {answer!r}"
        await client.send(connect={"token": token} if token else {})
    return client


def inflate(payload: bytes) -> bytes:
    """A compressed frame, where the server keeps no context from one to the next."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
