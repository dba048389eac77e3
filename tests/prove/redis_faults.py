"""What is done to Redis, and what was promised about it."""

import asyncio
from collections import Counter
from typing import Final

import httpx

from tests.prove.promises import promise_known, promise_quiet, promise_sockets, promise_stale
from tests.prove.site import NODES
from tests.prove.trial import Trial, Window, lasting
from tests.support.cluster import NodeProcess

ALL: Final = range(NODES)
INSUFFICIENT_STATE: Final = 3010
QUIET_S: Final = 1.5
COMPARED_S: Final = 6.0
"""A node that is cut off cannot tell the others: what was said there they find by comparing, after 5.5 s."""
_AFTER_S: Final = 10.0
_SHORT_S: Final = 5.0
"""In less than that it may be that nothing is said in the quiet chat."""
_DELAY_S: Final = 0.3


class KillRedis:
    """It comes back empty."""

    name = "Redis killed"
    touches = frozenset({"redis"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window
        self._whole: Window
        """With its return."""

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._whole, trial.hurting() as self._window:
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
        promise_stale(trial, window, "Redis dead", min(5.0, self._seconds / 2))
        promise_known(trial, window, "Redis dead")
        _promise_sockets(trial, self._whole, "Redis dead")
        promise_quiet(trial, window, "Redis dead", QUIET_S, speakers=ALL, listeners=ALL)
        after = trial.after(self._whole, _AFTER_S)
        _promise_sockets(trial, after, "Redis back")
        if after.ended_at - after.began_at > _SHORT_S:
            promise_quiet(trial, after, "Redis back", QUIET_S, speakers=ALL, listeners=ALL)
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
                await asyncio.sleep(self._seconds / 4)
                trial.load.quiet.speak_next(side)
                await asyncio.sleep(self._seconds * 3 / 4)

    def judge(self, trial: Trial) -> None:
        told_s = self._window.told_s(trial.probe_of(self._node), "bus")
        trial.promise_within("Redis cut: /readyz of that node tells within 5 s", told_s, 5)
        others = [probe for probe in trial.load.probes if probe.node is not self._node]
        told = [self._window.told_s(probe, "bus") for probe in others]
        trial.promise("Redis cut: the other nodes stay ready", told == [None] * len(others))
        promise_known(trial, self._window, "Redis cut")
        _promise_sockets(trial, self._window, "Redis cut")
        side = trial.site.nodes.index(self._node)
        elsewhere = [each for each in ALL if each != side]
        promise_quiet(
            trial, self._window, "Redis cut: said elsewhere", QUIET_S, speakers=elsewhere, listeners=ALL
        )
        promise_quiet(
            trial, self._window, "Redis cut: said there", COMPARED_S, speakers=[side], listeners=ALL
        )


class SlowRedis:
    """300 ms later, each way."""

    name = "Redis slow"
    touches = frozenset({"redis"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window
        self._lags: list[float] = []

    async def hurt(self, trial: Trial) -> None:
        with trial.hurting() as self._window:
            async with trial.site.hurt("redis", "slow", ALL, _DELAY_S):
                await asyncio.sleep(self._seconds)
                self._lags = await asyncio.gather(*map(_lag_s, trial.site.nodes))

    def judge(self, trial: Trial) -> None:
        trial.promise("Redis slow: the nodes measure it", min(self._lags) >= _DELAY_S, f"lags {self._lags}")
        promise_known(trial, self._window, "Redis slow")
        promise_sockets(trial, self._window, "Redis slow")


def _promise_sockets(trial: Trial, window: Window, when: str) -> None:
    """Without the bus a person's channel begins anew with every change: a device that is told so more often
    than a socket may subscribe again (core/pace.py) is sent away with 3010. Players report every second."""
    devices = [player.device.name for player in trial.load.players]
    promise_sockets(trial, window, when, but=devices)
    codes = Counter(each.code for each in window.lost_sockets() if each.name in devices)
    trial.promise(
        f"{when}: other devices stay, or begin anew", codes.keys() <= {INSUFFICIENT_STATE}, f"{dict(codes)}"
    )


async def _lag_s(node: NodeProcess) -> float:
    """Of its last message to itself, by its own account; 0 if it gives none."""
    try:
        lines = (await node.get("/metrics")).text.splitlines()
    except httpx.HTTPError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("csn_bus_lag_seconds ")), 0.0)
