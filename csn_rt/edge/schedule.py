"""When each connection wants to be looked at again: one heap for all, no task and no timer per connection."""

import heapq
from collections.abc import Iterator
from math import inf
from typing import Generic, TypeVar

import msgspec

Owner = TypeVar("Owner")


class _Entry(msgspec.Struct, Generic[Owner], order=True):
    at: float
    count: int
    """Of two that are due at the same time the older one comes first."""
    owner: Owner | None


class Schedule(Generic[Owner]):
    """An owner has one due time; setting it again replaces it. What is due at infinity, which is never met,
    has none. An entry that was replaced stays in the heap until it is met, but keeps nobody alive."""

    def __init__(self) -> None:
        self._heap: list[_Entry[Owner]] = []
        self._due: dict[Owner, _Entry[Owner]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, owner: Owner, due: float) -> None:
        entry = self._due.get(owner)
        if entry is not None and entry.at == due:
            return
        self.discard(owner)
        if due == inf:
            return
        self._count += 1
        entry = self._due[owner] = _Entry(due, self._count, owner)
        heapq.heappush(self._heap, entry)

    def discard(self, owner: Owner) -> None:
        if (entry := self._due.pop(owner, None)) is not None:
            entry.owner = None

    def due(self, now: float) -> Iterator[Owner]:
        """Every owner whose time has come; it is no longer scheduled when it is answered."""
        while self._heap and self._heap[0].at <= now:
            owner = heapq.heappop(self._heap).owner
            if owner is not None:
                del self._due[owner]
                yield owner
