"""The channel log on a real PostgreSQL."""

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from csn_rt.db import log
from csn_rt.db.log import Head, Outgoing
from csn_rt.db.pool import open_database
from csn_rt.errors import Conflict
from csn_rt.wire import names

STREAM = "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"
CHAT = names.stream_chat(STREAM)
MOD = names.stream_mod(STREAM)
USER = names.user("ann")


def event(channel, text="x", redacts=()):
    return Outgoing(channel, f'{{"type":"test","text":"{text}"}}'.encode(), tuple(redacts))


async def append(db, *events):
    async with db.transaction() as connection:
        return await log.append(connection, events)


async def read_after(db, channel, offset=0, limit=1000):
    async with db.connection() as connection:
        return await log.read_after(connection, channel, offset, limit)


async def test_events_are_numbered_in_the_order_given_channel_by_channel(db):
    published = await append(db, event(CHAT, "a"), event(MOD, "b"), event(CHAT, "c"), event(CHAT, "d"))

    assert [(CHAT, 1), (MOD, 1), (CHAT, 2), (CHAT, 3)] == [(each.channel, each.offset) for each in published]


async def test_numbering_goes_on_where_it_stood(db):
    await append(db, event(CHAT), event(CHAT))
    published = await append(db, event(CHAT))

    assert [3] == [each.offset for each in published]


async def test_nothing_to_append_asks_nothing_of_the_database():
    assert [] == await log.append(None, [])


async def test_what_is_read_is_what_was_published_byte_for_byte(db):
    published = await append(db, event(CHAT, 'ä\\n  "'.replace('"', "'")), event(CHAT, "b"))

    assert published == await read_after(db, CHAT)


async def test_concurrent_transactions_number_without_holes_in_the_order_of_their_commits(database_url):
    """20 tasks at once, each appending to two channels, some of them rolled back."""
    db = await open_database(database_url, max_size=10)
    order = []

    async def speak(number):
        chance = random.Random(number)
        for turn in range(5):
            channels = [CHAT, MOD] if chance.random() < 0.5 else [MOD, CHAT]
            with suppress(Conflict):
                async with db.transaction() as connection:
                    published = await log.append(
                        connection, [event(each, f"{number}.{turn}") for each in channels]
                    )
                    if chance.random() < 0.3:
                        raise Conflict("changed its mind")
                order.extend(each.offset for each in published if each.channel == CHAT)

    await asyncio.gather(*(speak(number) for number in range(20)))
    kept = [await read_after(db, channel) for channel in (CHAT, MOD)]
    await db.close()

    assert list(range(1, len(order) + 1)) == sorted(order)
    for events in kept:
        assert list(range(1, len(order) + 1)) == [each.offset for each in events]


async def test_an_offset_is_visible_only_after_all_before_it(database_url):
    """A later transaction waits for the one that holds the head: nobody can read 2 while 1 is not there."""
    db = await open_database(database_url)
    async with db.transaction() as connection:
        await log.append(connection, [event(CHAT, "first")])
        second = asyncio.create_task(append(db, event(CHAT, "second")))
        await asyncio.sleep(0.1)

        assert not second.done()
        assert [] == await read_after(db, CHAT)
    await second
    offsets = [each.offset for each in await read_after(db, CHAT)]
    await db.close()

    assert [1, 2] == offsets


async def test_a_rollback_leaves_no_hole(db):
    await append(db, event(CHAT))
    with pytest.raises(Conflict):
        async with db.transaction() as connection:
            await log.append(connection, [event(CHAT), event(CHAT)])
            raise Conflict("no")
    published = await append(db, event(CHAT))

    assert [2] == [each.offset for each in published]


async def test_the_events_of_a_state_channel_move_its_head_and_are_not_kept(db):
    published = await append(db, event(USER), event(USER))
    async with db.connection() as connection:
        heads = await log.heads_of(connection, [USER])

    assert [1, 2] == [each.offset for each in published]
    assert 2 == heads[USER].offset
    assert [] == await read_after(db, USER)


async def test_what_is_no_channel_cannot_be_appended_to(db):
    with pytest.raises(ValueError, match="no channel"):
        await append(db, event("chat:1"))


