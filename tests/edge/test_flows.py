"""What people do, with the official Python client and real servers behind two nodes."""

import asyncio
import time

from centrifuge import CentrifugeError

from csn_rt.wire import names
from csn_rt.wire.roles import Role
from tests.support.fans import Fan, until
from tests.support.league import make_content
from tests.support.nodes import token


async def say(fan: Fan, stream_id: str, text: str) -> dict:
    answer = await fan.call("chat.send", stream_id=stream_id, text=text, client_id=f"c-{text}")
    assert answer["sent"], answer
    return answer["message"]


async def refusal(call) -> CentrifugeError:
    try:
        await call
    except CentrifugeError as exc:
        return exc
    raise AssertionError("it was not refused")


# Connecting


async def test_somebody_without_a_token_is_an_anonymous_viewer(node):
    async with Fan(node.ws_url) as fan:
        who = await fan.call("auth.whoami")

    assert who["role"] == "anonymous"
    assert fan.connects[0].data["user_id"] == who["user_id"]


async def test_an_anonymous_viewer_who_comes_back_with_his_token_is_the_same(node):
    async with Fan(node.ws_url) as fan:
        data = fan.connects[0].data
    async with Fan(node.ws_url, data["anonymous_token"]) as again:
        who = await again.call("auth.whoami")

    assert who["user_id"] == data["user_id"]


async def test_a_token_says_who_one_is(node):
    async with Fan(node.ws_url, token("ann", Role.MODERATOR)) as fan:
        who = await fan.call("auth.whoami")

    assert (who["user_id"], who["role"], who["name"]) == ("ann", "moderator", "Ann")


async def test_a_bad_token_ends_the_client_for_good(node):
    fan = Fan(node.ws_url, "not.a.token")
    await fan.client.connect()
    await until(lambda: fan.disconnects)

    assert fan.disconnects[0].code == 3500


async def test_an_expired_token_is_replaced_and_the_client_goes_on(node):
    asked = []

    async def get_token() -> str:
        asked.append(time.time())
        return token("ann")

    async with Fan(node.ws_url, token("ann", ttl_s=-60), get_token) as fan:
        who = await fan.call("auth.whoami")

    assert who["user_id"] == "ann"
    assert len(asked) == 1


async def test_a_token_is_refreshed_before_the_connection_expires(node):
    async def get_token() -> str:
        return token("ann", ttl_s=3600)

    async with Fan(node.ws_url, token("ann", ttl_s=1), get_token) as fan:
        await asyncio.sleep(2.5)
        who = await fan.call("auth.whoami")

    assert who["user_id"] == "ann"
    assert len(fan.connects) == 1


async def test_a_refresh_with_the_token_of_somebody_else_ends_the_client(node):
    async def get_token() -> str:
        return token("bob")

    async with Fan(node.ws_url, token("ann", ttl_s=1), get_token) as fan:
        await until(lambda: fan.disconnects)

    assert fan.disconnects[0].code == 3500


# Subscribing


async def test_a_channel_that_does_not_exist_is_unknown(node):
    async with Fan(node.ws_url) as fan:
        nonsense = await fan.enter("nonsense")
        no_stream = await fan.enter(names.stream_chat("00000000-0000-7000-8000-000000000000"))

    assert nonsense.unsubscribed[0].code == 102
    assert no_stream.unsubscribed[0].code == 102


async def test_nobody_listens_to_another_persons_channel(node):
    async with Fan(node.ws_url, token("ann")) as fan:
        room = await fan.enter(names.user("bob"))

    assert room.unsubscribed[0].code == 103


async def test_what_is_for_moderators_has_no_name_that_a_client_can_subscribe_to(node, stream_id):
    async with Fan(node.ws_url, token("ann")) as fan:
        room = await fan.enter(names.stream_viewers_staff(stream_id))

    assert room.unsubscribed[0].code == 102


# Chat


