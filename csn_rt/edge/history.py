"""Pages of a log channel, by offset: the protocol's `history` command.

Rule 1: a page is in one epoch, and ends at the head that it names.
Rule 2: a page is no larger than a reply may be, but never empty for that: it ends early, and the next one
        goes on from there.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from csn_rt.core.identity import Identity
from csn_rt.db import log
from csn_rt.edge.channels import refusal
from csn_rt.edge.joining import MAX_RECOVERED_BYTES, SubscribeRefused
from csn_rt.features.context import Database
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import Address, Channel, parse_channel
from csn_rt.wire.protocol import StreamPosition


class Page(msgspec.Struct, frozen=True):
    publications: Sequence[tuple[int, bytes]]
    epoch: str
    offset: int
    """The channel's top."""


class History:
    def __init__(self, db: Database, exists: Callable[[Address], Awaitable[bool]]) -> None:
        self._db = db
        self._exists = exists

    async def read(
        self, identity: Identity, name: str, *, limit: int, since: StreamPosition | None, is_reverse: bool
    ) -> Page:
        """`since` is exclusive; in reverse, what lies below it. Raises SubscribeRefused or Unavailable."""
        address = parse_channel(name)
        if (error := refusal(identity, address)) is not None or address is None:
            raise SubscribeRefused(error or ErrorCode.UNKNOWN_CHANNEL)
        if not address.area.is_log:
            raise SubscribeRefused(ErrorCode.NOT_AVAILABLE)
        channel = Channel(name)
        head = await self._head(channel, address)
        if since is not None and since.epoch not in ("", head.epoch):
            raise SubscribeRefused(ErrorCode.UNRECOVERABLE_POSITION)
        if limit == 0:
            return Page((), head.epoch, head.offset)
        async with self._db.connection() as connection:
            if is_reverse:
                before = head.offset + 1 if since is None else since.offset
                events = (await log.read_before(connection, channel, before, limit))[::-1]
            else:
                events = await log.read_after(connection, channel, since.offset if since else 0, limit)
        # The head was read first: what came between is not part of this page.
        page = [(event.offset, event.data) for event in events if event.offset <= head.offset]
        return Page(_fitting(page), head.epoch, head.offset)

    async def _head(self, channel: Channel, address: Address) -> log.Head:
        async with self._db.connection() as connection:
            head = (await log.heads_of(connection, [channel])).get(channel)
        if head is not None:
            return head
        if not await self._exists(address):
            raise SubscribeRefused(ErrorCode.UNKNOWN_CHANNEL)
        async with self._db.connection() as connection:
            return await log.ensure(connection, channel)


def _fitting(events: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
    size = 0
    for count, (_, data) in enumerate(events):
        size += len(data)
        if count and size > MAX_RECOVERED_BYTES:
            return events[:count]
    return events
