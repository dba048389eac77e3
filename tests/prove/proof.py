"""A whole proof: rounds one after another on one site, then the database itself."""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from tests.prove import database
from tests.prove.checker import Finding
from tests.prove.faults import Calm, SlowSockets
from tests.prove.load import Load, Sizes
from tests.prove.logs import complaints
from tests.prove.mixes import AtRandom, InTurn
from tests.prove.node_faults import DrainNode, KillNode, StopNode
from tests.prove.postgres_faults import CutPostgres, RestartPostgres, StallPostgres
from tests.prove.redis_faults import CutRedis, KillRedis, SlowRedis
from tests.prove.settling import settle
from tests.prove.site import open_site
from tests.prove.trial import Fault, Promise, Row, Trial, count_acks, judge_all, run_round

DRAIN_S = 6.0
SHORT_DRAIN_S = 2.0


class Proof(Struct):
    rows: list[Row]
    at_the_end: list[Finding]
    """About what was acknowledged after the last round, and what the database said."""
    complaints: list[str]
    """Errors and tracebacks in the logs of nodes and worker."""
    is_worker_running: bool

    @property
    def findings(self) -> list[Finding]:
        return [*(finding for row in self.rows for finding in row.findings), *self.at_the_end]

    @property
    def promises(self) -> list[Promise]:
        no_complaints = Promise(
            "no log has an error or a traceback",
            not self.complaints,
            f"{len(self.complaints)}",
            is_of_time=False,
        )
        lives = Promise("the worker lives on", self.is_worker_running, "", is_of_time=False)
        return [*(promise for row in self.rows for promise in row.promises), no_complaints, lives]


def each_in_turn() -> list[Fault]:
    return [
        Calm(),
        KillNode(),
        StopNode(),
        KillRedis(),
        CutRedis(),
        SlowRedis(),
        RestartPostgres(),
        CutPostgres(),
        DrainNode(DRAIN_S),
        SlowSockets(),
        StallPostgres(),
    ]


def at_random(seconds: float) -> Fault:
    return AtRandom(seconds, SHORT_DRAIN_S)


def in_short() -> Fault:
    """What takes three quarters of a minute: for the test suite."""
    return InTurn(
        "in short",
        [KillNode(1.0), KillRedis(8.0), CutPostgres(3.0), DrainNode(SHORT_DRAIN_S, comers=30, messages=20)],
    )


async def prove(
    faults: Sequence[Fault],
    seed: int,
    sizes: Sizes,
    *,
    drain_s: float = DRAIN_S,
    told: Callable[[Row], None] = lambda _row: None,
    logs: Path | None = None,
) -> Proof:
    """`told` gets every row as soon as there is one; `logs` is where the logs are copied to."""
    rng = random.Random(seed)
    rows = []
    async with open_site(drain_s) as site:
        load = Load(site, sizes)
        async with load.running():
            for fault in faults:
                row = await run_round(
                    fault, Trial(site, load, rng), waits_for_ghosts=not isinstance(fault, Calm)
                )
                rows.append(row)
                told(row)
            seen, first_acks = len(load.ledger.findings), count_acks(load)
            await settle(load, site)
            judge_all(load, first_acks)
            await database.compare(site, load)
        if logs is not None:
            _copy(site.logs(), logs)
        return Proof(rows, load.ledger.findings[seen:], complaints(site.logs()), site.worker.is_running)


def _copy(files: Sequence[Path], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, directory)
