"""The way out of one socket, and all that a flush touches of it.

A flush comes by every member of a room, and at a thousand members nothing of a member is in the processor's
cache: each object that is touched costs half a microsecond. So this one is small, and writes to the file
descriptor itself: about a quarter more frames per CPU-second than through the protocol and the transport
(2026-11-22).

Rule 1: straight only while the transport holds nothing back. Its high-water mark is 0, so it says that
        writing is to pause as soon as it keeps one byte; so nothing can be overtaken or cut into.
Rule 2: what the system does not take goes through the transport, which waits, and tells of errors.
Rule 3: once it is shut (a close frame was written, or the connection is gone and the descriptor may soon be
        that of another one) nothing is written any more.
Rule 4: never straight where the transport encrypts.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final, Protocol

from csn_rt.wire.codes import CloseCode
from csn_rt.wire.frames import Frame

_NO_DESCRIPTOR: Final = -1


class Closable(Protocol):
    """The protocol that owns the socket."""

    def close(self, code: CloseCode, reason: str) -> None: ...

    def abort(self) -> None: ...


class Outlet:
    """The `Writer` of a socket of our own server."""

    __slots__ = ("_descriptor", "_owner", "_transport", "is_writable", "on_writable")

    def __init__(self, transport: asyncio.Transport, owner: Closable) -> None:
        transport.set_write_buffer_limits(high=0)
        self.is_writable = not transport.get_write_buffer_size()
        """False while the transport holds something back, and for good once it is shut."""
        self.on_writable: Callable[[], None] = _ignore
        self._owner = owner
        self._transport: asyncio.Transport | None = transport
        self._descriptor = _descriptor_of(transport)

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def offer(self, frame: Frame) -> bool:
        if not self.is_writable:
            return False
        wire = frame.wire
        if self._descriptor != _NO_DESCRIPTOR:
            try:
                sent = os.write(self._descriptor, wire)
            except OSError:  # it is full, or broken: the transport finds out which
                sent = 0
            if sent == len(wire):
                return True
            wire = wire[sent:]
        self._hand_over(wire)
        return True

    def write(self, frame: Frame) -> None:
        if not self.offer(frame):
            self._hand_over(frame.wire)

    def _hand_over(self, wire: bytes) -> None:
        # uvloop's transport raises when it is closed, and the protocol hears of that a little later.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire)

    def close(self, code: CloseCode, reason: str) -> None:
        self._owner.close(code, reason)

    def abort(self) -> None:
        self._owner.abort()

    # What the owner tells

    def paused(self) -> None:
        self.is_writable = False

    def resumed(self) -> None:
        if self._transport is not None:
            self.is_writable = True
            self.on_writable()

    def shut(self) -> None:
        self.is_writable = False
        self._transport = None


def _descriptor_of(transport: asyncio.Transport) -> int:
    if transport.get_extra_info("sslcontext") is not None:
        return _NO_DESCRIPTOR
    descriptor: int = transport.get_extra_info("socket").fileno()
    return descriptor


def _ignore() -> None: ...
