"""Rules 1.1 to 1.4 through chat.send, on a real database."""

import asyncio

import msgspec
import pytest

from csn_rt.db.batch import Batcher
from csn_rt.db.pool import open_database
from csn_rt.errors import NotFound, Unavailable
from csn_rt.features.chat.draft import Draft
from csn_rt.features.chat.posting import post
from csn_rt.features.context import Context, new_id
from csn_rt.wire.chat import Drop
from csn_rt.wire.names import stream_chat
from csn_rt.wire.roles import Role
from tests.features.chat.room import Room, fan, logged, rows
from tests.support.proxy import Proxy
from tests.support.telling import Told


async def test_a_sent_message_is_answered_stored_and_told_in_one_shape(room, stream):
    by = fan("ann", avatar_url="https://img.example.test/ann.png")

    answer = await room.say(stream, "  goal!  ", by=by, client_id="k1")

    message = msgspec.to_builtins(answer.message)
    assert answer.sent
    assert {
        "type": "chat.message",
        "id": message["id"],
        "stream_id": stream,
        "sequence": 1,
        "user": {
            "id": "ann",
            "name": "Ann",
            "role": "user",
            "avatar_url": "https://img.example.test/ann.png",
        },
        "text": "goal!",
        "sent_at": message["sent_at"],
        "client_id": "k1",
    } == message
    assert [message] == room.told_on(stream)
    assert [msgspec.json.encode(message)] == [event.data for event in await logged(room.db, stream)]


async def test_a_message_is_committed_when_it_is_told(db, stream):
    seen = []

    def tell(published):
        asyncio.get_running_loop().create_task(look())

    async def look():
        seen.extend(await rows(db, "SELECT text FROM live_chat_messages"))

    room = Room(db)
    room.chat._ctx.tell = tell
    await room.post(stream, "goal")
    await asyncio.sleep(0.1)

    assert [{"text": "goal"}] == seen


async def test_an_invalid_text_is_a_result_and_no_error(room, stream):
    answer = await room.say(stream, "a\0b")

    assert (False, "text_invalid", None) == (answer.sent, answer.drop.code, answer.drop.retry_after_ms)
    assert "control characters" in answer.drop.message
    assert answer.message is None


async def test_too_fast_is_a_result_that_says_when_to_try_again(room, stream):
    for number in range(5):
        await room.post(stream, f"{number}")

    answer = await room.say(stream, "5")

    assert (False, "rate_limited", 1000) == (answer.sent, answer.drop.code, answer.drop.retry_after_ms)
    room.clock.jump(1.0)
    await room.post(stream, "5")


async def test_the_same_text_again_is_a_duplicate_until_30_seconds_have_passed(room, stream):
    await room.post(stream, "goal")
    room.clock.jump(10)

    answer = await room.say(stream, " goal ")

    assert ("duplicate", 20_000) == (answer.drop.code, answer.drop.retry_after_ms)
    room.clock.jump(20)
    await room.post(stream, "goal")


async def test_moderators_may_say_more(room, stream):
    moderator = fan("mod", Role.MODERATOR)

    said = [(await room.say(stream, f"{number}", by=moderator)).sent for number in range(101)]

    assert [True] * 100 + [False] == said


async def test_a_refused_message_leaves_no_trace(room, stream):
    await room.post(stream, "goal")

    await room.say(stream, "goal")
    await room.say(stream, "\n")

    assert 1 == len(room.told.published)
    assert [{"count": 1}] == await rows(room.db, "SELECT count(*) FROM live_chat_messages")


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": "vod", "live_state": None, "broadcast_id": None},
        {"state": "draft"},
    ],
)
async def test_who_speaks_where_nobody_may_look_is_told_that_there_is_nothing(room, make_stream, columns):
    stream = await make_stream(**columns)

    with pytest.raises(NotFound):
        await room.say(stream, "hello?")

    assert [] == await rows(room.db, "SELECT * FROM channels")


async def test_a_stream_that_does_not_exist_is_not_found_and_gives_birth_to_no_channel(room):
    with pytest.raises(NotFound):
        await room.say(new_id(), "hello?")

    assert [] == await rows(room.db, "SELECT * FROM channels")


