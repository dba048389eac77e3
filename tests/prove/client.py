"""A person's connection, kept as an SDK keeps it.

Rule 1: lost, refused or silent for longer than a ping and 10 s, it is made again after a jittered back-off,
        at the next node.
Rule 2: a command that has no answer after 5 s has failed; whoever insists does it again at the next node,
        with the same key.
Rule 3: what clients were refused, what went unanswered and how sockets were closed is written down in the
        diary, for the promises about it: commands by their method, and `connect` and `subscribe`.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from picows import WSError, WSFrame, WSMsgType, WSTransport, ws_connect

from tests.bench.client import LoadClient, Refused

COMMAND_S = 5.0
PING_DELAY_S = 10.0
LOST = (OSError, TimeoutError, WSError)

now = time.monotonic


class Failure(Struct, frozen=True):
    """A command that was refused, or had no answer."""

    at: float
    method: str
    code: int
    """Of the error reply; 0: the socket was lost, -1: no answer in time."""
    is_temporary: bool
    took_s: float


class Closing(Struct, frozen=True):
    at: float
    name: str
    """The guest's."""
    url: str
    code: int | None
    """None: without a goodbye."""
    is_ours: bool
    """The client went, or bore the silence no longer. To give it up for a command without an answer counts as
    the server's doing."""


class Diary:
    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.closings: list[Closing] = []

    def note(self, method: str, started: float, code: int, *, is_temporary: bool = False) -> None:
        at = now()
        self.failures.append(Failure(at, method, code, is_temporary, at - started))

    @contextmanager
    def noting(self, method: str) -> Iterator[None]:
        """Note it if what is done in here is refused or not answered in time; not that a socket was lost."""
        started = now()
        try:
            yield
        except TimeoutError:
            self.note(method, started, -1)
            raise
        except Refused as exc:
            error = exc.args[0]
            self.note(method, started, error["code"], is_temporary=bool(error.get("temporary")))
            raise


class Socket(LoadClient):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.heard_at = now()
        self.close_code: int | None = None
        self.ping_s = 25

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard_at = now()
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int(frame.get_close_code())
        super().on_ws_frame(transport, frame)

    def pause(self) -> None:
        """Read nothing any more, as a phone that is carried into a tunnel."""
        assert self._transport is not None
        self._transport.underlying_transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    async def ask(self, method: str, **params: Any) -> Any:
        async with asyncio.timeout(COMMAND_S):
            return await self.rpc(method, **params)

    async def enter(self, channel: str, **options: Any) -> dict[str, Any]:
        async with asyncio.timeout(COMMAND_S):
            return await self.subscribe(channel, **options)


async def open_socket(url: str, token: str = "", **options: Any) -> Socket:
    """Raises OSError, TimeoutError, WSError or Refused."""
    async with asyncio.timeout(COMMAND_S):
        _, socket = await ws_connect(lambda: Socket(url), f"{url}/connection/websocket", **options)
        if socket is None:  # lost in the moment in which it was made
            raise ConnectionResetError("closed")
        try:
            reply = await socket.send(connect={"token": token} if token else {})
        except BaseException:
            socket.close()
            raise
    socket.ping_s = reply["connect"]["ping"]
    return socket


class Guest:
    """`run` keeps the connection until it is cancelled; kinds of guests say in `enter` what they do first."""

    def __init__(
        self,
        diary: Diary,
        name: str,
        urls: Sequence[str],
        *,
        token: str = "",
        patience_s: float | None = None,
    ) -> None:
        """`urls`: where it goes, the first one first. `patience_s`: for how long it bears silence, if not as
        long as an SDK; for those who hear something every moment."""
        self.diary = diary
        self.name = name
        self.urls = deque(urls)
        self.socket: Socket | None = None
        self.connected_at = float("inf")
        self._token = token
        self._patience_s = patience_s
        self._is_here = asyncio.Event()
        self._options: dict[str, Any] = {}

    async def enter(self, socket: Socket) -> None:
        """Subscribe and so on; the socket is given up if it raises what a lost socket raises."""

    async def subscribe(self, socket: Socket, channel: str, **options: Any) -> dict[str, Any]:
        with self.diary.noting("subscribe"):
            return await socket.enter(channel, **options)

    async def run(self) -> None:
        failures = 0
        while True:
            socket = None
            try:
                with self.diary.noting("connect"):
                    socket = await open_socket(self.urls[0], self._token, **self._options)
                await self.enter(socket)
                failures = 0
                self.connected_at = now()
                self.socket = socket
                self._is_here.set()
                await self._wait_lost(socket)
            except (*LOST, Refused):
                failures += 1
            finally:
                self._is_here.clear()
                self.connected_at = float("inf")
                self.socket = None
                if socket is not None:
                    is_ours = not socket.closed.done()
                    closing = Closing(now(), self.name, socket.url, socket.close_code, is_ours)
                    self.diary.closings.append(closing)
                    socket.close()
            self.urls.rotate(-1)
            await asyncio.sleep(random.uniform(0.02, min(2.0, 0.2 * 2**failures)))

    async def insist(self, method: str, **params: Any) -> Any:
        """Until it is done; raises Refused if it never will be."""
        while True:
            try:
                return await self.try_once(method, **params)
            except TimeoutError:
                pass
            except OSError:
                await asyncio.sleep(random.uniform(0.02, 0.1))
            except Refused as exc:
                if not exc.args[0].get("temporary"):
                    raise
                await asyncio.sleep(random.uniform(0.1, 0.4))

    async def try_once(self, method: str, **params: Any) -> Any:
        """One attempt over the present connection; one that has no answer gives the connection up."""
        await self._is_here.wait()
        socket, started = self.socket, now()
        assert socket is not None
        try:
            with self.diary.noting(method):
                return await socket.ask(method, **params)
        except TimeoutError:
            socket.close()
            raise
        except OSError:
            self.diary.note(method, started, 0)
            raise

    async def _wait_lost(self, socket: Socket) -> None:
        patience_s = self._patience_s or socket.ping_s + PING_DELAY_S
        while not socket.closed.done() and now() - socket.heard_at < patience_s:
            await asyncio.wait([socket.closed], timeout=min(1.0, patience_s / 4))
