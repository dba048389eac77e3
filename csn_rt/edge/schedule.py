"""When each connection wants to be looked at again: one heap for all, no task and no timer per connection."""

import heapq
from collections.abc import Iterator
from math import inf
from typing import Generic, TypeVar

Owner = TypeVar("Owner")


class Schedule(Generic[Owner]):
    """An owner has one due time; setting it again replaces it. Entries that were replaced are dropped when
    met; what is due at infinity, which is never met, has none."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Owner]] = []
        self._due: dict[Owner, float] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, owner: Owner, due: float) -> None:
        if self._due.get(owner) == due:
            return
        if due == inf:
            self.discard(owner)
            return
        self._due[owner] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, owner))

    def discard(self, owner: Owner) -> None:
        self._due.pop(owner, None)

    def due(self, now: float) -> Iterator[Owner]:
        """Every owner whose time has come; it is no longer scheduled when it is answered."""
        while self._heap and self._heap[0][0] <= now:
            due, _, owner = heapq.heappop(self._heap)
            if self._due.get(owner) == due:
                del self._due[owner]
                yield owner
