"""Rule 1.6: history pages by sequence, and shows what live viewers see."""

import pytest
from msgspec import ValidationError, convert

from csn_rt.errors import NotFound
from csn_rt.features.context import new_id
from csn_rt.wire.chat import ChatHistory
from tests.features.chat.room import fan, rows


async def fill(room, stream, count):
    for number in range(1, count + 1):
        await room.post(stream, f"{number}", by=fan(f"u{number}"))


async def page(room, stream, **params):
    return await room.chat.history(fan(), ChatHistory(stream_id=stream, **params))


async def test_history_is_newest_first_and_its_pages_follow_each_other(room, stream):
    await fill(room, stream, 7)

    one = await page(room, stream, limit=3)
    two = await page(room, stream, limit=3, before=one.next)
    three = await page(room, stream, limit=3, before=two.next)

    assert [["7", "6", "5"], ["4", "3", "2"], ["1"]] == [
        [message.text for message in each.items] for each in (one, two, three)
    ]
    assert [5, 2, None] == [one.next, two.next, three.next]


async def test_a_page_that_ends_exactly_at_the_first_message_is_the_last(room, stream):
    await fill(room, stream, 4)

    assert (await page(room, stream, limit=4)).next is None


async def test_what_is_said_between_two_pages_does_not_move_them(room, stream):
    await fill(room, stream, 4)
    one = await page(room, stream, limit=2)
    await room.post(stream, "new", by=fan("zoe"))

    two = await page(room, stream, limit=2, before=one.next)

    assert ["2", "1"] == [message.text for message in two.items]


async def test_history_is_50_by_default_and_100_at_most(room, stream):
    for number in range(101):
        await room.post(stream, f"{number}", by=fan(f"u{number}"))

    assert 50 == len((await page(room, stream)).items)
    assert 100 == len((await page(room, stream, limit=100)).items)
    for limit in (0, 101):
        with pytest.raises(ValidationError):
            convert({"stream_id": stream, "limit": limit}, ChatHistory)


async def test_history_shows_a_message_as_it_was_told(room, stream):
    message = await room.post(stream, "goal", by=fan(avatar_url="https://img.example.test/a.png"))

    assert [message] == (await page(room, stream)).items


@pytest.mark.parametrize("status", ["held", "denied", "expired"])
async def test_viewers_see_only_visible_messages(room, stream, status):
    await fill(room, stream, 3)
    await rows(room.db, "UPDATE live_chat_messages SET status = $1 WHERE sequence = 2", status)

    assert ["3", "1"] == await room.read(stream)


@pytest.mark.parametrize("status", ["deleted", "hidden"])
async def test_viewers_do_not_see_removed_messages(room, stream, status):
    await fill(room, stream, 3)
    await rows(
        room.db,
        """UPDATE live_chat_messages SET status = $1, removed_at = now(), removal = 'deletion'
            WHERE sequence = 2""",
        status,
    )

    assert ["3", "1"] == await room.read(stream)


async def test_a_page_is_full_even_if_messages_of_it_were_removed(room, stream):
    await fill(room, stream, 6)
    await rows(room.db, "UPDATE live_chat_messages SET status = 'held' WHERE sequence IN (5, 4)")

    assert ["6", "3", "2"] == await room.read(stream, limit=3)


async def test_history_of_a_silent_stream_is_empty(room, stream):
    silent = await page(room, stream)

    assert ([], None) == (silent.items, silent.next)


async def test_history_of_a_stream_that_has_ended_can_be_read(room, stream):
    await fill(room, stream, 2)
    await rows(room.db, "UPDATE content SET live_state = 'ended'")

    assert ["2", "1"] == await room.read(stream)


async def test_history_of_what_is_not_there_or_not_to_be_seen_is_not_found(room, make_stream, stream):
    await fill(room, stream, 1)
    await rows(room.db, "UPDATE content SET deleted_at = now()")
    for stream_id in (new_id(), stream, await make_stream(state="draft")):
        with pytest.raises(NotFound):
            await room.read(stream_id)
