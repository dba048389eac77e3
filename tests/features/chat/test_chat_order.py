"""Rule 1.6: one order for everyone, and acknowledged means committed."""

import asyncio

import msgspec
import pytest

from csn_rt.db import log
from csn_rt.db.log import Head
from csn_rt.db.pool import open_database
from csn_rt.features.chat import Chat
from csn_rt.features.context import Context
from csn_rt.wire.chat import ChatSend
from tests.features.chat.room import Room, fan, logged, rows
from tests.support.telling import WatchedDatabase


async def test_messages_of_many_senders_on_two_nodes_have_one_order_without_holes(room, other_node, stream):
    async def sender(number: int) -> list:
        """50 messages, one after another; the clock leaps, so that nobody is too fast."""
        node = (room, other_node)[number % 2]
        answers = []
        for count in range(50):
            node.clock.jump(30)
            answers.append(await node.post(stream, f"{number}/{count}", by=fan(f"u{number}")))
        return answers

    said = await asyncio.gather(*map(sender, range(20)))

    events = await logged(room.db, stream)
    in_log = [msgspec.json.decode(event.data) for event in events]
    assert list(range(1, 1001)) == [event.offset for event in events]
    assert list(range(1, 1001)) == [event["sequence"] for event in in_log]
    acknowledged = sorted(
        (message for answers in said for message in answers), key=lambda each: each.sequence
    )
    assert [msgspec.to_builtins(message) for message in acknowledged] == in_log
    for answers in said:
        assert answers == sorted(answers, key=lambda message: message.sequence)
    for node in (room, other_node):
        offsets = [published.offset for published in node.told.published]
        assert offsets == sorted(offsets)
    told = sorted(room.told.published + other_node.told.published, key=lambda each: each.offset)
    assert [(each.offset, each.data) for each in events] == [(each.offset, each.data) for each in told]
    times = [message.sent_at for message in acknowledged]
    assert times == sorted(times)


async def test_each_stream_has_a_sequence_of_its_own(room, make_stream):
    streams = [await make_stream() for _ in range(3)]

    messages = await asyncio.gather(*(room.post(streams[n % 3], f"{n}", by=fan(f"u{n}")) for n in range(30)))

    for number, stream in enumerate(streams):
        mine = messages[number::3]
        assert list(range(1, 11)) == [message.sequence for message in mine]
        assert [f"{n}" for n in range(number, 30, 3)] == [event["text"] for event in room.told_on(stream)]


async def test_deletions_and_messages_share_one_sequence(room, stream):
    first = await room.post(stream, "1")
    await room.retract(first.id, by=fan())

    second = await room.post(stream, "2")

    assert 3 == second.sequence
    assert ["chat.message", "chat.deleted", "chat.message"] == [
        event["type"] for event in room.told_on(stream)
    ]


async def test_posting_never_reads_the_messages_of_a_stream(database_url, stream):
    """A plan that was made while the table was small stays in use when it has grown."""
    database = await open_database(database_url, max_size=1)
    room = Room(database)
    await room.post(stream, "first")
    await rows(database, "ANALYZE live_chat_messages")
    for number in range(10):
        await room.post(stream, f"{number}", by=fan(f"u{number}"))
    await rows(
        database,
        """INSERT INTO live_chat_messages
                  (id, stream_id, sequence, user_id, user_name, user_role, text, client_id, sent_at)
           SELECT gen_random_uuid(), $1, 1000 + n, 'bot', 'Bot', 'user', 'x', n::text, now()
             FROM generate_series(1, 5000) n""",
        stream,
    )
    await rows(database, "UPDATE channels SET head = 6000")
    before = await _reads(database)

    await asyncio.gather(*(room.post(stream, f"a {number}", by=fan(f"v{number}")) for number in range(20)))

    seq_reads, index_reads = [after - was for after, was in zip(await _reads(database), before, strict=True)]
    await database.close()
    assert 0 == seq_reads
    assert index_reads <= 20


async def _reads(database) -> tuple[int, int]:
    """Rows that scans of the whole table have read, and entries read of the index that orders it."""
    await rows(database, "SELECT pg_stat_force_next_flush()")
    [row] = await rows(
        database,
        """SELECT t.seq_tup_read, i.idx_tup_read
             FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid)
            WHERE t.relname = 'live_chat_messages' AND i.indexrelname = 'live_chat_messages_in_order'""",
    )
    return row["seq_tup_read"], row["idx_tup_read"]


async def test_a_message_whose_sequence_is_not_its_offset_is_never_committed(room, stream, monkeypatch):
    async def stale(connection, channels):
        now, heads = await lock(connection, channels)
        return now, {channel: Head(head.epoch, head.offset + 1) for channel, head in heads.items()}

    lock = log.lock
    monkeypatch.setattr(log, "lock", stale)

    with pytest.raises(AssertionError):
        await room.say(stream, "out of step")

    assert [] == room.told.published
    assert [] == await rows(room.db, "SELECT * FROM live_chat_messages")


async def test_a_message_is_told_after_it_is_committed(db, stream):
    watched = WatchedDatabase(db)
    was_committed = []
    chat = Chat(Context(watched, lambda _published: was_committed.append(watched.is_committed)))
    await chat.send(fan(), ChatSend(stream_id=stream, text="hello", client_id="c"))

    assert [True] == was_committed