async def test_after_the_end_of_the_stream_chat_is_ended(room, make_stream):
    ended = await make_stream(live_state="ended")

    answer = await room.say(ended, "good game")

    assert (False, "chat_ended", None) == (answer.sent, answer.drop.code, answer.drop.retry_after_ms)
    assert [] == room.told.published


async def test_before_the_start_of_the_stream_one_may_chat(room, make_stream):
    scheduled = await make_stream(live_state="scheduled", broadcast_id=None)

    await room.post(scheduled, "early bird")


async def test_what_the_database_refused_may_be_said_again_and_is_no_duplicate(room, make_stream, stream):
    ended = await make_stream(live_state="ended")
    await room.say(ended, "goal")

    await room.post(stream, "goal")


async def test_a_retry_gets_the_same_message_back_and_nothing_is_told_twice(room, stream):
    first = await room.say(stream, "goal", client_id="k1")

    again = await room.say(stream, "goal", client_id="k1")

    assert first == again
    assert 1 == len(room.told.published)


async def test_a_retry_with_another_text_is_still_the_first_message(room, stream):
    first = await room.say(stream, "goal", client_id="k1")

    assert first == await room.say(stream, "no goal", client_id="k1")


async def test_a_retry_through_another_node_gets_the_same_message_back(room, other_node, stream):
    first = await room.say(stream, "goal", client_id="k1")

    again = await other_node.say(stream, "goal", client_id="k1")

    assert first == again
    assert [] == other_node.told.published


async def test_a_retry_is_not_limited_on_a_node_where_its_sender_is(room, other_node, stream):
    first = await room.say(stream, "goal", client_id="k1")
    for number in range(5):
        await other_node.post(stream, f"{number}")

    assert "rate_limited" == (await other_node.say(stream, "other", client_id="k2")).drop.code
    assert first == await other_node.say(stream, "goal", client_id="k1")


async def test_a_retry_after_the_node_has_forgotten_gets_the_same_message_back(room, stream):
    first = await room.say(stream, "goal", client_id="k1")
    room.clock.jump(3600)
    for number in range(5):
        await room.post(stream, f"{number}")

    assert first == await room.say(stream, "goal", client_id="k1")


async def test_a_retry_after_the_end_of_the_stream_gets_the_same_message_back(room, stream):
    first = await room.say(stream, "goal", client_id="k1")
    await rows(room.db, "UPDATE content SET live_state = 'ended'")

    assert first == await room.say(stream, "goal", client_id="k1")


async def test_the_same_client_id_of_another_user_or_stream_is_another_message(room, make_stream, stream):
    other_stream = await make_stream()

    answers = [
        await room.say(stream, "1", by=fan("ann"), client_id="k"),
        await room.say(stream, "2", by=fan("bob"), client_id="k"),
        await room.say(other_stream, "3", by=fan("ann"), client_id="k"),
    ]

    assert ["1", "2", "3"] == [answer.message.text for answer in answers]


async def test_two_retries_at_the_same_moment_on_two_nodes_are_one_message_and_one_event(
    room, other_node, stream
):
    for number in range(20):
        room.clock.jump(2)
        other_node.clock.jump(2)
        one, two = await asyncio.gather(
            room.say(stream, f"goal {number}", client_id=f"k{number}"),
            other_node.say(stream, f"goal {number}", client_id=f"k{number}"),
        )
        assert one == two
        assert one.sent

    assert 20 == len(room.told.published) + len(other_node.told.published)
    assert list(range(1, 21)) == [event.offset for event in await logged(room.db, stream)]


async def test_two_retries_at_the_same_moment_on_one_node_are_one_message_and_one_event(room, stream):
    answers = await asyncio.gather(*(room.say(stream, "goal", client_id="k1") for _ in range(5)))

    assert [answers[0]] * 5 == answers
    assert answers[0].sent
    assert 1 == len(room.told.published)


