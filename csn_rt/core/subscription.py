"""What the shell found when it joined a channel, and what the client is told of it."""

from collections.abc import Sequence

from msgspec import Raw, Struct

from csn_rt.wire.protocol import Publication, StreamPosition, Subscribed, payload


class Subscription(Struct, frozen=True, kw_only=True):
    is_recoverable: bool = False
    """Whether the client shall remember its position and come back with it."""
    is_positioned: bool = False
    """Whether the server watches that the client misses nothing."""
    epoch: str = ""
    """Of the position; never empty if recoverable or positioned."""
    offset: int = 0
    """The channel's top, from where on pushes will come."""
    is_recovered: bool = False
    """Whether `publications` are all that was missed since the position that the client came with."""
    publications: Sequence[tuple[int, bytes]] = ()
    """(offset, data), oldest first, up to the top."""
    data: bytes | None = None
    """The snapshot of a state channel, as JSON."""

    def result(self, recover: StreamPosition | None) -> Subscribed:
        """Make the result for a client that asked to recover from there.

        If it recovers, it is told the position that it came with, and advances with each publication of the
        reply. If it does not, it gets no publications: it starts at the top.
        """
        is_recovered = self.is_recovered and recover is not None
        return Subscribed(
            recoverable=self.is_recoverable,
            positioned=self.is_positioned,
            epoch=self.epoch,
            offset=recover.offset if recover is not None and is_recovered else self.offset,
            publications=publications_of(self.publications) if is_recovered else [],
            recovered=is_recovered,
            was_recovering=recover is not None,
            data=payload(self.data),
        )


def publications_of(events: Sequence[tuple[int, bytes]]) -> list[Publication]:
    return [Publication(Raw(data), offset) for offset, data in events]
