"""The channels that one socket is in, or on its way into.

Rule 1: where nothing must be waited for, a seat is taken at once; else by a task, which answers in time.
Rule 2: an attempt at a channel begins when the one before it has ended, so that its tidying up never meets a
        newer place.
Rule 3: what was missed is handed over one channel after another, each when the socket takes bytes. What has
        waited too long for that is answered as not recovered. So a socket that comes back with many channels
        holds one such reply, not all of them, and its SDK gets every answer before it gives up.
Rule 4: a slow socket that takes bytes again gets what concerns its person first, then what moderators did,
        then states; bulk comes last.
"""

import asyncio
from typing import Final, Protocol

import structlog

from csn_rt.core.effects import Join
from csn_rt.core.identity import Identity
from csn_rt.core.subscription import Subscription
from csn_rt.core.topic import Peer
from csn_rt.edge.joining import Doorkeeper, Place, SubscribeRefused
from csn_rt.edge.topics import AnyLine
from csn_rt.errors import Unavailable
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import Area, parse_channel

logger = structlog.get_logger(__name__)

JOIN_TIMEOUT_S: Final = 4.5
"""An SDK that has no subscribe reply after 5 s drops the whole connection."""
RECOVERY_WAIT_S: Final = 2.5
"""How long a recovery may wait for its turn; the rest of the time is for what comes then."""

_URGENCY: Final = {
    Area.USER: 0,
    Area.STREAM_MOD: 1,
    Area.ADMIN: 1,
    Area.STREAM_VIEWERS: 2,
    Area.STREAM_CHAT: 3,
    Area.CATALOG: 3,
}


class Guest(Peer, Protocol):
    """The connection, as its seats see it."""

    def seated(self, join: Join, subscription: Subscription) -> None:
        """The place is taken; what the client is told of it."""

    def turned_away(self, join: Join, error: ErrorCode) -> None:
        """No place was taken."""

    def dropped(self, name: str) -> None:
        """What comes next on this channel is not held any more."""


class Seats:
    __slots__ = ("_attempts", "_door", "_guest", "_lines", "_recovering", "_takes_bytes")

    def __init__(self, guest: Guest, door: Doorkeeper) -> None:
        self._guest = guest
        self._door = door
        self._lines: dict[str, AnyLine] = {}
        self._attempts: dict[str, asyncio.Task[None]] = {}
        """Those under way, and those that were given up and have not ended yet."""
        self._recovering: asyncio.Task[None] | None = None
        """The last recovery that has to wait for its turn."""
        self._takes_bytes: asyncio.Event | None = None

    def take(self, identity: Identity, join: Join) -> None:
        """Begin to join; `seated` or `turned_away` is the answer, unless the attempt is given up."""
        name = join.channel
        before = self._attempts.get(name)
        if before is None and self._take_nowait(identity, join):
            return
        attempt = asyncio.create_task(self._attempt(identity, join, before, self._recovering))
        self._attempts[name] = attempt
        if join.recover is not None:
            self._recovering = attempt

    def admit(self, name: str) -> None:
        """The client knows: from here on it is written to."""
        if not self._lines[name].topic.admit(self._guest):
            self._guest.dropped(name)

    def leave(self, name: str) -> None:
        """Give up the seat, or the attempt at one."""
        line = self._lines.pop(name, None)
        if line is not None:
            self._door.leave(self._guest, line)
        elif (attempt := self._attempts.get(name)) is not None:
            attempt.cancel()

    def lost(self, name: str) -> None:
        """The place is gone already."""
        self._lines.pop(name, None)

    def leave_all(self) -> None:
        for name in [*self._lines, *self._attempts]:
            self.leave(name)

    def catch_up(self) -> None:
        """The socket takes bytes again, or is gone."""
        for name in sorted(self._lines, key=_urgency):
            line = self._lines.get(name)
            if line is not None and not line.topic.catch_up(self._guest):
                self._guest.dropped(name)
        if self._takes_bytes is not None:
            self._takes_bytes.set()

    def _take_nowait(self, identity: Identity, join: Join) -> bool:
        """Answers whether the join is answered."""
        if join.recover is not None and not (self._recovering is None and self._guest.is_writable):
            return False
        try:
            place = self._door.join_nowait(self._guest, identity, join.channel, join.recover)
        except SubscribeRefused as exc:
            self._guest.turned_away(join, exc.error)
            return True
        if place is None:
            return False
        self._sit_down(join, place)
        return True

    def _sit_down(self, join: Join, place: Place) -> None:
        line, subscription = place
        self._lines[join.channel] = line
        self._guest.seated(join, subscription)

    async def _attempt(
        self,
        identity: Identity,
        join: Join,
        before: asyncio.Task[None] | None,
        recovering: asyncio.Task[None] | None,
    ) -> None:
        recover, place, error = join.recover, None, ErrorCode.INTERNAL
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                if before is not None:
                    await asyncio.wait([before])
                if recover is not None and not await self._has_turn(recovering):
                    recover = None
                place = await self._door.join(self._guest, identity, join.channel, recover)
        except SubscribeRefused as exc:
            error = exc.error
        except (Unavailable, TimeoutError):
            pass
        except Exception:
            logger.exception("join_failed")
        finally:
            self._ended(join.channel)
        if place is None:
            self._guest.turned_away(join, error)
        else:
            self._sit_down(join, place)

    def _ended(self, name: str) -> None:
        """From here on a Leave gives up the seat, not the attempt."""
        attempt = asyncio.current_task()
        if self._attempts.get(name) is attempt:
            del self._attempts[name]
        if self._recovering is attempt:
            self._recovering = None

    async def _has_turn(self, recovering: asyncio.Task[None] | None) -> bool:
        """Whether the recovery before has ended and the socket takes bytes, within the time there is."""
        try:
            async with asyncio.timeout(RECOVERY_WAIT_S):
                if recovering is not None:
                    await asyncio.wait([recovering])
                while not self._guest.is_writable:
                    self._takes_bytes = asyncio.Event()
                    await self._takes_bytes.wait()
        except TimeoutError:
            return False
        return True


def _urgency(name: str) -> int:
    address = parse_channel(name)
    return _URGENCY[address.area] if address else len(_URGENCY)