async def test_twins_in_one_batch_are_one_message(db, stream):
    told = Told()
    twins = [Draft(new_id(), stream, fan().identity, "goal", "k1") for _ in range(3)]

    answers = await post(Context(db, told), twins)

    assert [twins[0].id] * 3 == [answer.message.id for answer in answers]
    assert 1 == len(told.published)


async def test_a_refused_twin_in_the_same_batch_does_not_refuse_the_message(db, stream):
    drop = Drop(code="rate_limited", message="too fast")
    refused = Draft(new_id(), stream, fan().identity, "goal", "k1", drop)
    granted = Draft(new_id(), stream, fan().identity, "goal", "k1")

    answers = await post(Context(db, Told()), [refused, granted])

    assert [granted.id] * 2 == [answer.message.id for answer in answers]


async def test_a_batch_is_in_the_order_in_which_its_drafts_came(db, make_stream):
    streams = [await make_stream(), await make_stream()]
    drop = Drop(code="rate_limited", message="too fast")
    drafts = [
        Draft(new_id(), streams[n % 2], fan(f"u{n}").identity, f"{n}", f"k{n}", drop if n in {4, 5} else None)
        for n in range(10)
    ]
    told = Told()

    answers = await post(Context(db, told), drafts)

    assert [1, 1, 2, 2, None, None, 3, 3, 4, 4] == [
        answer.message and answer.message.sequence for answer in answers
    ]
    for number, stream in enumerate(streams):
        texts = [f"{n}" for n in range(number, 10, 2) if n not in {4, 5}]
        assert texts == [event["text"] for event in told.events(stream_chat(stream))]


async def test_one_bad_item_in_a_batch_fails_alone(db, stream):
    told = Told()
    context = Context(db, told)
    batcher = Batcher(lambda drafts: post(context, drafts))
    texts = [f"{number}" for number in range(50)]
    texts[17] = "never\0 reaches the database through the rules"
    drafts = [Draft(new_id(), stream, fan(f"u{n}").identity, text, f"k{n}") for n, text in enumerate(texts)]

    answers = await asyncio.gather(*map(batcher.put, drafts), return_exceptions=True)

    assert [17] == [n for n, answer in enumerate(answers) if isinstance(answer, Exception)]
    offsets = [event.offset for event in told.published]
    assert list(range(1, 50)) == offsets
    assert offsets == [answer.message.sequence for answer in answers if not isinstance(answer, Exception)]


async def test_an_unknown_stream_in_a_batch_fails_alone(room, stream):
    answers = await asyncio.gather(
        room.post(stream, "1"), room.say(new_id(), "2"), room.post(stream, "3"), return_exceptions=True
    )

    assert isinstance(answers[1], NotFound)
    assert [1, 2] == [answers[0].sequence, answers[2].sequence]


async def test_hostile_identities_do_not_reach_the_database(room, stream):
    by = fan("ann", avatar_url="javascript:alert(1)")
    by = msgspec.structs.replace(by, identity=msgspec.structs.replace(by.identity, name="a\0\ud800"))

    message = await room.post(stream, "hi", by=by)

    assert ("ann", None) == (message.user.name, message.user.avatar_url)


async def test_while_the_database_is_away_nothing_is_said_and_a_retry_says_it(database_url, stream):
    async with Proxy(database_url) as proxy:
        database = await open_database(proxy.url)
        room = Room(database)
        async with proxy.unreachable():
            with pytest.raises(Unavailable):
                await room.say(stream, "goal", client_id="k1")

        answer = await room.say(stream, "goal", client_id="k1")
        await database.close()

    assert answer.sent
    assert 1 == len(room.told.published)


async def test_a_text_that_could_not_be_stored_is_no_duplicate(database_url, stream):
    async with Proxy(database_url) as proxy:
        database = await open_database(proxy.url)
        room = Room(database)
        async with proxy.unreachable():
            with pytest.raises(Unavailable):
                await room.say(stream, "goal")

        answer = await room.say(stream, "goal")
        await database.close()

    assert answer.sent


async def test_close_waits_for_what_was_sent(room, stream):
    sending = asyncio.create_task(room.say(stream, "last words"))
    await asyncio.sleep(0)

    await room.chat.close()

    assert 1 == len(room.told.published)
    assert (await sending).sent
