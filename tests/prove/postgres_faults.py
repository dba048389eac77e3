"""What is done to PostgreSQL, and what was promised about it."""

import asyncio
from datetime import datetime

from tests.prove.promises import promise_counting, promise_refusals
from tests.prove.redis_faults import ALL
from tests.prove.trial import Trial, Window
from tests.support.cluster import NodeProcess


class RestartPostgres:
    """Once in order, and once as by a loss of power."""

    name = "PostgreSQL restarted"
    touches = frozenset({"postgres"})

    def __init__(self, between_s: float = 6.0) -> None:
        self._between_s = between_s
        self._window: Window
        self._started: list[datetime] = []
        """At first, after the one restart and after the other."""

    async def hurt(self, trial: Trial) -> None:
        site = trial.site
        with trial.hurting() as self._window:
            self._started = [await site.postgres_started()]
            await site.stop_postgres()
            await site.start_postgres()
            self._started.append(await site.postgres_started())
            await asyncio.sleep(self._between_s)
            await site.kill_postgres()
            await site.start_postgres()
            self._started.append(await site.postgres_started())

    def judge(self, trial: Trial) -> None:
        starts = len(set(self._started))
        trial.promise("PostgreSQL restarted: it was, twice", starts == 3, f"{starts} times of its start")
        promise_refusals(trial, self._window, "PostgreSQL restarted")


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
        promise_refusals(trial, self._window, "PostgreSQL away")
        promise_counting(trial, self._window, "PostgreSQL away")


class StallPostgres:
    """One node's connections are taken and never answered."""

    name = "PostgreSQL silent to one node"
    touches = frozenset({"postgres"})

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._window: Window
        self._node: NodeProcess

    async def hurt(self, trial: Trial) -> None:
        self._node = trial.pick_node()
        side = trial.site.nodes.index(self._node)
        with trial.hurting() as self._window:
            async with trial.site.hurt("postgres", "stall", [side]):
                await asyncio.sleep(self._seconds)

    def judge(self, trial: Trial) -> None:
        failures = len(self._window.failures)
        told_s = self._window.told_s(trial.probe_of(self._node), "database")
        trial.promise(
            "PostgreSQL silent: somebody notices",
            failures > 0 or told_s is not None,
            f"{failures} refusals, /readyz {'never' if told_s is None else f'after {told_s:.2f} s'}",
        )
        promise_refusals(trial, self._window, "PostgreSQL silent")
        promise_counting(trial, self._window, "PostgreSQL silent")
