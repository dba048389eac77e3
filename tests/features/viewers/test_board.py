"""What a node knows of the streams, when readings cross."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from csn_rt.features.viewers import store
from csn_rt.features.viewers.board import Board
from csn_rt.features.viewers.presence import Presence
from csn_rt.features.viewers.tally import Stream
from tests.support.clock import Clock

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LIVE = Stream(
    stream_id="s",
    state="live",
    is_hidden=False,
    is_published=True,
    broadcast_id="b",
    started_at=NOW,
    ended_at=None,
    seq=1,
    peak=1,
    sampled=None,
    read_at=NOW,
)


class NoDatabase:
    @asynccontextmanager
    async def connection(self):
        yield None


async def test_rule_3_an_answer_that_is_late_is_not_learnt_after_a_newer_one(monkeypatch):
    now_is, may_answer, reading = LIVE, asyncio.Event(), asyncio.Event()

    async def read_streams(_connection, stream_ids):
        found = now_is
        if not reading.is_set():  # the first statement's view is taken, and its answer is long under way
            reading.set()
            await may_answer.wait()
        return dict.fromkeys(stream_ids, found)

    monkeypatch.setattr(store, "read_streams", read_streams)
    board = Board(NoDatabase(), Presence(), lambda _tellings: None, lambda _broadcast: None, Clock())
    board.watch("s")
    refreshing = asyncio.create_task(board.refresh())
    await reading.wait()
    now_is = replace(LIVE, state="ended", ended_at=NOW)
    told = asyncio.create_task(board.read("s"))
    await asyncio.wait({told}, timeout=0.05)
    may_answer.set()
    async with asyncio.timeout(5):
        await asyncio.gather(refreshing, told)

    assert list(board.broadcasts()) == []
