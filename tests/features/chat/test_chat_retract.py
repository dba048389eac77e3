"""Rule 1.14: one's own message may be taken back. Viewers get the least, and no replay carries the text."""

import asyncio

import pytest

from csn_rt.db import log
from csn_rt.errors import Forbidden, NotFound
from csn_rt.features.context import new_id
from csn_rt.wire.names import stream_chat
from csn_rt.wire.roles import Role
from tests.features.chat.room import fan, logged, rows


async def test_an_author_takes_back_his_message_and_viewers_are_told_its_id(room, stream):
    message = await room.post(stream, "oops")

    answer = await room.retract(message.id, by=fan())

    assert (message.id, stream, "deleted") == (answer.id, answer.stream_id, answer.state)
    assert {"type": "chat.deleted", "id": message.id, "stream_id": stream} == room.told_on(stream)[-1]
    assert [] == await room.read(stream)


async def test_to_retract_twice_gives_the_same_answer_and_no_second_event(room, stream):
    message = await room.post(stream, "oops")
    first = await room.retract(message.id, by=fan())

    assert first == await room.retract(message.id, by=fan())
    assert 2 == len(room.told.published)


async def test_to_retract_on_two_nodes_at_once_is_one_event(room, other_node, stream):
    message = await room.post(stream, "oops")

    await asyncio.gather(*(node.retract(message.id, by=fan()) for node in (room, other_node) * 3))

    assert 2 == len(room.told.published) + len(other_node.told.published)


async def test_a_retraction_takes_the_lock_of_the_channel_before_that_of_the_message(room, stream):
    """The order of everyone who writes in a chat; any other order could end in a deadlock."""
    message = await room.post(stream, "oops")
    async with room.db.transaction() as connection:
        await log.lock(connection, [stream_chat(stream)])
        retracting = asyncio.create_task(room.retract(message.id, by=fan()))
        await asyncio.sleep(0.1)

        await connection.execute("SELECT FROM live_chat_messages FOR UPDATE NOWAIT")
        assert not retracting.done()

    assert "deleted" == (await retracting).state


async def test_a_replay_never_carries_the_text_that_was_taken_back(room, stream):
    await room.post(stream, "before", by=fan("bob"))
    message = await room.post(stream, "my phone number")
    await room.post(stream, "after", by=fan("cid"))

    await room.retract(message.id, by=fan())

    events = await logged(room.db, stream)
    assert [1, 2, 3, 4] == [event.offset for event in events]
    assert not any(b"phone" in event.data for event in events)
    assert events[1].data == events[3].data
    assert b"before" in events[0].data
    assert b"after" in events[2].data


async def test_nodes_are_told_which_of_their_copies_to_redact(room, stream):
    await room.post(stream, "before", by=fan("bob"))
    message = await room.post(stream, "oops")

    await room.retract(message.id, by=fan())

    assert [(), (), (message.sequence,)] == [event.redacts for event in room.told.published]
    assert [(), (), (message.sequence,)] == [event.redacts for event in await logged(room.db, stream)]


async def test_the_text_stays_for_moderators_and_the_audit(room, stream):
    message = await room.post(stream, "oops")

    await room.retract(message.id, by=fan())

    [row] = await rows(room.db, "SELECT text, status, removed_by, removal FROM live_chat_messages")
    assert {"text": "oops", "status": "deleted", "removed_by": "ann", "removal": "retraction"} == row


@pytest.mark.parametrize("role", [Role.USER, Role.MODERATOR, Role.ADMIN])
async def test_only_its_author_can_retract_a_message(room, stream, role):
    message = await room.post(stream, "mine")

    with pytest.raises(Forbidden):
        await room.retract(message.id, by=fan("bob", role))

    assert ["mine"] == await room.read(stream)


async def test_what_others_cannot_see_is_not_found_by_them(room, stream):
    message = await room.post(stream, "oops")
    await room.retract(message.id, by=fan())
    hidden = await room.post(stream, "in a stream that is gone")
    await rows(room.db, "UPDATE content SET deleted_at = now()")

    for message_id in (message.id, hidden.id, new_id()):
        with pytest.raises(NotFound):
            await room.retract(message_id, by=fan("bob"))


async def test_an_author_may_retract_also_when_the_stream_is_over_or_gone(room, stream):
    message = await room.post(stream, "oops")
    await rows(room.db, "UPDATE content SET live_state = 'ended', deleted_at = now()")

    await room.retract(message.id, by=fan())

    assert "chat.deleted" == room.told_on(stream)[-1]["type"]


@pytest.mark.parametrize(
    "columns",
    ["status = 'held', sequence = NULL", "status = 'hidden', removed_at = now(), removal = 'restriction'"],
)
async def test_what_viewers_do_not_see_is_retracted_in_silence(room, stream, columns):
    message = await room.post(stream, "rude")
    await rows(room.db, f"UPDATE live_chat_messages SET {columns}")

    answer = await room.retract(message.id, by=fan())

    assert "deleted" == answer.state
    assert 1 == len(room.told.published)
    assert [{"status": "deleted"}] == await rows(room.db, "SELECT status FROM live_chat_messages")


async def test_who_removed_a_message_first_is_not_forgotten(room, stream):
    message = await room.post(stream, "rude")
    await rows(
        room.db,
        """UPDATE live_chat_messages
              SET status = 'deleted', removed_at = now(), removed_by = 'mod', removal = 'deletion'""",
    )

    answer = await room.retract(message.id, by=fan())

    assert "deleted" == answer.state
    assert 1 == len(room.told.published)
    [row] = await rows(room.db, "SELECT removed_by, removal FROM live_chat_messages")
    assert {"removed_by": "mod", "removal": "deletion"} == row


async def test_a_retry_of_a_retracted_message_does_not_say_it_again(room, stream):
    first = await room.say(stream, "oops", client_id="k1")
    await room.retract(first.message.id, by=fan())

    assert first == await room.say(stream, "oops", client_id="k1")
    assert [] == await room.read(stream)
    assert 2 == len(room.told.published)
