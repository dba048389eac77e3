"""The short form of `python -m tests.prove`: what must never be, whatever fails; not how long things take."""

from tests.prove.load import Sizes
from tests.prove.proof import SHORT_DRAIN_S, in_short, prove
from tests.prove.report import promise_line

SIZES = Sizes(watchers=24, laggards=3, chatters=12, messages_per_s=24.0, players=6)


async def test_nothing_acknowledged_is_lost_doubled_or_shown_after_its_removal_whatever_fails():
    """A node is killed, Redis comes back empty, PostgreSQL is cut off, a node is drained in a storm."""
    proof = await prove([in_short()], seed=1, sizes=SIZES, drain_s=SHORT_DRAIN_S)
    broken = [promise_line(each) for each in proof.promises if not (each.is_kept or each.is_of_time)]

    assert [] == proof.findings
    assert [] == broken
    assert proof.rows[0].acknowledged > 200
