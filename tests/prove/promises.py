"""What several faults promise. What was not measured was not kept."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from tests.prove.trial import Trial, Window

SDK_S: Final = 5.0
UNAVAILABLE: Final = 100


def promise_known(trial: Trial, window: Window, when: str) -> None:
    per_node = [(probe.node.port, window.counts(probe)) for probe in trial.load.probes]
    unknown = [
        f"{count.viewers} at {port} after {count.at - window.began_at:.2f} s"
        for port, counts in per_node
        for count in counts
        if not count.viewers
    ]
    trial.promise(
        f"{when}: no count is 0 or null",
        not unknown and all(counts for _, counts in per_node),
        f"{[len(counts) for _, counts in per_node]} counts, {len(unknown)} unknown {unknown[:3]}",
    )


def promise_counting(trial: Trial, window: Window, when: str) -> None:
    per_node = [window.counts(probe) for probe in trial.load.probes]
    are_fresh = not any(count.stale or not count.viewers for counts in per_node for count in counts)
    trial.promise(
        f"{when}: counts go on",
        are_fresh and all(map(len, per_node)),
        f"{[len(counts) for counts in per_node]} counts",
    )


def promise_stale(trial: Trial, window: Window, when: str, after_s: float) -> None:
    per_node = [window.counts(probe, after_s) for probe in trial.load.probes]
    are_stale = all(count.stale for counts in per_node for count in counts)
    trial.promise(
        f"{when}: counts are stale after {after_s:g} s",
        are_stale and all(map(len, per_node)),
        f"{[len(counts) for counts in per_node]} counts",
    )


def promise_refusals(trial: Trial, window: Window, when: str) -> None:
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
    promise_sockets(trial, window, when)


def promise_no_refusal(trial: Trial, window: Window, when: str) -> None:
    refused = Counter((each.method, each.code) for each in window.failures)
    trial.promise(f"{when}: no command is refused", not refused, f"refused {dict(refused)}")


def promise_sockets(trial: Trial, window: Window, when: str, *, but: Collection[str] = ()) -> None:
    # In a room where nothing is said any more the impatient go away by themselves.
    lost = window.lost_sockets(but=but)
    told = [f"{each.name} {each.code} after {each.at - window.began_at:.2f} s" for each in lost[:5]]
    trial.promise(f"{when}: sockets stay", not lost, f"{len(lost)} closed {told}")


def promise_quiet(
    trial: Trial,
    window: Window,
    when: str,
    bound_s: float,
    *,
    speakers: Sequence[int],
    listeners: Sequence[int],
) -> None:
    """In the quiet chat, of what was acknowledged in this time through these nodes, at those nodes."""
    told_s = trial.load.quiet.told_s(window.began_at, window.ended_at, speakers=speakers, listeners=listeners)
    what = f"{when}, in a quiet chat: delivered within {bound_s:g} s"
    if told_s:
        trial.promise_within(f"{what} ({len(told_s)} deliveries)", max(told_s), bound_s)
    else:
        trial.promise(what, is_kept=False, measured="nothing was said")
