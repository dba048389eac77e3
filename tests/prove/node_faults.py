"""What is done to nodes, and what was promised about it."""

import asyncio
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import Final

import httpx

from tests.bench.client import Refused
from tests.prove.client import LOST, now, open_socket
from tests.prove.promises import SDK_S
from tests.prove.trial import Trial, Window, lasting
from tests.support.cluster import NodeProcess

SHUTDOWN: Final = 3001
_END_S: Final = 25.0
_STOPPED_S: Final = 1.0
"""What was answered before may still be read for so long."""


class KillNode:
    """kill -9, and a new one in its place."""

    name = "node killed"
    touches = frozenset({"node"})

    def __init__(self, seconds: float = 6.0) -> None:
        self._seconds = seconds

    async def hurt(self, trial: Trial) -> None:
        node = trial.pick_node()
        with trial.hurting():
            async with lasting(self._seconds):
                await node.kill()
            await node.start()

    def judge(self, trial: Trial) -> None: ...


class StopNode:
    name = "node stopped"
    touches = frozenset({"node"})

    def __init__(self, seconds: float = 20.0) -> None:
        self._seconds = seconds
        self._window: Window
        self._node: NodeProcess

    async def hurt(self, trial: Trial) -> None:
        node = self._node = trial.pick_node()
        with trial.hurting() as self._window:
            node.stop_running()
            try:
                await asyncio.sleep(self._seconds)
            finally:
                node.run_on()

    def judge(self, trial: Trial) -> None:
        window, probe = self._window, trial.probe_of(self._node)
        since = window.began_at + _STOPPED_S
        answers = [each for each in probe.readiness if since <= each.at <= window.ended_at and each.checks]
        counts = window.counts(probe, after_s=_STOPPED_S)
        trial.promise(
            "node stopped: it answers nobody",
            not answers and not counts,
            f"{len(answers)} answers of /readyz, {len(counts)} counts",
        )


class DrainNode:
    """SIGTERM in the middle of a storm, and a new one in its place."""

    name = "node drained in a storm"
    touches = frozenset({"node"})

    def __init__(self, drain_s: float, comers: int = 120, messages: int = 60) -> None:
        self._drain_s = drain_s
        self._comers = comers
        self._messages = messages
        self._node: NodeProcess
        self._window: Window
        self._told_s: float | None = None
        self._is_refused = False
        self._reread = 0
        """How often watchers had to read again what they had missed, before it."""

    async def hurt(self, trial: Trial) -> None:
        node = self._node = trial.pick_node()
        self._reread = _times_reread(trial)
        storm = asyncio.create_task(trial.load.storm(self._comers, self._messages))
        try:
            await asyncio.sleep(0.5)
            with trial.hurting() as self._window:
                node.ask_to_end()
                self._told_s, self._is_refused = await asyncio.gather(_told(node), _is_refused(node))
                code = await _ended(node, self._drain_s + _END_S)
                trial.promise("drain: exit 0", code == 0, f"exit {code}")
                self._window.end()
                await node.start()
            await storm
        finally:
            storm.cancel()
            with suppress(asyncio.CancelledError):
                await storm

    def judge(self, trial: Trial) -> None:
        trial.promise_within("drain: /readyz is 503 at once", self._told_s, 1)
        trial.promise("drain: new sockets are refused", self._is_refused)
        goodbyes = [each for each in self._window.closings(self._node) if not each.is_ours]
        others = [
            f"{each.code} after {each.at - self._window.began_at:.2f} s"
            for each in goodbyes
            if each.code != SHUTDOWN
        ]
        trial.promise(
            "drain: every goodbye is 3001",
            bool(goodbyes) and not others,
            f"{len(goodbyes)} goodbyes, others {others}",
        )
        after_s = sorted(closing.at - self._window.began_at for closing in goodbyes)
        in_first_half = sum(after < self._drain_s / 2 for after in after_s)
        is_spread = bool(after_s) and 0.1 < in_first_half / len(after_s) < 0.9
        first_s, last_s = (after_s[0], after_s[-1]) if after_s else (0.0, 0.0)
        trial.promise(
            f"drain: goodbyes spread over {self._drain_s:g} s",
            is_spread and 0.6 * self._drain_s < last_s < self._drain_s + 2,
            f"from {first_s:.2f} s to {last_s:.2f} s, {in_first_half} of {len(after_s)} in the first half",
            is_of_time=True,
        )
        reread = _times_reread(trial) - self._reread
        trial.promise(
            "drain: clients are back with everything recovered", reread == 0, f"{reread} not recovered"
        )


def _times_reread(trial: Trial) -> int:
    laggards = {each.name for each in trial.load.laggards}
    return sum(each.times_reread for each in trial.load.watchers if each.name not in laggards)


async def _told(node: NodeProcess) -> float | None:
    """After how long the node says that it takes nobody any more."""
    started = now()
    async with httpx.AsyncClient(timeout=2.0) as http:
        while now() - started < SDK_S:
            try:
                if (await http.get(f"{node.url}/readyz")).status_code == 503:
                    return now() - started
            except httpx.TransportError:
                return None
            await asyncio.sleep(0.02)
    return None


async def _is_refused(node: NodeProcess) -> bool:
    await asyncio.sleep(0.3)
    try:
        socket = await open_socket(node.ws_url)
    except (*LOST, Refused):
        return True
    socket.close()
    return False


async def _ended(node: NodeProcess, wait_s: float) -> int | None:
    """The exit code; None for one that hangs, after saying where."""
    try:
        return await node.wait_ended(wait_s)
    except TimeoutError:
        if (py_spy := shutil.which("py-spy")) is not None:
            command = [py_spy, "dump", "--pid", str(node.pid)]
            dump = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False
            )
            sys.stderr.write(f"{dump.stdout}{dump.stderr}\n")
        await node.kill()
        return None
