"""Counting ends, also when the driver below it loses the news that it should."""

import asyncio
from contextlib import suppress

from csn_rt.features.viewers.counting import Counting
from csn_rt.features.viewers.presence import Presence
from tests.features.viewers.test_counting_machine import Board
from tests.support.clock import Clock


class DeafLeases:
    """Its first call takes a cancellation for an answer, as `asyncio.wait_for` of Python 3.11 may."""

    def __init__(self) -> None:
        self.is_called = asyncio.Event()

    async def count(self, asks):
        if not self.is_called.is_set():
            self.is_called.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return [None] * len(asks)


async def test_a_cancellation_that_was_lost_is_repeated():
    clock, leases = Clock(), DeafLeases()
    counting = Counting(leases, Board(clock), Presence(), lambda _tellings: None, clock)
    await counting.start()
    counting.hurry_all()
    async with asyncio.timeout(5):
        await leases.is_called.wait()
        await counting.close()

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "viewers-counting"]
