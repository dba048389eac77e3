"""The operations of watch progress."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from csn_rt.db.batch import Batcher
from csn_rt.db.queries import Connection
from csn_rt.errors import NotFound, TooMany
from csn_rt.features.context import Caller, Context
from csn_rt.features.progress import merging, store
from csn_rt.features.progress.merging import Answer
from csn_rt.features.progress.store import Heard
from csn_rt.wire import names
from csn_rt.wire.progress import (
    ContinueWatching,
    HistoryPage,
    ProgressGet,
    ProgressHistory,
    ProgressPage,
    ProgressRemoved,
    ProgressReport,
    ProgressReported,
    ProgressTitle,
    WatchedContent,
    WatchProgress,
)
from csn_rt.wire.types import Nothing

# Reports of one person and content are merged one after another (about 1 ms each), and a batch waits for all.
MAX_WAITING: Final = 128
# A reconnecting crowd asks all at once. 40 rows for each of so many are about 10 ms of one statement.
READ_AT_ONCE: Final = 50


class Progress:
    def __init__(self, ctx: Context, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ctx = ctx
        self._clock = clock
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._merging: Batcher[Heard, ProgressReported] = Batcher(self._merge)
        self._watching: Batcher[str, list[WatchedContent]] = Batcher(
            self._read_watching, max_items=READ_AT_ONCE
        )

    async def close(self) -> None:
        """Return when everything that was reported is answered."""
        await self._merging.wait_drained()
        await self._watching.wait_drained()

    async def report(self, caller: Caller, params: ProgressReport) -> ProgressReported:
        """Say where a player is; answers what became of it and the row as it is now.

        Raises NotFound: there is no such content.
        Raises TooMany: too many reports of this content are waiting: send only the newest.
        """
        heard = Heard(caller.user_id, params, self._clock())
        if self._waiting[heard.key] >= MAX_WAITING:
            raise TooMany("too many reports of this content at once; send only the newest")
        self._waiting[heard.key] += 1
        try:
            return await self._merging.put(heard)
        finally:
            self._waiting[heard.key] -= 1
            if not self._waiting[heard.key]:
                del self._waiting[heard.key]

    async def get(self, caller: Caller, params: ProgressGet) -> ProgressPage:
        """Read how far one has watched these contents."""
        async with self._ctx.db.connection() as connection:
            return ProgressPage(items=await store.read(connection, caller.user_id, params.content_ids))

    async def continue_watching(self, caller: Caller, params: Nothing) -> ContinueWatching:  # noqa: ARG002
        """List what one has begun and not finished, newest play first."""
        return ContinueWatching(items=await self.watching(caller.user_id))

    async def watching(self, user_id: str) -> list[WatchedContent]:
        """What the person may want to continue: a part of the snapshot of his own channel."""
        return await self._watching.put(user_id)

    async def history(self, caller: Caller, params: ProgressHistory) -> HistoryPage:
        """List what one has watched, newest play first, also what is finished or removed."""
        async with self._ctx.db.connection() as connection:
            return await store.read_history(connection, caller.user_id, params.after, params.limit)

    async def remove(self, caller: Caller, params: ProgressTitle) -> WatchProgress:
        """Take something off "Continue watching" until it is played again; nothing else changes.

        Raises NotFound: there is no such content, or nothing of it was watched.
        """
        return await self._change(caller, params, store.remove, is_removal=True)

    async def undo_remove(self, caller: Caller, params: ProgressTitle) -> WatchProgress:
        """Put back what was taken off "Continue watching".

        Raises NotFound: there is no such content, or nothing of it was watched.
        """
        return await self._change(caller, params, store.undo_remove)

    async def mark_watched(self, caller: Caller, params: ProgressTitle) -> WatchProgress:
        """Say that one has watched something; the position stays where it is.

        Raises NotFound: there is no such content.
        """
        return await self._change(caller, params, store.mark_watched, makes_row=True)

    async def mark_unwatched(self, caller: Caller, params: ProgressTitle) -> WatchProgress:
        """Say that one has not watched something: as before the mark, or from the start if it was played.

        Raises NotFound: there is no such content, or nothing of it was watched.
        """
        return await self._change(caller, params, store.mark_unwatched)

    async def _change(
        self,
        caller: Caller,
        params: ProgressTitle,
        change: Callable[[Connection, str, str], Awaitable[bool]],
        *,
        makes_row: bool = False,
        is_removal: bool = False,
    ) -> WatchProgress:
        """Each may be done twice: the second time nothing changes and nobody is told."""
        key = caller.user_id, params.content_id
        async with self._ctx.unit() as unit:
            if makes_row:
                await store.lock(unit.connection, [key])
            version = await store.lock_one(unit.connection, *key)
            if version is None or not (version or makes_row):
                raise NotFound("no such content, or nothing of it was watched")
            is_changed = await change(unit.connection, *key)
            (row,) = await store.read(unit.connection, caller.user_id, [params.content_id])
            if is_changed:
                event = (
                    ProgressRemoved(content_id=row.content_id, version=row.version)
                    if is_removal
                    else merging.changed_event(row)
                )
                unit.publish(names.user(caller.user_id), event)
        return row

    async def _read_watching(self, user_ids: Sequence[str]) -> list[list[WatchedContent]]:
        async with self._ctx.db.connection() as connection:
            watching = await store.read_continue_watching(connection, set(user_ids))
        return [watching[user_id] for user_id in user_ids]

    async def _merge(self, reports: Sequence[Heard]) -> list[Answer]:
        return await merging.merge(self._ctx, reports, self._clock())
