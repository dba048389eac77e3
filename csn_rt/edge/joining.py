"""Subscribing to a channel: may they, does it exist, what did they miss, what is the state now.

Rule 1: the subscriber has its place in the topic before the snapshot or the missed events are read, so
        nothing falls between them and the pushes.
Rule 2: recovered means complete: every event from the client's offset up to its place, or none and
        `recovered` false.
Rule 3: a client that has seen more than this node is not wrong: the node reads the log until it has seen as
        much.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from csn_rt.core.identity import Identity
from csn_rt.core.ring import Ring
from csn_rt.core.subscription import Subscription
from csn_rt.core.topic import Peer
from csn_rt.db import log
from csn_rt.edge.channels import refusal
from csn_rt.edge.topics import AnyLine, Topics
from csn_rt.errors import NotFound
from csn_rt.features.context import Database
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import Address, Area, Channel, parse_channel, stream_viewers_staff
from csn_rt.wire.protocol import StreamPosition
from csn_rt.wire.roles import Role

MAX_RECOVERED_EVENTS: Final = 300
MAX_RECOVERED_BYTES: Final = 524_288
"""A reply must stay well under the 1 MiB that some SDKs accept, or they reconnect for ever."""

Snapshot = Callable[[Identity, Address], Awaitable[tuple[int, bytes]]]
"""Up to which offset it knows all (0: unknown), and the state of a channel at this moment as one JSON
object."""
Place = tuple[AnyLine, Subscription]
"""Where the peer stands now, and what the subscribe reply says."""


class SubscribeRefused(Exception):
    def __init__(self, error: ErrorCode) -> None:
        super().__init__(error.message)
        self.error = error


class Doorkeeper:
    def __init__(
        self,
        *,
        db: Database,
        topics: Topics,
        stream_exists: Callable[[str], Awaitable[bool]],
        snapshots: Mapping[Area, Snapshot],
    ) -> None:
        self._db = db
        self._topics = topics
        self._stream_exists = stream_exists
        self._snapshots = snapshots

    async def join(self, peer: Peer, identity: Identity, name: str, since: StreamPosition | None) -> Place:
        """Take a place for the peer. Raises SubscribeRefused, or Unavailable when the database is away; then
        the peer has no place."""
        address = parse_channel(name)
        if (error := refusal(identity, address)) is not None or address is None:
            raise SubscribeRefused(error or ErrorCode.UNKNOWN_CHANNEL)
        channel = _channel_for(identity, name, address)
        if self._topics.get(channel) is None and not await self.exists(address):
            raise SubscribeRefused(ErrorCode.UNKNOWN_CHANNEL)
        line = await self._topics.open(channel)
        if isinstance(line.topic.memory, Ring) and address.area.is_log:
            return line, await self._join_log(peer, line, line.topic.memory, since)
        line.topic.join(peer)
        try:
            offset, snapshot = await self._snapshots[address.area](identity, address)
        except BaseException as exc:
            self.leave(peer, line)
            if isinstance(exc, NotFound):
                raise SubscribeRefused(ErrorCode.UNKNOWN_CHANNEL) from exc
            raise
        line.topic.skip(peer, offset)
        return line, Subscription(data=snapshot)

    def leave(self, peer: Peer, line: AnyLine) -> None:
        line.topic.leave(peer)
        self._topics.release(line.topic.channel)

    async def exists(self, address: Address) -> bool:
        """Whether there is such a channel, spoken on or not."""
        if address.area in (Area.STREAM_CHAT, Area.STREAM_MOD, Area.STREAM_VIEWERS):
            return await self._stream_exists(address.subject)
        return True

    async def _join_log(
        self, peer: Peer, line: AnyLine, ring: Ring, since: StreamPosition | None
    ) -> Subscription:
        if since is not None and since.epoch in ("", ring.epoch):
            await self._topics.catch_up(line, since.offset)
        # Before anything is waited for: the position is one of this epoch.
        epoch, place = ring.epoch, line.topic.join(peer)
        if since is not None and since.epoch in ("", epoch) and place < since.offset <= ring.top:
            line.topic.skip(peer, since.offset)  # a flush is due here that the client has had elsewhere
            place = since.offset
        try:
            missed = None if since is None else await self._missed(line, ring, since, place)
        except BaseException:
            self.leave(peer, line)
            raise
        return Subscription(
            is_recoverable=True,
            is_positioned=True,
            epoch=epoch,
            offset=place,
            publications=missed or (),
            is_recovered=missed is not None,
        )

    async def _missed(
        self, line: AnyLine, ring: Ring, since: StreamPosition, place: int
    ) -> Sequence[tuple[int, bytes]] | None:
        """What lies after the client's position and before its place; None if that cannot be told
        completely."""
        if since.epoch not in ("", ring.epoch) or since.offset > place:
            return None
        if place - since.offset > MAX_RECOVERED_EVENTS:
            return None
        events: Sequence[tuple[int, bytes]] | None = ring.after(since.offset)
        if events is None:
            async with self._db.connection() as connection:
                stored = await log.read_after(
                    connection, line.topic.channel, since.offset, place - since.offset
                )
            events = [(event.offset, event.data) for event in stored]
        missed = [event for event in events if event[0] <= place]
        if len(missed) != place - since.offset or sum(len(data) for _, data in missed) > MAX_RECOVERED_BYTES:
            return None
        return missed


def _channel_for(identity: Identity, name: str, address: Address) -> Channel:
    if address.area is Area.STREAM_VIEWERS and identity.role.is_at_least(Role.MODERATOR):
        return stream_viewers_staff(address.subject)
    return Channel(name)
