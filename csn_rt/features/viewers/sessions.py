"""Watch sessions: a player says that it is there, every 10 s, and when it goes.

Rule 1: an answer to `start` means that the row is committed, and counts the one who asked.
Rule 2: a heartbeat keeps the lease first and the row second, so that a slow database dips no count.
Rule 3: a session belongs to its person, whichever node hears it; to everybody else it does not exist.
Rule 4: starts, heartbeats and ends are written in batches, heartbeats and ends in the order in which they
        came: a heartbeat after an end finds no session.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from csn_rt.db.batch import Batcher
from csn_rt.errors import Conflict, NotFound
from csn_rt.features.context import Caller, Context, new_id
from csn_rt.features.viewers import store
from csn_rt.features.viewers.presence import Session
from csn_rt.features.viewers.rules import NEVER_PLAYED
from csn_rt.features.viewers.store import ClosedSession, NewSession, OpenSession
from csn_rt.features.viewers.viewers import Viewers
from csn_rt.wire.viewers import (
    HEARTBEAT_MS,
    PlayerState,
    SessionEnd,
    SessionEnded,
    SessionHeard,
    SessionHeartbeat,
    SessionStart,
    SessionStarted,
)


class Beat(msgspec.Struct, frozen=True):
    """What is to be written of one session: a heartbeat, or its end."""

    session_id: str
    person: str
    state: PlayerState | None
    """None: it ends."""

    @property
    def key(self) -> tuple[str, str]:
        return self.session_id, self.person


class Sessions:
    def __init__(
        self,
        ctx: Context,
        *,
        viewers: Viewers,
        node_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ctx = ctx
        self._viewers = viewers
        self._node_id = node_id
        self._clock = clock
        self._starts: Batcher[NewSession, str] = Batcher(self._write_starts)
        self._beats: Batcher[Beat, OpenSession | ClosedSession] = Batcher(self._write_beats)

    async def close(self) -> None:
        """Write what is waiting."""
        await self._starts.wait_drained()
        await self._beats.wait_drained()

    async def start(self, caller: Caller, params: SessionStart) -> SessionStarted:
        """Begin to watch a live stream, and be counted.

        Raises NotFound: there is no such stream.
        Raises Conflict not_live: it is not live.
        """
        session_id, person = new_id(), caller.identity.person
        broadcast_id = await self._starts.put(
            NewSession(
                session_id=session_id,
                stream_id=params.stream_id,
                person=person,
                device_id=params.device_id,
                state=params.state,
            )
        )
        paused_since = None if params.state == "playing" else NEVER_PLAYED
        session = Session(session_id, broadcast_id, person, self._clock(), paused_since)
        is_on_air = await self._viewers.add(params.stream_id, session)
        viewers = await self._viewers.number_for(caller, session) if is_on_air else None
        return SessionStarted(session_id=session_id, heartbeat_ms=HEARTBEAT_MS, viewers=viewers)

    async def heartbeat(self, caller: Caller, params: SessionHeartbeat) -> SessionHeard:
        """Say that the player is still there, and whether it plays.

        Raises NotFound: there is no such session of the caller's, or it has ended: begin a new one.
        """
        person, is_playing = caller.identity.person, params.state == "playing"
        session = self._viewers.find(params.session_id)
        if session is not None:
            if session.person != person:
                raise _no_such_session()
            self._viewers.hear(session, is_playing=is_playing)
        try:
            row = await self._beats.put(Beat(params.session_id, person, params.state))
        except NotFound:
            if session is not None:  # it was ended elsewhere
                self._viewers.end(session.broadcast_id, person, params.session_id)
            raise
        if self._viewers.find(params.session_id) is None and session is None and isinstance(row, OpenSession):
            await self._viewers.add(row.stream_id, self._adopted(row))
        return SessionHeard(session_id=params.session_id, state=params.state)

    async def end(self, caller: Caller, params: SessionEnd) -> SessionEnded:
        """Say goodbye. Ending twice is ending once.

        Raises NotFound: there is no such session of the caller's.
        """
        person = caller.identity.person
        session = self._viewers.find(params.session_id)
        if session is not None and session.person == person:
            self._viewers.end(session.broadcast_id, person, params.session_id)
        row = await self._beats.put(Beat(params.session_id, person, None))
        if session is None and isinstance(row, ClosedSession) and row.has_ended:
            await self._viewers.end_elsewhere(row.stream_id, row.broadcast_id, person, params.session_id)
        return SessionEnded(session_id=params.session_id)

    def _adopted(self, row: OpenSession) -> Session:
        """A session that another node heard, or this one in an earlier life."""
        now = self._clock()
        since = None
        if row.state == "paused":
            since = NEVER_PLAYED if row.paused_ms is None else now - row.paused_ms / 1000
        return Session(row.session_id, row.broadcast_id, row.person, now, since)

    async def _write_starts(self, sessions: Sequence[NewSession]) -> list[str | Exception]:
        async with self._ctx.db.transaction() as connection:
            started = await store.start_sessions(connection, sessions, self._node_id)
        return [_broadcast_or_refusal(started[session.session_id]) for session in sessions]

    async def _write_beats(self, beats: Sequence[Beat]) -> list[OpenSession | ClosedSession | Exception]:
        ends = {beat.key for beat in beats if beat.state is None}
        # Of several heartbeats the last one says what it is; where an end comes too, nothing else matters.
        # One that came before the end is heard: its answer must not depend on who shared its batch.
        heard = {beat.key: beat.state for beat in beats if beat.state is not None and beat.key not in ends}
        async with self._ctx.db.transaction() as connection:
            opened = await store.beat_sessions(connection, heard, self._node_id) if heard else {}
            closed = await store.end_sessions(connection, sorted(ends)) if ends else {}
        answers: list[OpenSession | ClosedSession | Exception] = []
        ended: set[tuple[str, str]] = set()
        for beat in beats:
            row = closed.get(beat.key) if beat.key in ends else opened.get(beat.key)
            if beat.state is None:
                ended.add(beat.key)
            elif isinstance(row, ClosedSession) and (beat.key in ended or not row.has_ended):
                row = None
            answers.append(row or _no_such_session())
        return answers


def _broadcast_or_refusal(started: store.Started) -> str | Exception:
    if started.broadcast_id is not None:
        return started.broadcast_id
    if not started.is_published:
        return NotFound("there is no such stream")
    return Conflict("the stream is not live", code="not_live")


def _no_such_session() -> NotFound:
    return NotFound("there is no such session, or it has ended")
