"""What people do with the official Python client when it speaks Protobuf, as the clients of phones do."""

import asyncio
from collections import Counter

import pytest
from centrifuge import CentrifugeError

from csn_rt.core import keepalive
from csn_rt.core.keepalive import Keepalive
from csn_rt.edge import endpoint
from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, meaning, until
from tests.support.league import make_content
from tests.support.nodes import RunningNode, token

ON_UVLOOP = True
NOWHERE = "ws://127.0.0.1:9"


def phone(node: RunningNode, token: str = "", get_token=None) -> Fan:
    return Fan(node.ws_url, token, get_token, use_protobuf=True)


async def say(fan: Fan, stream_id: str, text: str) -> dict:
    answer = await fan.call("chat.send", stream_id=stream_id, text=text, client_id="-".join(text.split()[:2]))
    assert answer["sent"], answer
    return answer["message"]


async def refusal(call) -> CentrifugeError:
    with pytest.raises(CentrifugeError) as caught:
        await call
    return caught.value


# Connecting


async def test_somebody_without_a_token_is_welcomed_with_one(node):
    async with phone(node) as fan:
        data = meaning(fan.connects[0].data)
    async with phone(node, data["anonymous_token"]) as again:
        who = await again.call("auth.whoami")

    assert who["role"] == "anonymous"
    assert who["user_id"] == data["user_id"]


async def test_a_bad_token_ends_it_for_good(node):
    fan = phone(node, "not.a.token")
    await fan.client.connect()
    await until(lambda: fan.disconnects)

    assert (fan.disconnects[0].code, fan.disconnects[0].reason) == (3500, "invalid token")


async def test_an_expired_token_is_replaced(node):
    asked = []

    async def get_token() -> str:
        asked.append(True)
        return token("ann")

    async with phone(node, token("ann", ttl_s=-60), get_token) as fan:
        who = await fan.call("auth.whoami")

    assert who["user_id"] == "ann"
    assert len(asked) == 1


async def test_a_token_is_refreshed_in_band(node):
    asked = []

    async def get_token() -> str:
        asked.append(True)
        return token("ann")

    async with phone(node, token("ann", ttl_s=1), get_token) as fan:
        await until(lambda: asked)
        who = await fan.call("auth.whoami")

    assert who["user_id"] == "ann"
    assert len(fan.connects) == 1


