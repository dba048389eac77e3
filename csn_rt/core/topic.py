"""A channel on a node: its memory, and its subscribers as cursors.

Rule 1: a subscriber is a position, not a queue. Those that have everything flushed so far stand together at
        the head and cost nothing to remember; the others have their position written down.
Rule 2: one flush makes one frame of all that is new, in each dialect that is spoken there, and writes the
        same frame to everyone at the head who speaks it.
Rule 3: a subscriber that cannot be written to is skipped and falls behind; it catches up from the memory
        when its socket drains. One whose position is no longer held is lost: it must subscribe again.
Rule 4: between `join` and `admit` nothing is written to a subscriber, and nothing is missed: the position
        waits.
Rule 5: the flushed position only grows, until `restart`.
Rule 6: a flush may stop after some sockets and go on later, so that a big room does not hold up everything
        else. Who comes meanwhile gets it after the others.
Rule 7: of a state, one who fell behind is sent only the newest of each entity.
Rule 8: a subscriber whose snapshot is newer than what was flushed stands ahead, and is not told it again.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from csn_rt.core.edition import Edition
from csn_rt.core.ring import Latest, Ring
from csn_rt.wire.dialect import Dialect
from csn_rt.wire.events import entity_of
from csn_rt.wire.frames import Frame
from csn_rt.wire.names import Channel, public_name
from csn_rt.wire.protocol import Codec

# A catching-up socket gets its backlog in pieces that fit the transport's buffer (64 KiB high-water mark).
CATCH_UP_BYTES: Final = 65_536


class Way(Protocol):
    """The way out of a socket."""

    def offer(self, frame: Frame) -> bool:
        """Write a frame, if the socket takes any; False: it does not, and nothing was written. Never waits,
        never raises."""


class Peer(Protocol):
    """A socket, as the fan-out sees it."""

    @property
    def dialect(self) -> Dialect:
        """How its frames are made."""

    @property
    def is_writable(self) -> bool:
        """False while the socket's buffer is full."""

    @property
    def writer(self) -> Way: ...

    def lost(self, name: str) -> None:
        """The channel began anew: nothing more comes from this place, it must be subscribed again."""


MemoryT = TypeVar("MemoryT", Ring, Latest)


