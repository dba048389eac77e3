"""One round: a fault, then what became of everything, judged.

    hurt ──▶ healed ──▶ normal (load.py, rule 2) ──▶ 30 s after the ghosts vanished ──▶ calm ──▶ judged

With the fault some players vanish without a goodbye. Calm is: nothing new is begun, what was begun is
answered; then everybody has `SETTLE_S` to see what there is.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from msgspec import Struct

from tests.prove.checker import KINDS, Ack, Finding, Kind
from tests.prove.client import Closing, Failure, now
from tests.prove.load import Load
from tests.prove.probe import Count, Probe
from tests.prove.site import Site
from tests.support.cluster import NodeProcess

GHOSTS: Final = 3
GHOST_S: Final = 30.0
SETTLE_S: Final = 10.0
COUNTS_S: Final = 5.0
NORMAL_S: Final = 30.0
ANSWER_S: Final = 20.0


class Promise(Struct, frozen=True):
    what: str
    is_kept: bool
    measured: str
    is_of_time: bool
    """Whether it is about seconds, which a busy machine may break."""


class Trial:
    """What a fault has in its hands, and what it promises."""

    def __init__(self, site: Site, load: Load, rng: random.Random) -> None:
        self.site = site
        self.load = load
        self.rng = rng
        self.began_at = now()
        self.hurt_at: float | None = None
        self.healed_at: float | None = None
        self.normal_s: float | None = None
        """From healed to normal; None: never."""
        self.promises: list[Promise] = []

    def pick_node(self) -> NodeProcess:
        return self.rng.choice(self.site.nodes)

    def probe_of(self, node: NodeProcess) -> Probe:
        return self.load.probes[self.site.nodes.index(node)]

    @contextmanager
    def hurting(self) -> Iterator["Window"]:
        """The time of the fault; there may be several in one round."""
        window = Window(self.load, now())
        if self.hurt_at is None:
            self.hurt_at = window.began_at
        try:
            yield window
        finally:
            self.healed_at = now()
            window.end()

    async def wait_normal(self) -> None:
        """From the end of the last fault."""
        healed_at = self.healed_at or now()
        head = await self.site.head()
        if await self.load.wait_until(lambda: not self.load.not_normal(head), NORMAL_S):
            self.normal_s = now() - healed_at
        else:
            reasons = ", ".join(self.load.not_normal(head))
            self.promise(f"normal again within {NORMAL_S:.0f} s", is_kept=False, measured=reasons)

    def promise(self, what: str, is_kept: bool, measured: str = "", *, is_of_time: bool = False) -> None:
        self.promises.append(Promise(what, is_kept, measured, is_of_time))

    def promise_within(self, what: str, took_s: float | None, bound_s: float) -> None:
        measured = "never" if took_s is None else f"{took_s:.2f} s"
        self.promise(what, took_s is not None and took_s <= bound_s, measured, is_of_time=True)


class Window:
    """What happened from the beginning to the end of a fault."""

    def __init__(self, load: Load, began_at: float) -> None:
        self.began_at = began_at
        self.ended_at = float("inf")
        self._load = load

    def end(self) -> None:
        """May be called twice: the first end counts."""
        self.ended_at = min(self.ended_at, now())

    def holds(self, at: float) -> bool:
        return self.began_at <= at <= self.ended_at

    @property
    def acks(self) -> list[Ack]:
        return [ack for ack in self._load.ledger.acks if self.holds(ack.acked_at)]

    @property
    def failures(self) -> list[Failure]:
        """Of commands that were asked within the window, or answered."""
        return [each for each in self._load.diary.failures if self.holds(each.at)]

    def closings(self, node: NodeProcess | None = None) -> list[Closing]:
        return [
            each
            for each in self._load.diary.closings
            if self.holds(each.at) and (node is None or each.url == node.ws_url)
        ]

    def counts(self, probe: Probe, after_s: float = 0.0) -> list[Count]:
        return [count for count in probe.counts if self.began_at + after_s <= count.at <= self.ended_at]

    def told_s(self, probe: Probe, check: str) -> float | None:
        """After how long the node said that it is not ready for this reason; None: not within the window."""
        for ready in probe.readiness:
            if self.holds(ready.at) and ready.checks.get(check, "ok") != "ok":
                return ready.at - self.began_at
        return None

    def longest_told_s(self) -> float:
        """From an acknowledgement to the last watcher, the longest."""
        seen_at = self._load.ledger.seen_at
        return max(
            (max(0.0, seen_at.get(ack.sequence, float("inf")) - ack.acked_at) for ack in self.acks),
            default=0.0,
        )


class Fault(Protocol):
    name: str

    async def hurt(self, trial: Trial) -> None:
        """Return when it is healed."""

    def judge(self, trial: Trial) -> None:
        """Say which promises were kept; all that was acknowledged has been seen by then."""


class Row(Struct, frozen=True):
    """What a round came to."""

    name: str
    acknowledged: int
    delivered: int
    found: dict[Kind, int]
    findings: list[Finding]
    promises: list[Promise]
    answer_s: list[float]
    """From the first attempt to the acknowledgement, of what was sent during the fault."""
    told_s: list[float]
    """From the acknowledgement to the last watcher."""
    normal_s: float | None
    lag_s: float


async def run_round(fault: Fault, trial: Trial, *, waits_for_ghosts: bool = True) -> Row:
    load = trial.load
    first_ack, first_finding, delivered = (
        len(load.ledger.acks),
        len(load.ledger.findings),
        load.ledger.deliveries,
    )
    load.lag_s = 0.0
    ghosts = await load.invite_ghosts(GHOSTS) if waits_for_ghosts else []
    trial.began_at = vanished_at = now()
    for ghost in ghosts:
        ghost.vanish()
    await fault.hurt(trial)
    await trial.wait_normal()
    if waits_for_ghosts:
        await asyncio.sleep(max(0.0, vanished_at + GHOST_S - now()))
    lag_s = load.lag_s
    await _settle(load, trial.site)
    acks = load.ledger.acks[first_ack:]
    load.ledger.judge(acks)
    fault.judge(trial)
    if load.problem is not None:
        raise load.problem
    load.stir()
    hurt_at, healed_at = trial.hurt_at or trial.began_at, trial.healed_at or now()
    timed = [ack for ack in acks if hurt_at <= ack.sent_at <= healed_at]
    findings = load.ledger.findings[first_finding:]
    return Row(
        fault.name,
        len(acks),
        load.ledger.deliveries - delivered,
        count_kinds(findings),
        findings,
        trial.promises,
        [ack.acked_at - ack.sent_at for ack in timed],
        [
            max(0.0, load.ledger.seen_at[ack.sequence] - ack.acked_at)
            for ack in timed
            if ack.sequence in load.ledger.seen_at
        ],
        trial.normal_s,
        lag_s,
    )


def count_kinds(findings: Iterable[Finding]) -> dict[Kind, int]:
    found = dict.fromkeys(KINDS, 0)
    for finding in findings:
        found[finding.kind] += finding.times
    return found


async def _settle(load: Load, site: Site) -> None:
    ledger = load.ledger
    if not await load.calm(ANSWER_S):
        waiting = [chatter.name for chatter in load.chatters if not chatter.is_quiet]
        waiting += [player.name for player in load.players if player.is_reporting]
        ledger.find("lost", f"no answer for {', '.join(waiting)}", len(waiting))
    head = await site.head()
    if not await load.wait_until(lambda: load.is_up_to(head), SETTLE_S):
        behind = [each.history.name for each in load.watchers if each.history.position < head]
        sys.stderr.write(f"behind {head}: {', '.join(behind)}\n")  # judged by what they have not seen
    await _settle_counts(load)
    await _settle_progress(load)


async def _settle_counts(load: Load) -> None:
    expected = len(load.players)
    if not await load.wait_until(lambda: all(player.is_playing for player in load.players), COUNTS_S):
        load.ledger.find("wrong counts", "not everybody plays")
    if await load.wait_until(lambda: load.are_counts(expected), COUNTS_S):
        return
    shown = {f"node {probe.node.port}": probe.count for probe in load.probes}
    shown |= {each.history.name: each.count for each in load.watchers}
    for name, count in shown.items():
        viewers = None if count is None else count.viewers
        if viewers is not None and viewers > expected:
            load.ledger.find("ghosts", f"{name} shows {viewers} of {expected}", viewers - expected)
        elif count is None or viewers != expected or count.stale:
            load.ledger.find("wrong counts", f"{name} shows {count}, not {expected}")


async def _settle_progress(load: Load) -> None:
    """What was acknowledged is there for whoever asks, and the other device was told."""
    players = [player for player in load.players if player.row is not None]
    await load.wait_until(lambda: all(player.is_told for player in players), SETTLE_S)
    for player in players:
        row = player.row
        if not player.is_told:
            told = player.device.rows.get(player.content_id)
            load.ledger.find("lost", f"{player.name}'s other device has {told}, and acknowledged was {row}")
        page = await player.insist("progress.get", content_ids=[player.content_id])
        stored = [(item["version"], item["position_ms"]) for item in page["items"]]
        if row is not None and stored != [(row.version, row.position_ms)]:
            load.ledger.find("lost", f"{player.name} reads {stored}, and acknowledged was {row}")


@asynccontextmanager
async def lasting(seconds: float) -> AsyncIterator[None]:
    """At least so long, whatever is done in it."""
    until = now() + seconds
    yield
    await asyncio.sleep(max(0.0, until - now()))
