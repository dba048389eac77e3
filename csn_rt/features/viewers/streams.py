"""The start and the end of streams: each is one transaction with its audit entry and its event.

Rule 1: a start makes a new broadcast, and all numbers hang on the broadcast: they begin at 0.
Rule 2: an end closes every open session and writes one record; a session that found the stream live is in it.
Rule 3: the count stops before the end is committed, so that no number of a live stream is told after its end.
        If the commit fails, it goes on after a moment by itself.
Rule 4: what is not published is not spoken of on the catalog.
"""

from typing import Any

import msgspec

from csn_rt.bus.leases import Count
from csn_rt.db.queries import query
from csn_rt.errors import Conflict, NotFound
from csn_rt.features import audit
from csn_rt.features.context import Caller, Context, Unit, new_id
from csn_rt.features.viewers import store
from csn_rt.features.viewers.rules import LEASE_MS
from csn_rt.features.viewers.tally import Tally
from csn_rt.features.viewers.viewers import Viewers
from csn_rt.wire import names
from csn_rt.wire.viewers import (
    BroadcastEnded,
    BroadcastStarted,
    StreamEnd,
    StreamEnded,
    StreamStart,
    StreamStarted,
)

_LOCK_STREAM = query("lock_stream")
_START_BROADCAST = query("start_broadcast")
_LOCK_BROADCAST = query("lock_broadcast")
_END_OPEN_SESSIONS = query("end_open_sessions")
_END_BROADCAST = query("end_broadcast")


class Streams:
    def __init__(self, ctx: Context, *, viewers: Viewers) -> None:
        self._ctx = ctx
        self._viewers = viewers

    async def start(self, caller: Caller, params: StreamStart) -> BroadcastStarted:
        """Put a stream on air: a new broadcast with no viewers yet.

        Raises NotFound: there is no such stream.
        Raises Conflict already_live: it is on air, with `broadcast_id` and `started_at`.
        """
        before_seq = (await self._viewers.look_up(params.stream_id)).seq
        broadcast_id = new_id()
        async with self._ctx.unit() as unit:
            stream = await _locked(unit, params.stream_id)
            if stream["live_state"] == "live":
                raise Conflict(
                    "the stream is already live",
                    code="already_live",
                    broadcast_id=stream["broadcast_id"],
                    started_at=stream["started_at"],
                )
            row = await _START_BROADCAST.row(
                unit.connection, broadcast_id, params.stream_id, caller.user_id, before_seq
            )
            assert row is not None  # noqa: S101  it was just inserted
            await _record(
                unit,
                caller,
                params.stream_id,
                before=stream,
                after={"live_state": "live", "broadcast_id": broadcast_id},
            )
            if stream["is_published"]:
                unit.publish(
                    names.CATALOG, StreamStarted(stream_id=params.stream_id, started_at=row["started_at"])
                )
        await self._viewers.tell_changed(params.stream_id)
        return BroadcastStarted(
            stream_id=params.stream_id, broadcast_id=broadcast_id, started_at=row["started_at"]
        )

    async def end(self, caller: Caller, params: StreamEnd) -> BroadcastEnded:
        """Take a stream off the air, and answer the record of its broadcast.

        Raises NotFound: there is no such stream.
        Raises Conflict not_live: it is not on air.
        """
        tally = await self._viewers.look_up(params.stream_id)
        broadcast_id = tally.stream.on_air
        if broadcast_id is None:
            raise _not_live()
        last = await self._viewers.count_last(broadcast_id)
        async with self._ctx.unit() as unit:
            stream = await _locked(unit, params.stream_id)
            if (stream["live_state"], stream["broadcast_id"]) != ("live", broadcast_id):
                raise _not_live()
            ended = await _end(unit, caller, broadcast_id, tally, last)
            await _record(unit, caller, params.stream_id, before=stream, after={"live_state": "ended"})
            if stream["is_published"]:
                unit.publish(names.CATALOG, StreamEnded(stream_id=params.stream_id, ended_at=ended.ended_at))
        await self._viewers.tell_changed(params.stream_id)
        return ended


async def _end(
    unit: Unit, caller: Caller, broadcast_id: str, tally: Tally, last: Count | None
) -> BroadcastEnded:
    await _LOCK_BROADCAST.value(unit.connection, broadcast_id)
    if last is not None and not last.settles_in_ms:
        await store.insert_samples(unit.connection, {broadcast_id: last})
    await _END_OPEN_SESSIONS.run(unit.connection, broadcast_id, LEASE_MS)
    row = await _END_BROADCAST.row(
        unit.connection,
        broadcast_id,
        caller.user_id,
        max(tally.seq, last.seq, last.staff_seq) if last else tally.seq,
        max(tally.peak, last.peak) if last else tally.peak,
    )
    assert row is not None  # noqa: S101  it is locked
    return msgspec.convert(dict(row), BroadcastEnded)


async def _locked(unit: Unit, stream_id: str) -> Any:
    row = await _LOCK_STREAM.row(unit.connection, stream_id)
    if row is None:
        raise NotFound("there is no such stream")
    return row


async def _record(unit: Unit, caller: Caller, stream_id: str, before: Any, after: dict[str, str]) -> None:
    await audit.record(
        unit,
        caller,
        action="stream.start" if after["live_state"] == "live" else "stream.end",
        entity="content",
        entity_id=stream_id,
        before={name: before[name] for name in after},
        after=after,
    )


def _not_live() -> Conflict:
    return Conflict("the stream is not live", code="not_live")
