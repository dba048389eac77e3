"""The official JavaScript SDK in its Protobuf build, unmodified; its schema is the newest of all."""

import shutil
from collections.abc import AsyncIterator

import pytest

from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, until
from tests.support.js_player import JsPlayer, install_sdk
from tests.support.nodes import token

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")

ON_UVLOOP = True
NOWHERE = "ws://127.0.0.1:9"


@pytest.fixture(scope="module", autouse=True)
def sdk() -> None:
    install_sdk()


@pytest.fixture
async def player() -> AsyncIterator[JsPlayer]:
    player = await JsPlayer.start(is_protobuf=True)
    yield player
    await player.stop()


async def test_it_connects_subscribes_chats_and_receives(node, stream_id, player):
    chat = names.stream_chat(stream_id)
    welcome = await player.connect(node.ws_url, token("ann"))
    await player.enter(chat)
    answer = await player.call("chat.send", stream_id=stream_id, text="hello", client_id="c")
    await until(lambda: player.texts(chat))

    assert welcome["data"]["user_id"] == "ann"
    assert answer["data"]["sent"]
    assert player.texts(chat) == ["hello"]


async def test_it_subscribes_in_the_same_message_as_it_connects(node, stream_id, player):
    player.do("connect", url=f"{node.ws_url}/connection/websocket", token=token("ann"))
    player.do("subscribe", channel=names.stream_chat(stream_id))
    player.do("subscribe", channel=names.stream_viewers(stream_id))
    viewers = await player.sees("subscribed", channel=names.stream_viewers(stream_id))

    assert viewers["data"]["viewers"] == 0
    assert await player.sees("subscribed", channel=names.stream_chat(stream_id))


async def test_it_recovers_exactly_what_it_missed_on_another_node(node, other_node, stream_id, player):
    chat = names.stream_chat(stream_id)
    await player.connect(node.ws_url, token("ann"))
    await player.enter(chat)
    async with Fan(other_node.ws_url, token("bob")) as bob:
        await bob.call("chat.send", stream_id=stream_id, text="before", client_id="0")
        await until(lambda: player.texts(chat))
        player.do("cut", url=f"{NOWHERE}/connection/websocket")
        await player.sees("connecting", count=2)
        for text in ("one", "two", "three"):
            await bob.call("chat.send", stream_id=stream_id, text=text, client_id=text)
        player.do("cut", url=f"{other_node.ws_url}/connection/websocket")
        back = await player.sees("subscribed", count=2, channel=chat)
        await bob.call("chat.send", stream_id=stream_id, text="after", client_id="9")
        await until(lambda: "after" in player.texts(chat))

    assert back["recovered"]
    assert player.texts(chat) == ["before", "one", "two", "three", "after"]


async def test_it_sees_what_a_json_client_sees(node, stream_id, player):
    chat = names.stream_chat(stream_id)
    await player.connect(node.ws_url, token("ann"))
    await player.enter(chat)
    async with Fan(node.ws_url, token("bob", Role.MODERATOR)) as bob:
        room = await bob.enter(chat)
        for n in range(5):
            await bob.call("chat.send", stream_id=stream_id, text=f"{n} " + "olé " * n * 25, client_id=f"{n}")
        await until(lambda: len(room.texts) == len(player.texts(chat)) == 5)

    seen = player.seen("publication", channel=chat)
    assert room.pushed == [each["data"] for each in seen]
    assert room.offsets == [each["offset"] for each in seen] == [1, 2, 3, 4, 5]


async def test_an_expired_token_is_replaced(node, player):
    player.do(
        "connect", url=f"{node.ws_url}/connection/websocket", token=token("ann", ttl_s=-60), refreshes=True
    )
    await player.sees("token_wanted")
    player.do("token", token=token("ann"))

    assert (await player.sees("connected"))["data"]["user_id"] == "ann"


async def test_a_token_is_refreshed_in_band(node, player):
    await player.connect(node.ws_url, token("ann", ttl_s=1), refreshes=True)
    await player.sees("token_wanted")
    player.do("token", token=token("ann"))
    answer = await player.call("auth.whoami")

    assert answer["data"]["user_id"] == "ann"
    assert len(player.seen("connected")) == 1


async def test_a_bad_token_ends_it_for_good(node, player):
    player.do("connect", url=f"{node.ws_url}/connection/websocket", token="not.a.token")

    assert (await player.sees("disconnected"))["code"] == 3500


async def test_a_drained_node_sends_it_to_come_back(node, player):
    await player.connect(node.ws_url, token("ann"))
    await node.app.drain()

    assert (await player.sees("connecting", count=2))["code"] == 3001


async def test_an_error_has_its_code_and_its_message(node, player):
    await player.connect(node.ws_url)
    unknown = await player.call("chat.shout")
    bad = await player.call("chat.history", stream_id=7)

    assert unknown["error"] == {"code": 104, "message": "method not found"}
    assert bad["error"]["code"] == 400
    assert "stream_id" in bad["error"]["message"]


async def test_a_subscription_that_is_not_of_a_stream_is_not_available(node, player):
    await player.connect(node.ws_url)
    player.do("subscribeMap", channel=names.CATALOG)

    assert (await player.sees("unsubscribed", channel=names.CATALOG))["code"] == 108


async def test_it_leaves_a_channel_and_comes_back(node, player):
    await player.connect(node.ws_url)
    await player.enter(names.CATALOG)
    player.do("unsubscribe", channel=names.CATALOG)
    await player.sees("unsubscribed", channel=names.CATALOG)
    answer = await player.call("auth.whoami")

    assert answer["data"]["role"] == "anonymous"
    assert len(player.seen("connected")) == 1


async def test_history_is_read_by_pages(node, stream_id, player):
    chat = names.stream_chat(stream_id)
    await player.connect(node.ws_url, token("ann"))
    await player.enter(chat)
    for text in ("one", "two"):
        await player.call("chat.send", stream_id=stream_id, text=text, client_id=text)
    player.do("history", id=1_000, channel=chat, limit=10)
    page = (await player.sees("reply", id=1_000))["data"]

    assert [each["data"]["text"] for each in page["publications"]] == ["one", "two"]
    assert page["offset"] == 2
