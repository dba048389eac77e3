"""Faults one after another, or at random."""

import asyncio
import sys
from collections.abc import Callable, Sequence

from tests.prove.client import now
from tests.prove.faults import SlowSockets
from tests.prove.node_faults import DrainNode, KillNode, StopNode
from tests.prove.postgres_faults import CutPostgres, RestartPostgres, StallPostgres
from tests.prove.redis_faults import CutRedis, KillRedis, SlowRedis
from tests.prove.trial import Fault, Trial


class InTurn:
    """All of them in one round, each as soon as things are normal after the one before."""

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        self.name = name
        self._faults = faults

    async def hurt(self, trial: Trial) -> None:
        for fault in self._faults:
            await fault.hurt(trial)
            await trial.wait_normal()

    def judge(self, trial: Trial) -> None:
        for fault in self._faults:
            fault.judge(trial)


class AtRandom:
    """Short faults, sometimes two at a time, for so many seconds. What is promised of one fault alone is not
    judged; what must never be lost is."""

    def __init__(self, seconds: float, drain_s: float) -> None:
        self.name = f"{seconds:.0f} s at random"
        self._seconds = seconds
        self._drain_s = drain_s

    async def hurt(self, trial: Trial) -> None:
        until = now() + self._seconds
        while now() < until:
            first = self._pick(trial)
            second = self._pick(trial)
            both = [first]
            if trial.rng.random() < 0.4 and not first.touches & second.touches:
                both.append(second)
            sys.stderr.write(f"{now() - trial.began_at:6.1f} s: {' and '.join(each.name for each in both)}\n")
            await asyncio.gather(*[each.hurt(trial) for each in both])
            await asyncio.sleep(trial.rng.uniform(0, 3))

    def judge(self, trial: Trial) -> None: ...

    def _pick(self, trial: Trial) -> "AnyFault":
        seconds = trial.rng.uniform(0.5, 6)
        makers: list[Callable[[], AnyFault]] = [
            lambda: KillNode(seconds),
            lambda: StopNode(2 * seconds),
            lambda: KillRedis(seconds),
            lambda: CutRedis(seconds),
            lambda: SlowRedis(seconds),
            lambda: RestartPostgres(seconds / 2),
            lambda: CutPostgres(seconds),
            lambda: StallPostgres(seconds),
            lambda: DrainNode(self._drain_s),
            lambda: SlowSockets(2 * seconds),
        ]
        return trial.rng.choice(makers)()


AnyFault = (
    KillNode
    | StopNode
    | KillRedis
    | CutRedis
    | SlowRedis
    | RestartPostgres
    | CutPostgres
    | StallPostgres
    | DrainNode
    | SlowSockets
)