async def test_reading_after_an_offset_answers_the_oldest_first_and_at_most_the_limit(db):
    await append(db, *(event(CHAT) for _ in range(6)))

    assert [3, 4] == [each.offset for each in await read_after(db, CHAT, 2, 2)]


async def test_reading_before_an_offset_answers_the_newest_of_them_oldest_first(db):
    await append(db, *(event(CHAT) for _ in range(6)))
    async with db.connection() as connection:
        before = await log.read_before(connection, CHAT, 6, 3)

    assert [3, 4, 5] == [each.offset for each in before]


async def test_a_channel_is_born_once_with_an_epoch_that_stays(db):
    async with db.connection() as connection:
        born = await log.ensure(connection, CHAT)
        again = await log.ensure(connection, CHAT)
        other = await log.ensure(connection, MOD)
    [published] = await append(db, event(CHAT))

    assert Head(born.epoch, 0) == again
    assert born.epoch == published.epoch
    assert born.epoch != other.epoch


async def test_heads_of_unknown_channels_are_left_out(db):
    await append(db, event(CHAT))
    async with db.connection() as connection:
        heads = await log.heads_of(connection, [CHAT, MOD])

    assert {CHAT} == set(heads)


async def test_a_lock_makes_the_next_writer_wait_and_answers_a_time_after_the_one_before(database_url):
    db = await open_database(database_url)
    await append(db, event(CHAT))
    async with db.transaction() as connection:
        await log.lock(connection, [CHAT])
        waiting = asyncio.create_task(lock_and_append(db))
        await asyncio.sleep(0.1)
        released_at = datetime.now(UTC)
    locked_at, heads = await waiting
    await db.close()

    assert released_at < locked_at
    assert 1 == heads[CHAT].offset


@pytest.mark.parametrize("lock", [log.lock, log.lock_born])
async def test_who_waited_for_a_lock_sees_the_head_that_the_one_before_left(db, lock):
    await append(db, event(CHAT))
    async with db.transaction() as connection:
        await log.lock(connection, [CHAT])
        waiting = asyncio.create_task(lock_and_append(db, lock))
        await asyncio.sleep(0.1)
        await log.append(connection, [event(CHAT), event(CHAT)])
        released_at = datetime.now(UTC)
    locked_at, heads = await waiting

    assert released_at < locked_at
    assert 3 == heads[CHAT].offset


async def test_locking_what_was_born_gives_birth_to_nothing(db):
    await append(db, event(CHAT))
    async with db.transaction() as connection:
        now, heads = await log.lock_born(connection, [MOD, CHAT])
        nothing = await log.lock_born(connection, [MOD])

    assert now is not None
    assert {CHAT} == set(heads)
    assert (None, {}) == nothing


async def lock_and_append(db, lock=log.lock):
    async with db.transaction() as connection:
        locked = await lock(connection, [CHAT])
        await log.append(connection, [event(CHAT)])
        return locked


async def test_locks_of_several_channels_never_wait_for_each_other_in_a_circle(database_url):
    """Every order of names, on channels that are born meanwhile, by locks and by appends."""
    db = await open_database(database_url, max_size=8)
    channels = [names.user(f"user-{number}") for number in range(6)]

    async def work(number):
        chance = random.Random(number)
        for _ in range(6):
            some = chance.sample(channels, 4)
            async with db.transaction() as connection:
                if number % 3 == 1:
                    await log.lock(connection, some)
                elif number % 3:
                    _, heads = await log.lock_born(connection, some)
                    if len(heads) < len(some):
                        await log.lock(connection, some)
                await log.append(connection, [event(each) for each in some])

    await asyncio.gather(*(work(number) for number in range(16)))
    async with db.connection() as connection:
        heads = await log.heads_of(connection, channels)
    await db.close()

    assert 16 * 6 * 4 == sum(head.offset for head in heads.values())


async def test_a_redacting_event_replaces_the_data_of_those_it_names(db):
    await append(db, event(CHAT, "rude"), event(CHAT, "kind"))
    [deleted] = await append(db, event(CHAT, "deleted", redacts=[1]))
    kept = await read_after(db, CHAT)

    assert [deleted.data, event(CHAT, "kind").data, deleted.data] == [each.data for each in kept]
    assert [(), (), (1,)] == [each.redacts for each in kept]
