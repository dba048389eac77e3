"""The promises of the product, proven under faults. Exit status 1 if one is broken.

    python -m tests.prove                                  every fault in turn, then a minute at random
    python -m tests.prove --only drain                     the faults whose name has this in it
    python -m tests.prove --random --seed 7 --seconds 300  at random only

What is counted is defined in checker.py, the rounds in trial.py, faults and promises in
*faults.py and promises.py.
"""

import argparse
import random
import sys
import time
from asyncio import Runner
from pathlib import Path

import uvloop

from tests.prove.load import Sizes
from tests.prove.proof import Proof, at_random, each_in_turn, prove
from tests.prove.report import finding_lines, heading, promise_line, row_line
from tests.prove.trial import Fault, Row

RANDOM_S = 60.0


def main() -> int:
    options = _options()
    faults = _faults(options)
    print(f"seed {options.seed}\n\n{heading()}", flush=True)
    started = time.monotonic()
    with Runner(loop_factory=uvloop.new_event_loop) as runner:
        proof = runner.run(prove(faults, options.seed, Sizes(), told=_print_row, logs=options.logs))
    return _conclude(proof, time.monotonic() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__.splitlines()[0])
    parser.add_argument("--random", action="store_true", help="only faults at random")
    parser.add_argument("--seconds", type=float, default=RANDOM_S, help="of faults at random")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the random faults")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="where to copy the logs of nodes and worker")
    parser.add_argument("--only", default="", metavar="FAULT", help="only faults whose name has this in it")
    options = parser.parse_args()
    if options.seconds <= 0:
        parser.error("--seconds: no time is no proof")
    return options


def _faults(options: argparse.Namespace) -> list[Fault]:
    if options.random:
        return [at_random(options.seconds)]
    if options.only:
        chosen = [fault for fault in each_in_turn() if options.only in fault.name]
        if not chosen:
            names = ", ".join(fault.name for fault in each_in_turn())
            sys.exit(f"no fault has {options.only!r} in its name; there are: {names}")
        return chosen
    return [*each_in_turn(), at_random(options.seconds)]


def _print_row(row: Row) -> None:
    print(row_line(row), *finding_lines(row.findings), sep="\n", flush=True)
    for promise in row.promises:
        if not promise.is_kept:
            print(f"    {promise_line(promise)}", flush=True)
    if row.lag_s > 0.2:
        print(f"    (the load itself was late by {row.lag_s * 1000:.0f} ms)", flush=True)


def _conclude(proof: Proof, took_s: float) -> int:
    print(
        *finding_lines(proof.at_the_end),
        *(f"    {complaint}" for complaint in proof.complaints[:20]),
        "",
        sep="\n",
    )
    print(*map(promise_line, proof.promises), "", sep="\n")
    broken = sum(not promise.is_kept for promise in proof.promises)
    found = sum(finding.times for finding in proof.findings)
    verdict = (
        "All promises were kept." if not (broken or found) else f"{found} findings, {broken} broken promises."
    )
    print(f"{verdict} {took_s:.0f} s.")
    return 1 if broken or found else 0


if __name__ == "__main__":
    sys.exit(main())
