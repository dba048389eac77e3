"""Viewer counts: one number per broadcast, the same on all nodes, pushed when it changes.

This is the door of the package for the node (`watch`, `unwatch`, `snapshot`, `bus_changed`), for watch
sessions and for the start and end of streams. The parts behind it:

    presence   who watches here                tally      what is known and told of one stream
    counting   the round trips to the leases   board      the streams, as the database has them
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog

from csn_rt.bus.leases import Count, Leases
from csn_rt.db.queries import query
from csn_rt.errors import BadRequest, NotFound, Refused, Unavailable
from csn_rt.features.context import Caller, Context
from csn_rt.features.viewers.board import Board
from csn_rt.features.viewers.counting import Counting
from csn_rt.features.viewers.presence import Presence, Session
from csn_rt.features.viewers.tally import Tally, Telling
from csn_rt.wire import names
from csn_rt.wire.published import Published
from csn_rt.wire.roles import Role
from csn_rt.wire.viewers import (
    Series,
    SeriesPoint,
    StaffViewers,
    ViewerCount,
    ViewerCounts,
    ViewersGet,
    ViewersSeries,
)

log = structlog.get_logger(__name__)

_READ_SERIES = query("read_series")
_READ_SERIES_RANGE = query("read_series_range")

SAMPLE_MS: Final = 10_000
_USUAL_POINTS: Final = 500
_MOST_POINTS: Final = 2_000

_encoder = msgspec.json.Encoder()


class Viewers:
    """`ctx.tell` reaches the subscribers of all nodes, `tell_here` those of this node only. Neither delivers
    what has a smaller offset than what was delivered before."""

    def __init__(
        self,
        ctx: Context,
        *,
        leases: Leases,
        tell_here: Callable[[Sequence[Published]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ctx = ctx
        self._tell_here = tell_here
        self._clock = clock
        self._presence = Presence()
        self._board = Board(ctx.db, self._presence, self._tell, self._hurry, clock)
        self._counting = Counting(leases, self._board, self._presence, self._tell, clock)

    async def start(self) -> None:
        await self._board.start()
        await self._counting.start()

    async def close(self) -> None:
        await self._counting.close()
        await self._board.close()

    # Operations

    async def get(self, caller: Caller, params: ViewersGet) -> ViewerCounts:
        """How many watch these streams now."""
        is_staff = _is_staff(caller)
        ids = list(dict.fromkeys(params.stream_ids))
        found = await asyncio.gather(
            *(self._counted(stream_id, is_staff=is_staff) for stream_id in ids), return_exceptions=True
        )
        items = []
        for tally in found:
            if isinstance(tally, Tally):
                items.append(_viewer_count(tally, is_staff=is_staff))
            elif not isinstance(tally, NotFound):
                raise tally
        return ViewerCounts(items=items)

    async def series(self, caller: Caller, params: ViewersSeries) -> Series:  # noqa: ARG002  all see the same
        """How many watched a stream over time, from samples every 10 s.

        Raises NotFound: there is no such stream.
        """
        await self._board.get(params.stream_id)
        async with self._ctx.db.connection() as connection:
            last = await _READ_SERIES_RANGE.row(connection, params.stream_id)
            # A sample at the very end belongs to the broadcast.
            to = params.to or (last["ended_at"] + timedelta(milliseconds=1) if last else datetime.now(UTC))
            from_ = params.from_ or (min(last["started_at"], to) if last else to)
            step_ms = _step_ms(params.step_ms, from_, to)
            rows = await _READ_SERIES.rows(
                connection, params.stream_id, from_, to, timedelta(milliseconds=step_ms)
            )
        points = [SeriesPoint(**dict(row)) for row in rows]
        return Series(stream_id=params.stream_id, step_ms=step_ms, items=points)

    # For the node

    def watch(self, stream_id: str) -> None:
        """Somebody here subscribed to the count; each call is paired with an `unwatch`."""
        self._board.watch(stream_id)

    def unwatch(self, stream_id: str) -> None:
        self._board.unwatch(stream_id)

    async def snapshot(self, stream_id: str, *, staff: bool) -> bytes:
        """The push that a new subscriber gets first. Raises NotFound if there is no such stream for him."""
        tally = await self._counted(stream_id, is_staff=staff)
        return _encoder.encode(tally.snapshot(is_staff=staff))

    def bus_changed(self, is_up: bool) -> None:  # noqa: ARG002  either way: see whether the leases answer
        """Redis went away or came back, as far as the bus can tell."""
        self._counting.hurry_all()

    # For watch sessions

    def find(self, session_id: str) -> Session | None:
        """The session, if this node hears it."""
        return self._presence.get(session_id)

    async def add(self, stream_id: str, session: Session) -> bool:
        """Hear this session from now on; False: its broadcast is over."""
        if await self._board.get_on_air(stream_id, session.broadcast_id) is None:
            return False
        self._presence.add(session)
        self._hurry(session.broadcast_id)
        return True

    def hear(self, session: Session, *, is_playing: bool) -> None:
        """A heartbeat. Renewals wait for the slow round; who counts again is told at once."""
        if self._presence.hear(session.session_id, self._clock(), is_playing=is_playing):
            self._hurry(session.broadcast_id)

    def end(self, broadcast_id: str, person: str, session_id: str) -> None:
        """Tell that the session is over, whichever node heard it."""
        if self._board.on_air(broadcast_id) is not None:
            self._presence.end(broadcast_id, person, session_id)
            self._hurry(broadcast_id)

    async def end_elsewhere(self, stream_id: str, broadcast_id: str, person: str, session_id: str) -> None:
        """Tell that a session is over that another node heard."""
        if await self._board.get_on_air(stream_id, broadcast_id) is not None:
            self.end(broadcast_id, person, session_id)

    async def number_for(self, caller: Caller, session: Session) -> int | None:
        """The viewers now, the session's person with them; None: hidden from him, or over."""
        await self._counting.wait_counted(session.broadcast_id)
        tally = self._board.on_air(session.broadcast_id)
        if tally is None or (tally.stream.is_hidden and not _is_staff(caller)):
            return None
        if tally.viewers is not None:
            return tally.viewers
        known = tally.known.viewers if tally.known else 0
        return max(known, self._presence.people(session.broadcast_id, self._clock()))

    # For the start and end of streams

    async def look_up(self, stream_id: str) -> Tally:
        """The stream as it is now. Raises NotFound."""
        return await self._board.read(stream_id)

    async def count_last(self, broadcast_id: str) -> Count | None:
        """The last count of a broadcast that is about to end: it takes and tells nothing from now on."""
        return await self._counting.end(broadcast_id)

    async def tell_changed(self, stream_id: str) -> None:
        """The stream was started or ended, and that is committed: tell everybody. Never fails."""
        try:
            tally = await self._board.read(stream_id, is_everywhere=True)
        except Refused:
            # The database went away just now; every node reads the stream again when it is back.
            log.warning("stream_change_not_told", stream_id=stream_id)
            return
        if tally.stream.on_air is not None:
            await self._counting.wait_counted(tally.stream.on_air)

    async def _counted(self, stream_id: str, *, is_staff: bool) -> Tally:
        """The tally, not older than this call: nobody is shown less than what was pushed before he asked."""
        tally = await self._board.get(stream_id)
        if not (tally.stream.is_published or is_staff):
            raise NotFound("there is no such stream")
        if tally.stream.on_air is not None:
            await self._counting.wait_counted(tally.stream.on_air, is_urgent=False)
            if tally.is_over:
                with suppress(Unavailable):
                    return await self._board.read(stream_id)
        return tally

    def _hurry(self, broadcast_id: str) -> None:
        self._counting.hurry(broadcast_id)

    def _tell(self, tellings: Sequence[Telling]) -> None:
        for telling in tellings:
            event = telling.event
            channel = names.stream_viewers_staff if isinstance(event, StaffViewers) else names.stream_viewers
            published = Published(channel(event.stream_id), "", event.seq, _encoder.encode(event))
            (self._ctx.tell if telling.is_everywhere else self._tell_here)([published])


def _is_staff(caller: Caller) -> bool:
    return caller.identity.role.is_at_least(Role.MODERATOR)


def _viewer_count(tally: Tally, *, is_staff: bool) -> ViewerCount:
    event = tally.snapshot(is_staff=is_staff)
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    if event.viewers is not None and tally.viewers is not None:
        # Pushes keep a pace; who asks gets the number of this moment.
        fields |= {"viewers": tally.viewers, "peak": max(event.peak or 0, tally.viewers)}
    return ViewerCount(**fields)


def _step_ms(asked: int | None, from_: datetime, to: datetime) -> int:
    """A step that makes no more points than anybody draws."""
    length_ms = int((to - from_).total_seconds() * 1000)
    if length_ms < 0:
        raise BadRequest("`to` must not be before `from`")
    if asked is None:
        return max(SAMPLE_MS, -(-length_ms // _USUAL_POINTS))
    if length_ms > asked * _MOST_POINTS:
        raise BadRequest(f"`step_ms` is too small: {_MOST_POINTS} steps at most")
    return asked
