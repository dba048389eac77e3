"""What is done to the site, and what was promised about it. In the order of the table."""

import asyncio
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import Final

import httpx

from tests.bench.client import Refused
from tests.prove.client import LOST, now, open_socket
from tests.prove.site import NODES
from tests.prove.trial import Trial, Window, lasting
from tests.support.cluster import NodeProcess

ALL: Final = range(NODES)
SDK_S: Final = 5.0
UNAVAILABLE: Final = 100
SHUTDOWN: Final = 3001
SLOW: Final = 3008
_END_S: Final = 25.0


class Calm:
    """No fault: what the others are compared with."""

    name = "none"

    def __init__(self, seconds: float = 8.0) -> None:
        self._seconds = seconds

    async def hurt(self, trial: Trial) -> None:
        await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None: ...


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

    async def hurt(self, trial: Trial) -> None:
        node = trial.pick_node()
        with trial.hurting():
            node.stop_running()
            try:
                await asyncio.sleep(self._seconds)
            finally:
                node.run_on()

    def judge(self, trial: Trial) -> None: ...


class KillRedis:
    """It comes back empty."""

    name = "Redis killed"
    touches = frozenset({"redis"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._window:
            async with lasting(self._seconds):
                await trial.site.kill_redis()
            self._window.end()
            await trial.site.start_redis()

    def judge(self, trial: Trial) -> None:
        window, probes = self._window, trial.load.probes
        trial.promise("Redis dead: chat goes on", len(window.acks) > 0, f"{len(window.acks)} acknowledged")
        trial.promise_within("Redis dead: delivered within 1.5 s on every node", window.longest_told_s(), 1.5)
        told = [window.told_s(probe, "bus") for probe in probes]
        trial.promise_within(
            "Redis dead: every /readyz tells within 5 s", None if None in told else max(map(float, told)), 5
        )
        late = [count for probe in probes for count in window.counts(probe, after_s=5.0)]
        trial.promise(
            "Redis dead: counts are stale", all(count.stale for count in late), f"{len(late)} counts"
        )
        _promise_known(trial, window, "Redis dead")
        trial.promise_within("Redis back: normal within 5 s", trial.normal_s, 5)


class CutRedis:
    """From one node only."""

    name = "Redis cut from one node"
    touches = frozenset({"redis"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window
        self._node: NodeProcess

    async def hurt(self, trial: Trial) -> None:
        self._node = trial.pick_node()
        side = trial.site.nodes.index(self._node)
        with trial.hurting() as self._window:
            async with trial.site.hurt("redis", "unreachable", [side]):
                await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        told_s = self._window.told_s(trial.probe_of(self._node), "bus")
        trial.promise_within("Redis cut: /readyz of that node tells within 5 s", told_s, 5)
        others = [probe for probe in trial.load.probes if probe.node is not self._node]
        told = [self._window.told_s(probe, "bus") for probe in others]
        trial.promise("Redis cut: the other nodes stay ready", told == [None] * len(others))
        _promise_known(trial, self._window, "Redis cut")


class SlowRedis:
    """300 ms later, each way."""

    name = "Redis slow"
    touches = frozenset({"redis"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._window:
            async with trial.site.hurt("redis", "slow", ALL, 0.3):
                await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        _promise_known(trial, self._window, "Redis slow")


class RestartPostgres:
    """Once in order, and once as by a loss of power."""

    name = "PostgreSQL restarted"
    touches = frozenset({"postgres"})

    def __init__(self, between_s: float = 6.0) -> None:
        self._between_s = between_s
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        site = trial.site
        with trial.hurting() as self._window:
            await site.stop_postgres()
            await site.start_postgres()
            await asyncio.sleep(self._between_s)
            await site.kill_postgres()
            await site.start_postgres()

    def judge(self, trial: Trial) -> None:
        _promise_refusals(trial, self._window, "PostgreSQL restarted")


class CutPostgres:
    """From all nodes and the worker."""

    name = "PostgreSQL cut"
    touches = frozenset({"postgres"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._window:
            async with trial.site.hurt("postgres", "unreachable", [*ALL, "worker"]):
                await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        refused = [each for each in self._window.failures if each.method == "chat.send"]
        trial.promise("PostgreSQL away: sends are refused", len(refused) > 0, f"{len(refused)} refused")
        _promise_refusals(trial, self._window, "PostgreSQL away")
        _promise_counting(trial, self._window, "PostgreSQL away")


class StallPostgres:
    """One node's connections are taken and never answered."""

    name = "PostgreSQL silent to one node"
    touches = frozenset({"postgres"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        side = trial.rng.choice(ALL)
        with trial.hurting() as self._window:
            async with trial.site.hurt("postgres", "stall", [side]):
                await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        _promise_refusals(trial, self._window, "PostgreSQL silent")
        _promise_counting(trial, self._window, "PostgreSQL silent")


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

    async def hurt(self, trial: Trial) -> None:
        node = self._node = trial.pick_node()
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


class SlowSockets:
    """Some watchers stop reading, while more is said than their sockets take."""

    name = "sockets that stop reading"
    touches = frozenset({"sockets"})

    def __init__(self, seconds: float = 16.0, padding: int = 400) -> None:
        self._seconds = seconds
        self._padding = padding
        self._window: Window

    async def hurt(self, trial: Trial) -> None:
        load = trial.load
        with trial.hurting() as self._window:
            for chatter in load.chatters:
                chatter.padding = f" {'x' * self._padding}"
            paused = [each.socket for each in load.laggards if each.socket is not None]
            for socket in paused:
                socket.pause()
            await asyncio.sleep(self._seconds)
            for socket in paused:
                socket.go_on()
            await asyncio.sleep(1.0)  # to read the goodbyes
        for chatter in load.chatters:
            chatter.padding = ""

    def judge(self, trial: Trial) -> None:
        codes = [closing.code for closing in self._window.closings() if closing.code is not None]
        trial.promise(
            "sockets that stop reading are sent away",
            SLOW in codes,
            f"{codes.count(SLOW)} closed with {SLOW}",
        )
        trial.promise_within(
            "sockets that stop reading delay nobody else", self._window.longest_told_s(), 1.5
        )
        trial.promise(
            "sockets that stop reading: nobody else is closed", set(codes) <= {SLOW}, f"codes {codes}"
        )


def _promise_known(trial: Trial, window: Window, when: str) -> None:
    counts = [(probe.node.port, count) for probe in trial.load.probes for count in window.counts(probe)]
    unknown = [
        f"{count.viewers} at {port} after {count.at - window.began_at:.2f} s"
        for port, count in counts
        if not count.viewers
    ]
    trial.promise(
        f"{when}: no count is 0 or null",
        not unknown,
        f"{len(counts)} counts, {len(unknown)} unknown {unknown[:3]}",
    )


def _promise_counting(trial: Trial, window: Window, when: str) -> None:
    per_node = [window.counts(probe) for probe in trial.load.probes]
    are_fresh = not any(count.stale or not count.viewers for counts in per_node for count in counts)
    trial.promise(
        f"{when}: counts go on",
        are_fresh and all(map(len, per_node)),
        f"{[len(counts) for counts in per_node]} counts",
    )


def _promise_refusals(trial: Trial, window: Window, when: str) -> None:
    """What is asked for is refused for now, in time; nobody loses a socket."""
    failures = window.failures
    other = Counter(
        (each.method, each.code) for each in failures if each.code != UNAVAILABLE or not each.is_temporary
    )
    trial.promise(
        f"{when}: every refusal is {UNAVAILABLE} temporary",
        not other,
        f"{len(failures)} refusals, others {dict(other)}",
    )
    longest_s = max((each.took_s for each in failures), default=0.0)
    trial.promise_within(f"{when}: refused before an SDK gives up", longest_s, SDK_S - 0.01)
    # In a room where nothing is said any more the impatient go away by themselves.
    closed = [each for each in window.closings() if not each.is_ours]
    trial.promise(f"{when}: sockets stay", not closed, f"{len(closed)} closed")


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