class Topic(Generic[MemoryT]):
    """`shows_offset`: whether this is a log, whose publications carry their offset, so that a client can
    recover by it; else it is a state."""

    def __init__(self, channel: Channel, memory: MemoryT, *, shows_offset: bool) -> None:
        self.channel = channel
        self.memory: MemoryT = memory
        self.flushed = memory.top
        self.shows_offset = shows_offset
        self._encoders: dict[Codec, Callable[[bytes, int | None], bytes]] = {}
        self._at_head: set[Peer] = set()
        self._behind: dict[Peer, int] = {}
        self._joining: dict[Peer, int] = {}
        self._ahead: dict[Peer, int] = {}
        self._unwritten: list[Peer] = []
        """Those whom the flush under way has to come by; who is no longer at the head is passed over."""
        self._flushing: Edition | None = None
        self._flushing_up_to = 0
        self._flushing_events = 0

    def __len__(self) -> int:
        return sum(map(len, (self._at_head, self._behind, self._joining, self._ahead)))

    @property
    def is_flushing(self) -> bool:
        """A flush has begun that has not reached everyone."""
        return self._flushing is not None

    @property
    def backlog(self) -> int:
        """How many events somebody at the head has not been written yet."""
        memory: Ring | Latest = self.memory
        return memory.count_after(self.flushed)

    def join(self, peer: Peer) -> int:
        """Reserve a place; answers the position from which the subscriber will be written to."""
        self._joining[peer] = self.flushed
        return self.flushed

    def skip(self, peer: Peer, offset: int) -> None:
        """Somebody who is joining knows everything up to this offset by other means."""
        if offset > self._joining.get(peer, offset):
            self._joining[peer] = offset

    def admit(self, peer: Peer) -> bool:
        """Begin to write to a subscriber that has joined; False if it is lost: its position is not held any
        more."""
        position = self._joining.pop(peer, None)
        if position is None:
            return False
        if position > self.flushed:
            self._ahead[peer] = position
            return True
        self._behind[peer] = position
        return self.catch_up(peer)

    def leave(self, peer: Peer) -> None:
        self._at_head.discard(peer)
        self._behind.pop(peer, None)
        self._joining.pop(peer, None)
        self._ahead.pop(peer, None)

    def catch_up(self, peer: Peer) -> bool:
        """Write to a subscriber that fell behind for as long as it takes it; False if it is lost."""
        while peer.is_writable and (position := self._behind.get(peer)) is not None:
            events = self._up_to_flushed(position)
            if events is None:
                return False
            if not events:
                self._caught_up(peer)
                return True
            piece = _piece(events)
            peer.writer.offer(peer.dialect.frame(self._payload(peer.dialect.codec, piece)))
            self._behind[peer] = piece[-1][0]
        return True

    def flush(self, sockets: int | None = None) -> int:
        """Write what is new to those at the head, to so many of them at most; answers the events delivered.

        This is the hot loop.
        """
        edition = self._flushing
        if edition is None and (edition := self._begin_flush()) is None:
            return 0
        at_head, unwritten = self._at_head, self._unwritten
        written = 0
        for _ in range(len(unwritten) if sockets is None else min(sockets, len(unwritten))):
            peer = unwritten.pop()
            if peer not in at_head:
                continue
            # One call that asks and writes: whatever else is touched here is not in the cache.
            if peer.writer.offer(edition[peer.dialect]):
                written += 1
            else:
                at_head.remove(peer)
                self._behind[peer] = self.flushed
        delivered = written * self._flushing_events
        if not unwritten:
            self._end_flush()
        return delivered

    def _caught_up(self, peer: Peer) -> None:
        del self._behind[peer]
        if self.is_flushing:
            self._ahead[peer] = self.flushed  # the flush will not come by: it is caught up at the end of it
        else:
            self._at_head.add(peer)

    def _begin_flush(self) -> Edition | None:
        events = self.memory.after(self.flushed)
        if events is None:
            raise RuntimeError("a flush came after its events were forgotten")
        if not events:
            return None
        self._flushing = Edition(lambda codec: self._payload(codec, events))
        self._flushing_up_to = self.memory.top
        self._flushing_events = len(events)
        self._unwritten = list(self._at_head)
        return self._flushing

    def _end_flush(self) -> None:
        self._flushing = None
        self.flushed = self._flushing_up_to
        for peer in [peer for peer, position in self._ahead.items() if position <= self.flushed]:
            self._behind[peer] = self._ahead.pop(peer)
            if not self.catch_up(peer):
                self.leave(peer)
                peer.lost(public_name(self.channel))

    def restart(self) -> list[Peer]:
        """The memory began anew: answers those who were written to, to be told to subscribe again. Those who
        are still joining learn it from `admit`.
        """
        lost = [*self._at_head, *self._behind, *self._ahead]
        self._flushing = None
        self._unwritten.clear()
        self._at_head.clear()
        self._behind.clear()
        self._joining.clear()
        self._ahead.clear()
        self.flushed = self.memory.top
        return lost

    def _up_to_flushed(self, position: int) -> Sequence[tuple[int, bytes]] | None:
        if position >= self.flushed:
            return []
        events = self.memory.after(position)
        if events is None:
            return None
        flushed = [event for event in events if event[0] <= self.flushed]
        return flushed if self.shows_offset or len(flushed) == 1 else _newest(flushed)

    def _payload(self, codec: Codec, events: Sequence[tuple[int, bytes]]) -> bytes:
        encode = self._encoders.get(codec)
        if encode is None:
            encode = self._encoders[codec] = codec.publication_encoder(public_name(self.channel))
        if self.shows_offset:
            return codec.SEPARATOR.join([encode(data, offset) for offset, data in events])
        return codec.SEPARATOR.join([encode(data, None) for _, data in events])


def _newest(events: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
    """The last event of each entity, in order."""
    return sorted({entity_of(data): (offset, data) for offset, data in events}.values())


def _piece(events: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
    size = 0
    for count, (_, data) in enumerate(events, start=1):
        size += len(data)
        if size >= CATCH_UP_BYTES:
            return events[:count]
    return events
