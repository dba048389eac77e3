"""A viewer's WebSocket: as much of the Centrifuge protocol (JSON) as a bot needs.

Rule 1: a reply finds its command by id; pings are answered; pushes are only counted.
Rule 2: when the socket is lost or an answer takes too long, whoever waits gets `Lost`; nobody waits for ever.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

# What the official SDKs use.
COMMAND_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 1.0
# The largest message that the official Python SDK takes.
MAX_MESSAGE_BYTES: Final = 1 << 20

_PONG = "{}"


class Lost(Exception):
    """The connection is gone, or as good as."""


class Failed(Exception):
    """The server answered this command with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


class ViewerConnection:
    """Made by `connected`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.pushes = 0
        self._socket = socket
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def subscribe(self, channel: str) -> dict[str, Any]:
        return await self._call("subscribe", {"channel": channel})

    async def rpc(self, method: str, **params: Any) -> dict[str, Any]:
        """The operation's result; raises Failed if it was refused."""
        answer = await self._call("rpc", {"method": method, "data": params})
        result: dict[str, Any] = answer["data"]
        return result

    async def greet(self, token: str) -> None:
        await self._call("connect", {"token": token, "name": "demo"})

    async def _call(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        self._last_id += 1
        number = self._last_id
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await self._socket.send(msgspec.json.encode({"id": number, command: request}).decode())
                reply = await answer
        except (ConnectionClosed, TimeoutError) as exc:
            raise Lost(str(exc)) from exc
        finally:
            del self._waiting[number]
        if error := reply.get("error"):
            raise Failed(error["code"], error["message"])
        result: dict[str, Any] = reply[command]
        return result

    async def read(self) -> None:
        """Read until the socket is gone."""
        try:
            async for frame in self._socket:
                for line in frame.splitlines():
                    await self._take(msgspec.json.decode(line))
        except ConnectionClosed:
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Lost())

    async def _take(self, message: dict[str, Any]) -> None:
        if not message:
            await self._socket.send(_PONG)
        elif "id" not in message:
            self.pushes += 1
        elif (answer := self._waiting.get(message["id"])) is not None and not answer.done():
            answer.set_result(message)


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[ViewerConnection]:
    """A greeted connection; raises Lost if it cannot be had."""
    try:
        socket = await connect(
            url,
            compression=None,
            open_timeout=COMMAND_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
        )
    except (OSError, TimeoutError, WebSocketException) as exc:
        raise Lost(str(exc)) from exc
    connection = ViewerConnection(socket)
    reader = asyncio.create_task(connection.read())
    try:
        await connection.greet(token)
        yield connection
    finally:
        await socket.close()
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
