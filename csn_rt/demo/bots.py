"""Simulated viewers: they watch the stream and chat, or watch a video, and leave again, like anybody.

Rule 1: they are polite: one line in 6 to 30 seconds each, nothing that was just said, and who is told to slow
        down waits as long as he was told.
Rule 2: they are spread over the nodes, and one whose node is gone comes back at another one, later and later
        while that fails.
Rule 3: when the crowd is sent home, everyone says goodbye first; who cannot in time is cut off.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from csn_rt.demo.connection import Failed, Lost, ViewerConnection, connected
from csn_rt.demo.lines import LINES, NAMES, Moment
from csn_rt.demo.seed import Programme, Video
from csn_rt.features.context import new_id
from csn_rt.wire import names
from csn_rt.wire.progress import PlaybackEvent

log = structlog.get_logger(__name__)

GOODBYE_S: Final = 3.0
_ARRIVE_S: Final = (0.0, 4.0)
_FIRST_LINE_S: Final = (0.5, 6.0)
_LINE_S: Final = (6.0, 30.0)
_STAY_S: Final = (90.0, 600.0)
_AWAY_S: Final = (3.0, 20.0)
_MOMENT_S: Final = (12.0, 35.0)
_RETRY_S: Final = (0.5, 20.0)
_OWN_LINES: Final = 6
_HEARD_LINES: Final = 3
_VIDEO_FANS: Final = 4
"""One in so many watches a video."""
_REPORT_S: Final = 10.0
"""How often a player reports where it is."""


class Match:
    """What happens on the ice, and what was just said about it; all fans see and hear the same."""

    def __init__(self, rng: random.Random) -> None:
        self.moment = Moment.CALM
        self.heard: deque[str] = deque(maxlen=_HEARD_LINES)
        self._rng = rng

    async def play(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(*_MOMENT_S))
            exciting = [each for each in Moment if each is not Moment.CALM]
            self.moment = Moment.CALM if self.moment in exciting else self._rng.choice(exciting)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where the crowd goes and what it watches."""

    sockets: Sequence[str]
    """Addresses of the nodes' WebSockets."""
    programme: Programme
    token: Callable[[str, str], str]
    """A token for a user id and a name."""


class Crowd:
    def __init__(self, plan: Plan, size: int) -> None:
        rng = random.Random()
        self._match = Match(rng)
        self._home = asyncio.Event()
        self._fans = [Fan(plan, self._match, self._home, rng, number) for number in range(size)]

    async def run(self) -> None:
        """Return when everyone has gone home."""
        match = asyncio.create_task(self._match.play())
        fans = [asyncio.create_task(fan.live()) for fan in self._fans]
        try:
            await self._home.wait()
            if fans:
                await asyncio.wait(fans, timeout=GOODBYE_S)
        finally:
            for task in (match, *fans):
                task.cancel()
            await asyncio.gather(match, *fans, return_exceptions=True)

    def send_home(self) -> None:
        self._home.set()


class Playback:
    """One player with one video."""

    def __init__(self, connection: ViewerConnection, video: Video) -> None:
        self._connection = connection
        self._video = video
        self._id = new_id()
        self._seq = 0
        self._position_ms = 0

    @property
    def is_over(self) -> bool:
        return self._position_ms >= self._video.duration_ms

    async def play(self, duration_s: float) -> None:
        self._position_ms = min(self._position_ms + int(duration_s * 1000), self._video.duration_ms)
        await self.report("progress")

    async def report(self, event: PlaybackEvent) -> None:
        answer = await self._connection.rpc(
            "progress.report",
            content_id=self._video.id,
            playback_session_id=self._id,
            seq=self._seq,
            event=event,
            position_ms=self._position_ms,
            duration_ms=self._video.duration_ms,
        )
        self._seq += 1
        known = answer["progress"]
        if event == "start" and known is not None and not known["completed"]:
            self._position_ms = known["position_ms"]


