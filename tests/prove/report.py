"""How a proof is printed: one row per fault, what was promised, and every finding."""

from collections.abc import Sequence
from typing import Final

from tests.prove.checker import KINDS, Finding, Kind
from tests.prove.trial import Promise, Row

_HEADINGS: Final[dict[Kind, str]] = {
    "lost": "lost",
    "duplicated": "dupl.",
    "reordered": "reord.",
    "shown after removal": "removed",
    "ghosts": "ghosts",
    "wrong counts": "counts",
}
_MOST_FINDINGS: Final = 20


def heading() -> str:
    found = " ".join(f"{_HEADINGS[kind]:>7}" for kind in KINDS)
    latencies = f"{'send→ack p50/p99/max ms':>26} {'ack→last watcher':>26}"
    return f"{'fault':<30} {'acked':>6} {'delivered':>9} {found} {latencies} {'normal':>8}"


def row_line(row: Row) -> str:
    found = " ".join(f"{row.found[kind]:>7}" for kind in KINDS)
    normal = "never" if row.normal_s is None else f"{row.normal_s:.1f} s"
    return (
        f"{row.name:<30} {row.acknowledged:>6} {row.delivered:>9} {found} "
        f"{_latencies(row.answer_s):>26} {_latencies(row.told_s):>26} {normal:>8}"
    )


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    lines = [f"    {finding.kind}: {finding.what}" for finding in findings[:_MOST_FINDINGS]]
    more = len(findings) - len(lines)
    return [*lines, f"    … and {more} more"] if more else lines


def promise_line(promise: Promise) -> str:
    measured = f" ({promise.measured})" if promise.measured else ""
    return f"{'ok    ' if promise.is_kept else 'FAILED'} {promise.what}{measured}"


def _latencies(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    ordered = sorted(seconds)
    values = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99, 1.0)]
    return " / ".join(f"{value * 1000:.0f}" for value in values)