async def test_what_is_said_on_one_node_is_seen_on_both(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as ann, Fan(other_node.ws_url) as viewer:
        near = await ann.enter(names.stream_chat(stream_id))
        far = await viewer.enter(names.stream_chat(stream_id))
        message = await say(ann, stream_id, "hello")
        await until(lambda: near.texts and far.texts)

    assert near.pushed == far.pushed
    assert far.pushed[0]["id"] == message["id"]
    assert far.offsets == [message["sequence"]]


async def test_a_player_that_was_away_recovers_exactly_what_it_missed(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as ann, Fan(other_node.ws_url) as viewer:
        room = await viewer.enter(names.stream_chat(stream_id))
        await say(ann, stream_id, "before")
        await until(lambda: room.texts == ["before"])
        viewer.client._address = "ws://127.0.0.1:9"  # nobody listens there
        viewer.client._conn.transport.abort()
        await until(lambda: len(viewer.reconnects) > 1)
        for text in ("one", "two", "three"):
            await say(ann, stream_id, text)
        viewer.client._address = f"{node.ws_url}/connection/websocket"
        await until(lambda: len(viewer.connects) == 2)
        await say(ann, stream_id, "after")
        await until(lambda: "after" in room.texts)

    assert room.texts == ["before", "one", "two", "three", "after"]
    assert room.subscribed[1].was_recovering
    assert room.subscribed[1].recovered
    assert room.offsets == list(range(room.offsets[0], room.offsets[0] + 5))


async def test_a_retry_shows_the_message_once(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as phone, Fan(other_node.ws_url, token("ann")) as tablet:
        room = await phone.enter(names.stream_chat(stream_id))
        params = {"stream_id": stream_id, "text": "once", "client_id": "same"}
        answers = await asyncio.gather(phone.call("chat.send", **params), tablet.call("chat.send", **params))
        await say(phone, stream_id, "end")
        await until(lambda: "end" in room.texts)

    assert answers[0]["message"]["id"] == answers[1]["message"]["id"]
    assert room.texts == ["once", "end"]


async def test_an_anonymous_viewer_reads_but_does_not_write(node, stream_id):
    async with Fan(node.ws_url) as fan:
        refused = await refusal(fan.call("chat.send", stream_id=stream_id, text="hi", client_id="c"))
        page = await fan.call("chat.history", stream_id=stream_id)

    assert refused.code == 403
    assert page["items"] == []


async def test_a_retracted_message_is_gone_from_history_and_from_what_others_recover(
    node, other_node, stream_id
):
    async with Fan(node.ws_url, token("ann")) as ann, Fan(other_node.ws_url) as viewer:
        room = await viewer.enter(names.stream_chat(stream_id))
        message = await say(ann, stream_id, "regretted")
        await until(lambda: room.texts)
        await ann.call("chat.retract", message_id=message["id"])
        await until(lambda: room.pushed[-1]["type"] == "chat.deleted")
        page = await viewer.call("chat.history", stream_id=stream_id)
        history = await room.subscription.history(limit=-1)

    assert room.pushed[-1] == {"type": "chat.deleted", "id": message["id"], "stream_id": stream_id}
    assert page["items"] == []
    assert "regretted" not in str(history.publications)


async def test_messages_that_one_person_sends_in_a_row_keep_their_order(node, stream_id):
    async with Fan(node.ws_url, token("ann", Role.MODERATOR)) as ann:
        room = await ann.enter(names.stream_chat(stream_id))
        await asyncio.gather(*[say(ann, stream_id, f"{n}") for n in range(5)])
        await until(lambda: len(room.texts) == 5)

    assert room.texts == ["0", "1", "2", "3", "4"]


# Operations


async def test_bad_input_gets_an_error_that_names_the_field(node, stream_id):
    async with Fan(node.ws_url, token("ann")) as ann:
        refused = await refusal(ann.call("chat.send", stream_id=stream_id, text=7, client_id="c"))

    assert refused.code == 400
    assert "text" in str(refused)


async def test_an_operation_that_does_not_exist_is_not_found(node):
    async with Fan(node.ws_url) as fan:
        refused = await refusal(fan.call("chat.shout"))

    assert refused.code == 104


# Watch progress


async def test_progress_on_one_device_reaches_the_other_device_on_another_node(node, other_node, db):
    content_id = await make_content(db)
    async with Fan(node.ws_url, token("ann")) as phone, Fan(other_node.ws_url, token("ann")) as tv:
        room = await tv.enter(names.user("ann"))
        answer = await phone.call(
            "progress.report",
            content_id=content_id,
            playback_session_id="p1",
            seq=1,
            event="pause",
            position_ms=120_000,
        )
        await until(lambda: room.pushed)

    assert room.subscribed[0].data == {"continue_watching": [], "restrictions": [], "held": []}
    assert answer["outcome"] == "saved"
    assert room.pushed[0]["type"] == "progress.changed"
    assert room.pushed[0]["position_ms"] == 120_000


async def test_the_snapshot_of_a_device_that_comes_later_has_the_progress(node, db):
    content_id = await make_content(db)
    async with Fan(node.ws_url, token("ann")) as phone:
        await phone.call(
            "progress.report",
            content_id=content_id,
            playback_session_id="p1",
            seq=1,
            event="pause",
            position_ms=120_000,
        )
        room = await phone.enter(names.user("ann"))

    (item,) = room.subscribed[0].data["continue_watching"]
    assert item["position_ms"] == 120_000


# Viewer counts


async def test_a_player_sees_himself_counted_and_so_do_dashboards_on_every_node(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as ann, Fan(other_node.ws_url) as dashboard:
        room = await dashboard.enter(names.stream_viewers(stream_id))
        started = await ann.call("session.start", stream_id=stream_id)
        await until(lambda: room.pushed and room.pushed[-1]["viewers"] == 1)
        await ann.call("session.end", session_id=started["session_id"])
        await until(lambda: room.pushed[-1]["viewers"] == 0)

    assert room.subscribed[0].data["viewers"] == 0
    assert started["viewers"] == 1


async def test_two_devices_of_one_person_on_two_nodes_are_one_viewer(node, other_node, stream_id):
    async with Fan(node.ws_url, token("ann")) as phone, Fan(other_node.ws_url, token("ann")) as tv:
        room = await phone.enter(names.stream_viewers(stream_id))
        first = await phone.call("session.start", stream_id=stream_id)
        second = await tv.call("session.start", stream_id=stream_id)
        await phone.call("session.end", session_id=first["session_id"])
        await asyncio.sleep(0.6)
        seen = [data["viewers"] for data in room.pushed]

    assert (first["viewers"], second["viewers"]) == (1, 1)
    assert set(seen) <= {1}


async def test_a_stream_that_ends_is_told_to_viewers_and_catalog_and_ends_its_chat(
    node, other_node, stream_id
):
    async with (
        Fan(node.ws_url, token("root", Role.ADMIN)) as admin,
        Fan(other_node.ws_url, token("ann")) as ann,
    ):
        viewers = await ann.enter(names.stream_viewers(stream_id))
        catalog = await ann.enter(names.CATALOG)
        await admin.call("stream.end", stream_id=stream_id)
        await until(lambda: catalog.pushed and viewers.pushed and viewers.pushed[-1]["state"] == "ended")
        answer = await ann.call("chat.send", stream_id=stream_id, text="late", client_id="c")

    assert viewers.pushed[-1]["viewers"] is None
    assert catalog.pushed[-1]["type"] == "stream.ended"
    assert answer["drop"]["code"] == "chat_ended"