class Fan:
    """One person."""

    def __init__(
        self, plan: Plan, match: Match, home: asyncio.Event, rng: random.Random, number: int
    ) -> None:
        name, lap = NAMES[number % len(NAMES)], number // len(NAMES)
        self.name = f"{name} {lap + 1}" if lap else name
        self.user_id = f"demo-fan-{number + 1}"
        self._plan = plan
        self._match = match
        self._home = home
        self._rng = rng
        self._node = number
        self._likes_videos = number % _VIDEO_FANS == _VIDEO_FANS - 1
        self._said: deque[str] = deque(maxlen=_OWN_LINES)

    async def live(self) -> None:
        """Visit after visit, until everyone is sent home."""
        await self._rest(*_ARRIVE_S)
        retry_s = _RETRY_S[0]
        while not self._home.is_set():
            try:
                await self._visit()
            except (Lost, Failed) as exc:
                log.debug("demo_fan_lost", fan=self.user_id, error=str(exc))
                await self._rest(0.0, retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])
            else:
                await self._rest(*_AWAY_S)
                retry_s = _RETRY_S[0]

    async def _visit(self) -> None:
        self._node += 1
        socket = self._plan.sockets[self._node % len(self._plan.sockets)]
        async with connected(socket, self._plan.token(self.user_id, self.name)) as connection:
            await connection.subscribe(names.user(self.user_id))
            programme = self._plan.programme
            if programme.stream_id and not self._likes_videos:
                await self._watch_stream(connection, programme.stream_id)
            elif programme.videos:
                await self._watch_video(connection, self._rng.choice(programme.videos))
            else:
                await self._rest(*_STAY_S)

    async def _watch_stream(self, connection: ViewerConnection, stream_id: str) -> None:
        await connection.subscribe(names.stream_chat(stream_id))
        await connection.subscribe(names.stream_viewers(stream_id))
        session = await connection.rpc("session.start", stream_id=stream_id)
        now = asyncio.get_running_loop().time
        leave_at = now() + self._rng.uniform(*_STAY_S)
        beat_s = session["heartbeat_ms"] / 1000
        beat_at = now() + beat_s
        speak_at = now() + self._rng.uniform(*_FIRST_LINE_S)
        while now() < leave_at and not self._home.is_set():
            wait_s = max(0.0, min(leave_at, beat_at, speak_at) - now())
            await self._rest(wait_s, wait_s)
            if now() >= beat_at:
                await connection.rpc("session.heartbeat", session_id=session["session_id"], state="playing")
                beat_at = now() + beat_s
            if now() >= speak_at:
                speak_at = now() + await self._speak(connection, stream_id)
        await connection.rpc("session.end", session_id=session["session_id"])

    async def _watch_video(self, connection: ViewerConnection, video: Video) -> None:
        """Go on where it was left, report every 10 s, and stop there or at the end."""
        playback = Playback(connection, video)
        await playback.report("start")
        now = asyncio.get_running_loop().time
        leave_at = now() + self._rng.uniform(*_STAY_S)
        while now() < leave_at and not self._home.is_set() and not playback.is_over:
            began = now()
            await self._rest(_REPORT_S, _REPORT_S)
            await playback.play(now() - began)
        await playback.report("ended" if playback.is_over else "stop")

    async def _speak(self, connection: ViewerConnection, stream_id: str) -> float:
        """Say a line that fits the moment; answers after how many seconds the next one may come."""
        stale = {*self._said, *self._match.heard}
        text = self._rng.choice([line for line in LINES[self._match.moment] if line not in stale])
        self._said.append(text)
        self._match.heard.append(text)
        sent = await connection.rpc("chat.send", stream_id=stream_id, text=text, client_id=new_id())
        told_s: float = sent.get("drop", {}).get("retry_after_ms", 0) / 1000
        return max(told_s, self._rng.uniform(*_LINE_S))

    async def _rest(self, least_s: float, most_s: float) -> None:
        """Wait, but not longer than everyone may stay."""
        try:
            async with asyncio.timeout(self._rng.uniform(least_s, most_s)):
                await self._home.wait()
        except TimeoutError:
            return
