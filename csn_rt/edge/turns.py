"""What one socket wants to be done one after another.

Rule 1: the next begins when the one before it has ended, in the order in which they came.
Rule 2: each is answered within `ANSWER_S` of its arrival, however long it waited: an SDK gives up after 5 s.
        What takes longer is answered first, and given up then. It may yet be done, as part of a batch: a
        retry with the same key is safe.
Rule 3: whatever goes wrong with one is told for that one, and the turns go on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from csn_rt.core.effects import Call
from csn_rt.edge.operations import Operation

logger = structlog.get_logger(__name__)

ANSWER_S: Final = 4.5
MAX_WAITING: Final = 128
_LOOK_S: Final = 0.1
"""While one that was given up lets go, those behind it are looked at so often."""

Work = Coroutine[Any, Any, None]


class Turns:
    """`do` answers the call itself, `failed` answers that it could not be done now."""

    __slots__ = ("_do", "_failed", "_is_going", "_start", "_waiting")

    def __init__(
        self,
        *,
        do: Callable[[Operation, Call], Work],
        failed: Callable[[int], None],
        start: Callable[[Work], None],
    ) -> None:
        self._do = do
        self._failed = failed
        self._start = start
        self._waiting: deque[tuple[Operation, Call, float]] = deque()
        self._is_going = False

    def put(self, operation: Operation, call: Call) -> bool:
        """Answers False, and does nothing, if too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append((operation, call, asyncio.get_running_loop().time() + ANSWER_S))
        if not self._is_going:
            self._is_going = True
            self._start(self._go_on())
        return True

    def clear(self) -> None:
        """Forget what waits; what has begun is finished."""
        self._waiting.clear()

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                operation, call, answer_by = self._waiting.popleft()
                await self._take(asyncio.create_task(self._do(operation, call)), call.command_id, answer_by)
        finally:
            self._is_going = False

    async def _take(self, work: asyncio.Task[None], command_id: int, answer_by: float) -> None:
        left_s = answer_by - asyncio.get_running_loop().time()
        await asyncio.wait({work}, timeout=max(0.0, left_s))
        if not work.done():
            self._failed(command_id)
            work.cancel()
            while not work.done():
                await asyncio.wait({work}, timeout=_LOOK_S)
                self._fail_late()
        if not work.cancelled() and (exc := work.exception()) is not None:
            logger.error("command_failed", exc_info=exc)
            self._failed(command_id)

    def _fail_late(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][2] <= now:
            self._failed(self._waiting.popleft()[1].command_id)
