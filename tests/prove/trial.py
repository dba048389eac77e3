"""One round: a fault, then what became of everything, judged.

    hurt ──▶ healed ──▶ normal (load.py, rule 2) ──▶ 30 s after the ghosts vanished ──▶ calm ──▶ judged

With the fault some players vanish without a goodbye; 30 s later nobody may count them. Calm is defined in
settling.py. A round in which nothing was acknowledged has shown nothing: that is a finding.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from msgspec import Struct

from tests.prove.checker import KINDS, Ack, Finding, Kind
from tests.prove.client import Closing, Failure, now
from tests.prove.load import Load
from tests.prove.probe import Count, Probe
from tests.prove.settling import find_silence, look_for_ghosts, settle
from tests.prove.site import Site
from tests.support.cluster import NodeProcess

GHOSTS: Final = 3
GHOST_S: Final = 30.0
NORMAL_S: Final = 30.0
_BEFORE_NEXT_S: Final = 1.5


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
        self._windows: list[Window] = []

    def pick_node(self) -> NodeProcess:
        """One through which somebody talks, if anybody does at this moment: else nobody would be hurt."""
        urls = {chatter.socket.url for chatter in self.load.chatters if chatter.socket is not None}
        return self.rng.choice([node for node in self.site.nodes if node.ws_url in urls] or self.site.nodes)

    def probe_of(self, node: NodeProcess) -> Probe:
        return self.load.probes[self.site.nodes.index(node)]

    @contextmanager
    def hurting(self) -> Iterator["Window"]:
        """The time of the fault; there may be several in one round."""
        window = Window(self.load, now())
        self._windows.append(window)
        if self.hurt_at is None:
            self.hurt_at = window.began_at
        try:
            yield window
        finally:
            self.healed_at = now()
            window.end()

    def after(self, window: "Window", seconds: float) -> "Window":
        """So long after a fault, or until shortly before the next one."""
        began_at = window.ended_at
        nexts = [each.began_at - _BEFORE_NEXT_S for each in self._windows if each.began_at > began_at]
        return Window(self.load, began_at, min([began_at + seconds, *nexts]))

    async def wait_normal(self) -> None:
        """From the end of the last fault."""
        healed_at = self.healed_at or now()
        head = await self.site.head(self.site.stream_id)
        if await self.load.wait_until(lambda: not self.load.not_normal(head), NORMAL_S):
            self.normal_s = now() - healed_at
        else:
            reasons = ", ".join(self.load.not_normal(head))
            self.promise(f"normal again within {NORMAL_S:.0f} s", is_kept=False, measured=reasons)

    def promise(self, what: str, is_kept: bool, measured: str = "", *, is_of_time: bool = False) -> None:
        self.promises.append(Promise(what, is_kept, measured, is_of_time))

    def promise_within(self, what: str, took_s: float | None, bound_s: float) -> None:
        """None, or infinite: it never came, which no machine is too busy for."""
        if took_s is None or took_s == float("inf"):
            self.promise(what, is_kept=False, measured="never")
        else:
            self.promise(what, took_s <= bound_s, f"{took_s:.2f} s", is_of_time=True)


class Window:
    """What happened from the beginning to the end of a fault."""

    def __init__(self, load: Load, began_at: float, ended_at: float = float("inf")) -> None:
        self.began_at = began_at
        self.ended_at = ended_at
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
        return [
            each
            for each in self._load.diary.failures
            if self.holds(each.at) or self.holds(each.at - each.took_s)
        ]

    def closings(self, node: NodeProcess | None = None) -> list[Closing]:
        return [
            each
            for each in self._load.diary.closings
            if self.holds(each.at) and (node is None or each.url == node.ws_url)
        ]

    def lost_sockets(self, *, but: Collection[str] = ()) -> list[Closing]:
        """Those that their guests did not give up by themselves, but these guests'."""
        return [each for each in self.closings() if not each.is_ours and each.name not in but]

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
    first_acks = count_acks(load)
    first_ack, first_finding, delivered = first_acks[0], len(load.ledger.findings), load.ledger.deliveries
    load.lag_s = 0.0
    ghosts = await load.invite_ghosts(GHOSTS) if waits_for_ghosts else []
    trial.began_at = vanished_at = now()
    for ghost in ghosts:
        ghost.vanish()
    await fault.hurt(trial)
    await trial.wait_normal()
    if waits_for_ghosts:
        await asyncio.sleep(max(0.0, vanished_at + GHOST_S - now()))
        await look_for_ghosts(load, vanished_at + GHOST_S)
    lag_s = load.lag_s
    await settle(load, trial.site)
    acks = load.ledger.acks[first_ack:]
    judge_all(load, first_acks)
    find_silence(load.ledger, acks)
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


def count_acks(load: Load) -> list[int]:
    """Until now, by chat."""
    return [len(chat.ledger.acks) for chat in load.chats]


def judge_all(load: Load, first_acks: Sequence[int]) -> None:
    """What was acknowledged from there on."""
    for chat, first in zip(load.chats, first_acks, strict=True):
        chat.ledger.judge(chat.ledger.acks[first:])


def count_kinds(findings: Iterable[Finding]) -> dict[Kind, int]:
    found = dict.fromkeys(KINDS, 0)
    for finding in findings:
        found[finding.kind] += finding.times
    return found


@asynccontextmanager
async def lasting(seconds: float) -> AsyncIterator[None]:
    """At least so long, whatever is done in it."""
    until = now() + seconds
    yield
    await asyncio.sleep(max(0.0, until - now()))
