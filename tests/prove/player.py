"""Those who play: watch sessions that are counted, and progress that is told to another device."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from tests.bench.client import Refused
from tests.prove.checker import Ledger
from tests.prove.client import LOST, Diary, Guest, Socket, now, open_socket
from tests.prove.site import DURATION_MS
from tests.prove.watcher import Device
from tests.support.nodes import token

_BEGIN_MS = 300_000
"""Beyond what counts as started, so that the device's snapshots show it."""
_REPORT_EVERY_S = 1.0
_HEARTBEAT_EVERY_S = 8.0
_SESSION_S = (15.0, 40.0)
_SWEPT_S = 45.0


class WatchSession(Struct):
    session_id: str
    user: str
    started_at: float
    heard_at: float
    """When it was sent what was acknowledged last."""
    is_ended: bool = False
    """Its end was acknowledged."""


class Row(Struct, frozen=True):
    """A row of progress as it was acknowledged."""

    version: int
    position_ms: int
    acked_at: float


class Player(Guest):
    """While `may_move` is set it ends sessions and begins others, and reports progress; else it only keeps
    its session. `device` is the person's other one, at another node."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        diary: Diary,
        urls: Sequence[str],
        stream_id: str,
        content_id: str,
    ) -> None:
        super().__init__(diary, name, urls, token=token(name))
        self.content_id = content_id
        self.device = Device(ledger, name, diary, [*urls[1:], urls[0]], token=token(name))
        self.sessions: list[WatchSession] = []
        self.row: Row | None = None
        self.rows: list[Row] = []
        """Every row that was acknowledged."""
        self.is_reporting = False
        self._ledger = ledger
        self._stream_id = stream_id

    @property
    def is_playing(self) -> bool:
        return bool(self.sessions) and not self.sessions[-1].is_ended and self.socket is not None

    @property
    def is_told(self) -> bool:
        """Whether the other device knows what was acknowledged here."""
        told = self.device.rows.get(self.content_id)
        return self.row is None or (
            told is not None and (told.version, told.position_ms) == (self.row.version, self.row.position_ms)
        )

    async def watch(self, may_move: asyncio.Event) -> None:
        while True:
            asked_at = now()
            answer = await self.insist("session.start", stream_id=self._stream_id, device_id="first")
            session = WatchSession(answer["session_id"], self.name, asked_at, asked_at)
            self.sessions.append(session)
            until = now() + random.uniform(*_SESSION_S)
            while await self._heartbeat(session) and (now() < until or not may_move.is_set()):
                await asyncio.sleep(_HEARTBEAT_EVERY_S * random.uniform(0.8, 1.0))
            if now() >= until:
                await self.insist("session.end", session_id=session.session_id)
            session.is_ended = True

    async def _heartbeat(self, session: WatchSession) -> bool:
        asked_at = now()
        try:
            await self.insist("session.heartbeat", session_id=session.session_id, state="playing")
        except Refused as exc:
            silent_s = now() - session.heard_at
            if silent_s < _SWEPT_S:
                self._ledger.find("lost", f"{self.name}: session ended after {silent_s:.1f} s: {exc}")
            return False
        session.heard_at = asked_at
        return True

    async def report(self, may_move: asyncio.Event) -> None:
        """One playback session from the beginning to the end, a second further with every report."""
        playback = f"playback-{self.name}"
        seq, position_ms = 0, _BEGIN_MS
        while True:
            await may_move.wait()
            self.is_reporting = True
            seq, position_ms = seq + 1, position_ms + 1_000
            answer = await self._insist_on(
                content_id=self.content_id,
                playback_session_id=playback,
                seq=seq,
                event="progress",
                position_ms=position_ms,
                duration_ms=DURATION_MS,
            )
            self._reported(seq, position_ms, answer)
            self.is_reporting = False
            await asyncio.sleep(_REPORT_EVERY_S * random.uniform(0.8, 1.2))

    async def _insist_on(self, **report: Any) -> Any:
        """As a player does: a retry keeps its number and says how old it is."""
        begun_at = now()
        while True:
            try:
                age_ms = int((now() - begun_at) * 1000)
                return await self.try_once("progress.report", **report, age_ms=age_ms)
            except LOST:
                await asyncio.sleep(random.uniform(0.02, 0.1))
            except Refused as exc:
                if not exc.args[0].get("temporary"):
                    raise
                await asyncio.sleep(random.uniform(0.1, 0.4))

    def _reported(self, seq: int, position_ms: int, answer: dict[str, Any]) -> None:
        # A retry of what was saved is a duplicate, and its row is where the report said all the same.
        row = answer["progress"]
        if (
            answer["outcome"] not in {"saved", "duplicate"}
            or row is None
            or row["position_ms"] != position_ms
        ):
            self._ledger.find("lost", f"{self.name}: report {seq} of {position_ms} ms was answered {answer}")
            return
        if self.row is not None and row["version"] <= self.row.version:
            self._ledger.find("reordered", f"{self.name}: version {row['version']} after {self.row.version}")
        self.row = Row(row["version"], row["position_ms"], now())
        self.rows.append(self.row)


class Ghost:
    """Somebody who begins to watch and is gone without a goodbye."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: WatchSession | None = None
        self._socket: Socket | None = None

    async def come(self, url: str, stream_id: str) -> None:
        """Raises what keeps it from coming: without ghosts nothing is shown about them."""
        asked_at = now()
        self._socket = await open_socket(url, token(self.name))
        answer = await self._socket.ask("session.start", stream_id=stream_id)
        self.session = WatchSession(answer["session_id"], self.name, asked_at, asked_at)

    def vanish(self) -> None:
        if self._socket is not None:
            self._socket.close()
