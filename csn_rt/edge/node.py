"""A node: its sockets, when each is looked at, and how they are sent away.

Rule 1: a socket that takes no byte for `WRITE_TIMEOUT_S` is closed, and so is one that lets more than
        `MAX_UNSENT_BYTES` wait: a slow one gets no more pushes than it takes, but its pings are answered.
Rule 2: a draining node takes no new sockets, says goodbye to the ones it has over `drain_s`, and finishes
        what it has begun.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import structlog

from csn_rt.core.identity import Identity
from csn_rt.core.topic import Peer
from csn_rt.edge.auth import Verifier
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.edge.history import History
from csn_rt.edge.joining import Doorkeeper
from csn_rt.edge.schedule import Schedule
from csn_rt.edge.topics import Topics
from csn_rt.wire.codes import CloseCode
from csn_rt.wire.roles import Role

logger = structlog.get_logger(__name__)

TICK_S: Final = 0.5
STALL_CHECK_S: Final = 2.0
"""A look at ten thousand sockets takes a few milliseconds."""
WRITE_TIMEOUT_S: Final = 10.0
MAX_UNSENT_BYTES: Final = 2_097_152
"""More than a recovery and the replies that may come beside it."""


class Socket(Peer, Protocol):
    """What the node asks of a connection."""

    def tick(self) -> None: ...

    @property
    def unsent_bytes(self) -> int: ...

    def stalled_s(self, now: float) -> float:
        """For how long, as far as was looked, the socket has taken no byte of what waits for it."""

    def disconnect(self, code: CloseCode) -> None: ...


class Welcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`data` of the connect reply."""

    user_id: str
    role: Role
    name: str | None = None
    anonymous_token: str | None = None
    """To be known again; given to those who came without a token."""


class Node:
    def __init__(
        self,
        *,
        topics: Topics,
        door: Doorkeeper,
        history: History,
        verifier: Verifier,
        dispatcher: Dispatcher,
    ) -> None:
        self.topics = topics
        self.door = door
        self.history = history
        self.verifier = verifier
        self.dispatcher = dispatcher
        self.schedule: Schedule[Socket] = Schedule()
        self.sockets: set[Socket] = set()
        self.is_draining = False
        self._background: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._background = [asyncio.create_task(self._tick()), asyncio.create_task(self._close_stalled())]
        await self.topics.start()

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        await self.topics.close()

    def welcome(self, token: str) -> tuple[Identity, bytes]:
        """Who connects with this token, or a new anonymous viewer; and what the connect reply says about it.

        Raises TokenExpired or TokenInvalid.
        """
        if token:
            identity, anonymous_token = self.verifier.verify(token), None
        else:
            identity, anonymous_token = self.verifier.issue_anonymous()
        welcome = Welcome(
            user_id=identity.user_id, role=identity.role, name=identity.name, anonymous_token=anonymous_token
        )
        return identity, msgspec.json.encode(welcome)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """In a task, which the loop alone would not keep."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def forget(self, socket: Socket) -> None:
        self.sockets.discard(socket)
        self.schedule.discard(socket)

    async def drain(self, drain_s: float) -> None:
        """Say goodbye to every socket, spread over the time given, so that they do not all come back at
        once."""
        self.is_draining = True
        sockets = list(self.sockets)
        random.shuffle(sockets)
        logger.info("drain_started", sockets=len(sockets), drain_s=drain_s)
        started = time.monotonic()
        for n, socket in enumerate(sockets):
            pause = started + drain_s * n / len(sockets) - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            if socket in self.sockets:
                socket.disconnect(CloseCode.SHUTDOWN)
        logger.info("drain_ended")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for socket in list(self.schedule.due(now)):
                self._guarded(socket.tick)

    async def _close_stalled(self) -> None:
        while True:
            await asyncio.sleep(STALL_CHECK_S)
            now = time.monotonic()
            for socket in [socket for socket in self.sockets if not socket.is_writable]:
                if socket.stalled_s(now) > WRITE_TIMEOUT_S or socket.unsent_bytes > MAX_UNSENT_BYTES:
                    self._guarded(partial(socket.disconnect, CloseCode.SLOW))

    def _guarded(self, step: Callable[[], None]) -> None:
        """One socket's trouble is not the others'."""
        try:
            step()
        except Exception:
            logger.exception("tick_failed")
