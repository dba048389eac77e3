"""Natural batching: what arrives while one batch runs goes with the next.

Rule 1: one batch runs at a time, so what one caller puts in order is done in order.
Rule 2: idle adds no delay; busy makes batches as large as `max_items`.
Rule 3: a batch that fails is run again in halves, so that one bad item fails alone; a failure of what is
        behind us (Unavailable) is everybody's and is not tried again.
Rule 4: at most `max_waiting` items wait; more are refused at once as Unavailable.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Generic, TypeVar

from csn_rt.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects items while `run` is busy with those before.

    `run` gets the items of one batch and answers one result per item; an exception among the results is
    raised to that item's caller. It must be all or nothing: if it raises, none of its items may have had an
    effect.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_items: int = 500,
        max_waiting: int = 20_000,
    ) -> None:
        self._run = run
        self._max_items = max_items
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Result:
        """Wait until the item's batch is done. A caller that gives up does not take its item back."""
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable("too much is waiting to be saved; try again")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._drain())
        return await future

    async def wait_drained(self) -> None:
        """Return when nothing is waiting or running."""
        while self._runner is not None:
            await asyncio.wait([self._runner])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), self._max_items)
                await self._settle([self._waiting.popleft() for _ in range(count)])
        finally:
            self._runner = None
            _fail_all(self._waiting, Unavailable("the server is stopping; try again"))
            self._waiting.clear()

    async def _settle(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except Unavailable as exc:
            _fail_all(batch, exc)
        except asyncio.CancelledError:
            _fail_all(batch, Unavailable("the server is stopping; try again"))
            raise
        except Exception as exc:  # noqa: BLE001  whatever it is, it is the answer of the item that caused it
            if len(batch) == 1:
                _fail(batch[0][1], exc)
                return
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
        else:
            if len(results) != len(batch):
                # The effects are there; to run it again would double them.
                _fail_all(batch, RuntimeError(f"{len(batch)} items were answered by {len(results)} results"))
                return
            for (_, future), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    _fail(future, result)
                elif not future.done():
                    future.set_result(result)


def _fail_all(batch: Sequence[tuple[Item, asyncio.Future[Result]]], exc: Exception) -> None:
    for _, future in batch:
        _fail(future, exc)


def _fail(future: asyncio.Future[Result], exc: Exception) -> None:
    if future.done():
        return
    # Each waiter gets its own instance: one exception raised in many tasks would gather their tracebacks.
    try:
        own = copy(exc)
    except Exception:  # noqa: BLE001  an exception may be made so that it cannot be copied
        own = exc
    future.set_exception(own)
    future.exception()  # marks it as seen: the waiter may have gone
