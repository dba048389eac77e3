"""How frames leave: straight into the transport under our own server, by `send` under any other.

Both tell their owner through `on_writable` when a full socket can be written to again, or is gone.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import Send
from starlette.websockets import WebSocketDisconnect

from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import Frame

CLOSE_TIMEOUT_S: Final = 5.0
"""How long the other side may take to accept our close before the socket is dropped."""
HIGH_WATER_FRAMES: Final = 32
MAX_FRAMES: Final = 1_024
"""Frames that wait in the ordinary path. Replies count too, and reading stops at the high-water mark, so
this is reached only by a peer that misbehaves: its further frames are dropped with the socket."""


class Writer(Protocol):
    @property
    def is_writable(self) -> bool: ...

    @property
    def unsent_bytes(self) -> int:
        """What was written and nobody has taken yet."""

    on_writable: Callable[[], None]

    def offer(self, frame: Frame) -> bool:
        """Write a frame, if the socket takes any; False: it does not, and nothing was written."""

    def write(self, frame: Frame) -> None:
        """Write a frame, or keep it until the socket takes it."""

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame after what was written; the socket is gone within `CLOSE_TIMEOUT_S`."""

    def abort(self) -> None:
        """Drop the socket now."""


class AsgiWriter:
    """Frames wait in a bounded queue for the one task that sends them.

    An application cannot drop a socket, it can only stop: `reading` is the limit of the one that carries it.
    """

    def __init__(self, send: Send, reading: asyncio.Timeout) -> None:
        self.is_writable = True
        self.on_writable: Callable[[], None] = _ignore
        self._send = send
        self._reading = reading
        self._frames: deque[Frame] = deque()
        self._close: tuple[CloseCode, str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def unsent_bytes(self) -> int:
        return sum(len(frame.payload) for frame in self._frames)

    def offer(self, frame: Frame) -> bool:
        if not self.is_writable:
            return False
        self.write(frame)
        return True

    def write(self, frame: Frame) -> None:
        if self._close is not None or len(self._frames) >= MAX_FRAMES:
            return
        self._frames.append(frame)
        self.is_writable = len(self._frames) < HIGH_WATER_FRAMES
        self._wake()

    def close(self, code: CloseCode, reason: str) -> None:
        if self._close is None:
            self._close = (code, reason)
            self.is_writable = False
            self._wake()
            self._reading.reschedule(asyncio.get_running_loop().time() + CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        self._frames.clear()
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._frames:
                frame = self._frames.popleft()
                if frame.is_binary:
                    await self._send({"type": "websocket.send", "bytes": frame.payload})
                else:
                    await self._send({"type": "websocket.send", "text": frame.payload.decode()})
                if (
                    not self.is_writable
                    and self._close is None
                    and len(self._frames) < HIGH_WATER_FRAMES // 2
                ):
                    self.is_writable = True
                    self.on_writable()
            if self._close is not None:
                code, reason = self._close
                await self._send({"type": "websocket.close", "code": int(code), "reason": reason})
        except (OSError, WebSocketDisconnect, RuntimeError):
            self._frames.clear()  # the socket is gone; its reader says so too
            self.is_writable = False
            self.on_writable()
        finally:
            self._task = None


def _ignore() -> None: ...
