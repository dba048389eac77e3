"""Natural batching, without a database."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csn_rt.db.batch import Batcher
from csn_rt.errors import Conflict, Unavailable

MAX_ITEMS = 7


class Target:
    """Runs batches of numbers as a transaction would: a `bad` number spoils its batch, others are kept."""

    def __init__(self, bad=()):
        self.bad = set(bad)
        self.tried = []
        self.kept = []
        self.running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, items):
        assert self.running == 0, "rule 1: one batch at a time"
        self.running += 1
        try:
            self.tried.append(list(items))
            await self.gate.wait()
            await asyncio.sleep(0)
            if spoiled := self.bad.intersection(items):
                raise ArithmeticError(min(spoiled))
            self.kept.extend(items)
            return [item * 10 for item in items]
        finally:
            self.running -= 1


@given(st.lists(st.integers(0, 60), unique=True, max_size=60), st.sets(st.integers(0, 60), max_size=6))
def test_every_item_gets_its_own_result_in_order_and_a_bad_one_fails_alone(items, bad):
    async def story():
        target = Target(bad)
        batcher = Batcher(target.run, max_items=MAX_ITEMS)
        answers = await asyncio.gather(*(batcher.put(item) for item in items), return_exceptions=True)
        return target, answers

    target, answers = asyncio.run(story())

    for item, answer in zip(items, answers, strict=True):
        if item in bad:
            assert isinstance(answer, ArithmeticError)
            assert item == answer.args[0]
        else:
            assert item * 10 == answer
    assert [item for item in items if item not in bad] == target.kept
    assert all(len(batch) <= MAX_ITEMS for batch in target.tried)


async def test_an_idle_batcher_runs_an_item_at_once_and_alone():
    target = Target()

    assert 10 == await Batcher(target.run).put(1)
    assert [[1]] == target.tried


async def test_what_arrives_while_a_batch_runs_goes_together_with_the_next():
    target = Target()
    batcher = Batcher(target.run)
    target.gate.clear()
    first = asyncio.create_task(batcher.put(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.put(item)) for item in range(1, 5)]
    await asyncio.sleep(0)
    target.gate.set()
    await asyncio.gather(first, *others)

    assert [[0], [1, 2, 3, 4]] == target.tried


async def test_more_than_may_wait_is_refused_at_once():
    target = Target()
    batcher = Batcher(target.run, max_items=1, max_waiting=2)
    target.gate.clear()
    accepted = [asyncio.create_task(batcher.put(item)) for item in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        for item in range(2, 9):
            async with asyncio.timeout(0.01):
                await batcher.put(item)
    target.gate.set()

    assert [0, 10] == await asyncio.gather(*accepted)


async def test_an_outage_is_everybodys_and_is_not_tried_again():
    tries = 0

    async def run(items):
        nonlocal tries
        tries += 1
        raise Unavailable("away")

    batcher = Batcher(run)
    answers = await asyncio.gather(*(batcher.put(item) for item in range(5)), return_exceptions=True)

    assert 1 == tries
    assert [Unavailable] * 5 == [type(answer) for answer in answers]
    assert 5 == len({id(answer) for answer in answers})


async def test_a_refusal_among_the_results_goes_to_its_caller_whole():
    async def run(items):
        return [Conflict("taken", code="already_live", by="ann") if item == 1 else item for item in items]

    batcher = Batcher(run)
    zero, one, two = await asyncio.gather(*(batcher.put(item) for item in range(3)), return_exceptions=True)

    assert [0, 2] == [zero, two]
    assert ("taken", "already_live", {"by": "ann"}) == (one.message, one.code, one.details)


async def test_a_batch_answered_by_too_few_results_fails_whole_and_is_not_run_again():
    """Its effects may be there: to run it again in halves would double them."""
    runs = []

    async def run(items):
        runs.append(list(items))
        return []

    batcher = Batcher(run)
    answers = await asyncio.gather(batcher.put(1), batcher.put(2), return_exceptions=True)

    assert [[1, 2]] == runs
    assert [RuntimeError] * 2 == [type(answer) for answer in answers]


async def test_a_caller_that_gives_up_does_not_take_its_item_back():
    target = Target()
    batcher = Batcher(target.run)
    target.gate.clear()
    task = asyncio.create_task(batcher.put(1))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    target.gate.set()
    await batcher.wait_drained()

    assert [1] == target.kept


async def test_drained_means_that_nothing_waits_or_runs():
    target = Target()
    batcher = Batcher(target.run, max_items=2)
    tasks = [asyncio.create_task(batcher.put(item)) for item in range(5)]
    await asyncio.sleep(0)
    await batcher.wait_drained()

    assert [0, 1, 2, 3, 4] == target.kept
    await asyncio.gather(*tasks)


async def test_a_batcher_that_is_cancelled_leaves_nobody_waiting():
    target = Target()
    batcher = Batcher(target.run, max_items=1)
    target.gate.clear()
    tasks = [asyncio.create_task(batcher.put(item)) for item in range(3)]
    await asyncio.sleep(0.01)
    batcher._runner.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)

    assert [Unavailable] * 3 == [type(answer) for answer in answers]


class Stubborn(Exception):
    """Cannot be copied: it is made with two arguments and keeps one."""

    def __init__(self, number, reason):
        super().__init__(reason)
        self.number = number


async def test_a_failure_that_cannot_be_copied_is_told_and_hurts_nobody_else():
    async def run(items):
        if 3 in items:
            raise Stubborn(3, "no")
        return items

    batcher = Batcher(run)
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(batcher.put(item) for item in range(5)), return_exceptions=True)

    assert isinstance(answers[3], Stubborn)
    assert [0, 1, 2, 4] == answers[:3] + answers[4:]
