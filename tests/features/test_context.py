"""A change and its events are one."""

import pytest

from csn_rt.db import log
from csn_rt.features.context import Context
from csn_rt.wire.chat import ChatDeleted
from csn_rt.wire.names import CATALOG
from tests.support.telling import Told, WatchedDatabase

EVENT = ChatDeleted(id="message", stream_id="stream")


async def test_rule_1_nothing_is_told_before_the_commit(db):
    watched = WatchedDatabase(db)
    was_committed = []
    ctx = Context(watched, lambda _published: was_committed.append(watched.is_committed))
    async with ctx.unit() as unit:
        unit.publish(CATALOG, EVENT)

    assert was_committed == [True]


async def test_rule_1_a_rollback_tells_nobody_and_leaves_no_hole(db):
    told = Told()
    ctx = Context(db, told)
    with pytest.raises(LookupError):
        async with ctx.unit() as unit:
            unit.publish(CATALOG, EVENT)
            raise LookupError
    async with ctx.unit() as unit:
        unit.publish(CATALOG, EVENT)

    assert [published.offset for published in told.published] == [1]


async def test_what_is_told_is_what_the_log_keeps(db):
    told = Told()
    async with Context(db, told).unit() as unit:
        unit.publish(CATALOG, EVENT)
        unit.publish(CATALOG, EVENT)
    async with db.connection() as connection:
        kept = await log.read_after(connection, CATALOG, 0, 10)

    assert kept == told.published
