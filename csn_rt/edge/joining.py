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
MAX_BYTES_AT_ONCE: Final = 8_192
"""What is recovered without waiting for its turn: 128 channels come to 1 MiB at most."""

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

    def join_nowait(
        self, peer: Peer, identity: Identity, name: str, since: StreamPosition | None
    ) -> Place | None:
        """Take a place where nothing must be waited for: in a log channel that is open, if what was missed is
        little and in its memory. None: use `join`. Raises SubscribeRefused."""
        address = _address(identity, name)
        line = self._topics.get(_channel_for(identity, name, address))
        if line is None or not isinstance(ring := line.topic.memory, Ring) or not address.area.is_log:
            return None
        if since is None or not _is_of(since, ring):
            return line, _subscription(ring.epoch, line.topic.join(peer), None)
        events = ring.after(since.offset)
        if events is None or sum(len(data) for _, data in events) > MAX_BYTES_AT_ONCE:
            return None
        place = _take_place(peer, line, ring, since)
        return line, _subscription(ring.epoch, place, _complete(events, since, place))

    async def join(self, peer: Peer, identity: Identity, name: str, since: StreamPosition | None) -> Place:
        """Take a place for the peer. Raises SubscribeRefused, or Unavailable when the database is away; then
        the peer has no place."""
        address = _address(identity, name)
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
        if since is not None and _is_of(since, ring):
            await self._topics.catch_up(line, since.offset)
        # Before anything is waited for: the position is one of this epoch.
        epoch, place = ring.epoch, _take_place(peer, line, ring, since)
        if since is None or not _is_of(since, ring) or not 0 <= place - since.offset <= MAX_RECOVERED_EVENTS:
            return _subscription(epoch, place, None)
        events: Sequence[tuple[int, bytes]] | None = ring.after(since.offset)
        if events is None:
            try:
                events = await self._read(line.topic.channel, since.offset, place)
            except BaseException:
                self.leave(peer, line)
                raise
        return _subscription(epoch, place, _complete(events, since, place))

    async def _read(self, channel: Channel, after: int, up_to: int) -> Sequence[tuple[int, bytes]]:
        async with self._db.connection() as connection:
            stored = await log.read_after(connection, channel, after, up_to - after)
        return [(event.offset, event.data) for event in stored]


def _take_place(peer: Peer, line: AnyLine, ring: Ring, since: StreamPosition | None) -> int:
    place = line.topic.join(peer)
    if since is not None and _is_of(since, ring) and place < since.offset <= ring.top:
        line.topic.skip(peer, since.offset)  # a flush is due here that the client has had elsewhere
        return since.offset
    return place


def _is_of(since: StreamPosition, ring: Ring) -> bool:
    """Whether the position is one of the ring's numbering."""
    return since.epoch in ("", ring.epoch)


def _complete(
    events: Sequence[tuple[int, bytes]], since: StreamPosition, place: int
) -> Sequence[tuple[int, bytes]] | None:
    """What lies after the client's position and up to its place; None if that is not all here, or too much
    for a reply."""
    missed = [event for event in events if event[0] <= place]
    if len(missed) != place - since.offset or len(missed) > MAX_RECOVERED_EVENTS:
        return None
    return missed if sum(len(data) for _, data in missed) <= MAX_RECOVERED_BYTES else None


def _subscription(epoch: str, place: int, missed: Sequence[tuple[int, bytes]] | None) -> Subscription:
    return Subscription(
        is_recoverable=True,
        is_positioned=True,
        epoch=epoch,
        offset=place,
        publications=missed or (),
        is_recovered=missed is not None,
    )


def _address(identity: Identity, name: str) -> Address:
    """Raises SubscribeRefused."""
    address = parse_channel(name)
    error = refusal(identity, address)
    if error is not None or address is None:
        raise SubscribeRefused(error or ErrorCode.UNKNOWN_CHANNEL)
    return address


def _channel_for(identity: Identity, name: str, address: Address) -> Channel:
    if address.area is Area.STREAM_VIEWERS and identity.role.is_at_least(Role.MODERATOR):
        return stream_viewers_staff(address.subject)
    return Channel(name)