async def test_pings_are_answered(node, monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_PING_S", (0.1, 0.2))
    monkeypatch.setattr(keepalive, "PING_S", 0.3)
    monkeypatch.setattr(keepalive, "PONG_S", 0.25)
    pongs = Counter()
    pong = Keepalive.pong
    monkeypatch.setattr(Keepalive, "pong", lambda self: (pongs.update([self]), pong(self)))

    async with phone(node) as fan:
        await until(lambda: pongs.total() >= 3)
        await fan.call("auth.whoami")

    assert len(pongs) == len(fan.connects) == 1


# Subscribing


async def test_a_state_channel_has_its_snapshot_and_its_changes(node, db):
    content_id = await make_content(db)
    async with phone(node, token("ann")) as fan:
        room = await fan.enter(names.user("ann"))
        answer = await fan.call(
            "progress.report",
            content_id=content_id,
            playback_session_id="p1",
            seq=1,
            event="pause",
            position_ms=120_000,
        )
        await until(lambda: room.pushed)

    assert answer["outcome"] == "saved"
    assert meaning(room.subscribed[0].data) == {"continue_watching": [], "restrictions": [], "held": []}
    assert room.pushed[0]["position_ms"] == 120_000
    assert room.offsets == [0]


async def test_what_cannot_be_subscribed_to_says_why(node):
    async with phone(node, token("ann")) as fan:
        nonsense = await fan.enter("nonsense")
        private = await fan.enter(names.user("bob"))

    assert nonsense.unsubscribed[0].code == 102
    assert private.unsubscribed[0].code == 103


async def test_who_has_unsubscribed_is_told_nothing_more(node, stream_id):
    async with phone(node, token("ann", Role.MODERATOR)) as fan:
        room = await fan.enter(names.stream_chat(stream_id))
        await room.subscription.unsubscribe()
        await say(fan, stream_id, "unheard")
        await room.subscription.subscribe()
        await until(lambda: room.texts)
        await say(fan, stream_id, "heard")
        await until(lambda: "heard" in room.texts)

    assert room.texts == ["unheard", "heard"]
    assert [each.was_recovering for each in room.subscribed] == [False, True]


async def test_a_player_that_was_away_recovers_exactly_what_it_missed(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as ann, phone(other_node) as viewer:
        room = await viewer.enter(names.stream_chat(stream_id))
        await say(ann, stream_id, "before")
        await until(lambda: room.texts == ["before"])
        viewer.client._address = NOWHERE
        viewer.client._conn.transport.abort()
        await until(lambda: len(viewer.reconnects) > 1)
        for text in ("one", "two", "three"):
            await say(ann, stream_id, text)
        viewer.client._address = f"{node.ws_url}/connection/websocket"
        await until(lambda: len(viewer.connects) == 2)
        await say(ann, stream_id, "after")
        await until(lambda: "after" in room.texts)

    assert room.texts == ["before", "one", "two", "three", "after"]
    assert room.subscribed[1].recovered
    assert room.offsets == [1, 2, 3, 4, 5]


async def test_a_position_of_another_life_of_the_channel_is_not_recovered(node, stream_id, db):
    async with phone(node, token("ann", Role.MODERATOR)) as fan:
        room = await fan.enter(names.stream_chat(stream_id))
        await say(fan, stream_id, "before")
        await until(lambda: room.texts)
        await room.subscription.unsubscribe()
        room.subscription._epoch = "another"
        await room.subscription.subscribe()
        await until(lambda: len(room.subscribed) == 2)

    assert room.subscribed[1].was_recovering
    assert not room.subscribed[1].recovered
    assert room.texts == ["before"]


async def test_history_is_read_by_pages(node, stream_id):
    async with phone(node, token("ann", Role.MODERATOR)) as fan:
        room = await fan.enter(names.stream_chat(stream_id))
        for text in ("one", "two", "three"):
            await say(fan, stream_id, text)
        top = await room.subscription.history(limit=0)
        page = await room.subscription.history(limit=2, reverse=True)

    assert (top.offset, top.publications) == (3, [])
    assert [meaning(each.data)["text"] for each in page.publications] == ["three", "two"]
    assert [each.offset for each in page.publications] == [3, 2]
    assert page.epoch == top.epoch != ""


# Operations


async def test_an_operation_that_does_not_exist_is_not_found(node):
    async with phone(node) as fan:
        refused = await refusal(fan.call("chat.shout"))

    assert refused.code == 104


async def test_who_may_not_is_told_so(node, stream_id):
    async with phone(node) as fan:
        refused = await refusal(fan.call("chat.send", stream_id=stream_id, text="hi", client_id="c"))

    assert refused.code == 403


@pytest.mark.parametrize(
    "data",
    [b"\x00\xff", b"plain text", b'{"stream_id":', b'{"stream_id":"\xff"}', b"\xef\xbb\xbf{}", b"[" * 50_000],
    ids=lambda data: repr(data[:20]),
)
async def test_what_is_not_json_is_a_bad_request_and_the_socket_lives(node, data):
    async with phone(node) as fan:
        refused = await refusal(fan.client.rpc("chat.history", data))
        await fan.call("auth.whoami")

    assert refused.code == 400
    assert "bad_request" in str(refused)
    assert len(fan.connects) == 1


async def test_a_call_without_parameters_needs_none(node):
    async with phone(node) as fan:
        who = meaning((await fan.client.rpc("auth.whoami", b"")).data)

    assert who["role"] == "anonymous"


# One room


async def test_both_encodings_see_the_same_messages_with_the_same_offsets(node, other_node, stream_id):
    chat = names.stream_chat(stream_id)
    async with (
        Fan(node.ws_url, token("ann", Role.MODERATOR)) as ann,
        Fan(other_node.ws_url) as far_browser,
        phone(node, token("bob", Role.MODERATOR)) as bob,
        phone(other_node) as far_phone,
    ):
        rooms = [await fan.enter(chat) for fan in (ann, far_browser, bob, far_phone)]
        for n in range(6):
            await asyncio.gather(
                say(ann, stream_id, f"ann {n} " + "long " * 90), say(bob, stream_id, f"bob {n} olé")
            )
        await until(lambda: all(len(room.texts) == 12 for room in rooms))

    assert rooms[0].offsets == list(range(1, 13))
    for room in rooms[1:]:
        assert room.pushed == rooms[0].pushed
        assert room.offsets == rooms[0].offsets
