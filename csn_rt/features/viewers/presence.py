"""The watch sessions that this node hears, and what of them the other nodes have yet to know.

Rule 1: a session counts until its lease ends (rules.py); one that is silent for a lease is forgotten here.
Rule 2: `take` gives what changed since the last `take`, or everything that is held. After a `take` that could
        not be told, `give_back`, and take everything.
Rule 3: an end is told even if the session was never heard here, and telling it twice is harmless.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from csn_rt.bus.leases import End, Hold
from csn_rt.features.viewers.rules import LEASE_S, lease_until, paused_since

_NOTHING: Final[frozenset[str]] = frozenset()


class Session(msgspec.Struct):
    session_id: str
    broadcast_id: str
    person: str
    heard_at: float
    paused_since: float | None
    """None: it plays."""

    @property
    def lease_until(self) -> float:
        return lease_until(self.heard_at, self.paused_since)


class Taken(msgspec.Struct, frozen=True):
    holds: list[Hold]
    ends: list[End]


class Presence:
    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._of_broadcast: dict[str, set[str]] = {}
        self._changed: dict[str, set[str]] = {}
        self._ended: dict[str, dict[str, End]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def broadcasts(self) -> set[str]:
        """Those that have sessions here or ends to be told."""
        return self._of_broadcast.keys() | self._ended.keys()

    def people(self, broadcast_id: str, now: float) -> int:
        """How many distinct persons count here."""
        sessions = map(self._sessions.__getitem__, self._of_broadcast.get(broadcast_id, _NOTHING))
        return len({session.person for session in sessions if session.lease_until > now})

    def add(self, session: Session) -> None:
        self._sessions[session.session_id] = session
        self._of_broadcast.setdefault(session.broadcast_id, set()).add(session.session_id)
        self._changed.setdefault(session.broadcast_id, set()).add(session.session_id)

    def hear(self, session_id: str, now: float, *, is_playing: bool) -> bool:
        """A heartbeat of a known session. True if it had ceased to count and counts again."""
        session = self._sessions[session_id]
        did_count = session.lease_until > now
        session.paused_since = paused_since(session.paused_since, now, is_playing=is_playing)
        session.heard_at = now
        self._changed.setdefault(session.broadcast_id, set()).add(session_id)
        return not did_count and session.lease_until > now

    def end(self, broadcast_id: str, person: str, session_id: str) -> None:
        self._forget(session_id)
        self._ended.setdefault(broadcast_id, {})[session_id] = End(person, session_id)

    def drop(self, broadcast_id: str) -> None:
        """The broadcast is over: nothing of it counts or is told any more."""
        for session_id in list(self._of_broadcast.get(broadcast_id, _NOTHING)):
            self._forget(session_id)
        self._ended.pop(broadcast_id, None)

    def forget_silent(self, now: float) -> None:
        """The leases of silent sessions end by themselves; here they are only forgotten."""
        silent = [
            session.session_id for session in self._sessions.values() if session.heard_at + LEASE_S <= now
        ]
        for session_id in silent:
            self._forget(session_id)

    def take(self, broadcast_id: str, now: float, *, is_full: bool) -> Taken:
        changed = self._changed.pop(broadcast_id, _NOTHING)
        ids = self._of_broadcast.get(broadcast_id, _NOTHING) if is_full else changed
        return Taken(self._holds(ids, now), list(self._ended.pop(broadcast_id, {}).values()))

    def give_back(self, broadcast_id: str, taken: Taken) -> None:
        """It was not told: the ends come again with the next `take`, the holds with the next full one."""
        for end in taken.ends:
            self._ended.setdefault(broadcast_id, {})[end.session_id] = end

    def _holds(self, session_ids: Iterable[str], now: float) -> list[Hold]:
        sessions = map(self._sessions.__getitem__, session_ids)
        return [
            Hold(session.person, session.session_id, int((session.lease_until - now) * 1000))
            for session in sessions
            if session.lease_until > now
        ]

    def _forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None:
            return
        for of_broadcast in (self._of_broadcast, self._changed):
            ids = of_broadcast.get(session.broadcast_id)
            if ids is not None:
                ids.discard(session_id)
                if not ids:
                    del of_broadcast[session.broadcast_id]
