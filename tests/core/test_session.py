"""One test per promise of a session; the numbers are those of the rules in `csn_rt.core.session`."""

from math import inf

import pytest
from msgspec import structs

from csn_rt.core.effects import (
    Admit,
    Authenticate,
    Call,
    Close,
    Join,
    Leave,
    ReadHistory,
    Send,
    VerifyRefresh,
)
from csn_rt.core.held import MAX_BYTES, MAX_COMMANDS
from csn_rt.core.pace import COMMANDS, REFUSALS, RESUBSCRIBES
from csn_rt.core.places import MAX_CHANNELS
from csn_rt.core.session import Session, State
from csn_rt.core.subscription import Subscription
from csn_rt.wire import json_codec
from csn_rt.wire.codes import CloseCode, ErrorCode, UnsubscribeCode
from csn_rt.wire.protocol import MAX_HISTORY, Error, StreamPosition
from csn_rt.wire.roles import Role
from tests.support.sessions import (
    ANN,
    BOB,
    FIRST_PING_S,
    connect,
    connected,
    frame,
    opened,
    plain,
    rpc,
    said,
    subscribe,
    unsubscribe,
)

LOG = Subscription(is_recoverable=True, is_positioned=True, epoch="abcdefgh", offset=4)


def error(command_id, code):
    body = {"code": code.code, "message": code.message}
    return {"id": command_id, "error": body | ({"temporary": True} if code.temporary else {})}


def closed(code, detail=""):
    """What a session does to end itself."""
    return [Send(json_codec.encode_disconnect_push(code)), Close(code, detail)]


def ends_with(effects, code):
    return effects[-2] == closed(code)[0] and effects[-1].code is code


def subscribed(session, *channels):
    """Subscribe to these channels and let it succeed."""
    for n, channel in enumerate(channels, start=1_000):
        session.receive(frame(subscribe(n, channel)), 0.0)
        session.subscribed(n, channel, LOG)


# Connecting


def test_rule_4_a_connect_is_authenticated_with_its_token():
    assert opened().receive(frame(connect(1, "a.b.c")), 0.0) == [Authenticate(1, "a.b.c")]


def test_rule_4_a_connect_without_token_is_authenticated_as_nobody():
    assert opened().receive(b'{"id":1,"connect":{}}', 0.0) == [Authenticate(1, "")]


def test_rule_4_the_connect_reply_says_who_the_client_is_and_how_it_will_be_pinged():
    session = opened()
    session.receive(frame(connect()), 0.0)

    (reply,) = said(session.connected(ANN, 0.0, ttl_s=None))

    assert reply["id"] == 1
    assert reply["connect"].pop("version").startswith("csn_rt ")
    assert reply["connect"] == {"client": "c1", "ping": 25, "pong": True}
    assert session.identity == ANN


def test_rule_4_the_connect_reply_carries_data_and_the_tokens_life():
    session = opened()
    session.receive(frame(connect()), 0.0)

    (reply,) = said(session.connected(ANN, 0.0, ttl_s=60, data=b'{"a":1}'))

    assert (True, 60, {"a": 1}) == tuple(reply["connect"][key] for key in ("expires", "ttl", "data"))


@pytest.mark.parametrize(("ttl_s", "told"), [(0, 1), (-5, 1), (1, 1), (10**12, 2**31 - 1)])
def test_rule_4_a_token_that_expires_has_a_ttl_that_every_sdk_can_read(ttl_s, told):
    session = opened()
    session.receive(frame(connect()), 0.0)

    (reply,) = said(session.connected(ANN, 0.0, ttl_s=ttl_s))

    assert told == reply["connect"]["ttl"]


@pytest.mark.parametrize(
    "first",
    [
        subscribe(1),
        rpc(1),
        {"id": 1, "refresh": {"token": "t"}},
        {"id": 1, "ping": {}},
        {"id": 1, "whatever": {}},
        {"send": {}},
        {"connect": {}},
    ],
)
def test_rule_4_before_connect_nothing_but_connect_with_an_id(first):
    effects = opened().receive(frame(first), 0.0)

    assert closed(CloseCode.BAD_REQUEST, "the first command is not connect") == effects


def test_rule_4_a_pong_before_connect_is_harmless():
    assert opened().receive(b"{}\n" + frame(connect()), 0.0) == [Authenticate(1, "ann's token")]


def test_rule_4_a_second_connect_ends_the_connection():
    assert ends_with(connected().receive(frame(connect(2)), 0.0), CloseCode.BAD_REQUEST)


def test_rule_4_an_expired_token_is_told_and_the_client_may_go_by_itself():
    session = opened()
    session.receive(frame(connect()), 0.0)

    effects = session.connect_failed(ErrorCode.TOKEN_EXPIRED, 1.0)

    assert [error(1, ErrorCode.TOKEN_EXPIRED)] == said(effects)
    assert plain(effects) == []


@pytest.mark.parametrize(
    ("error_code", "close_code"),
    [
        (ErrorCode.TOKEN_EXPIRED, CloseCode.CONNECTION_EXPIRED),
        (ErrorCode.INTERNAL, CloseCode.INTERNAL_SERVER_ERROR),
        (ErrorCode.TOO_MANY_REQUESTS, CloseCode.TOO_MANY_REQUESTS),
        (ErrorCode.PERMISSION_DENIED, CloseCode.PERMISSION_DENIED),
    ],
)
def test_rule_4_a_client_that_stays_after_a_failed_connect_is_closed_a_little_later(error_code, close_code):
    session = opened()
    session.receive(frame(connect()), 0.0)
    session.connect_failed(error_code, 1.0)

    assert session.next_due == 6.0
    assert session.tick(5.9) == []
    assert closed(close_code) == session.tick(6.0)


@pytest.mark.parametrize("code", [CloseCode.INVALID_TOKEN, CloseCode.PERMISSION_DENIED])
def test_rule_4_a_token_that_is_no_good_ends_the_connection_at_once(code):
    session = opened()
    session.receive(frame(connect(), subscribe(2)), 0.0)

    assert closed(code) == session.connect_failed(code, 1.0)


def test_rule_4_after_a_failed_connect_the_rest_is_ignored():
    session = opened()
    session.receive(frame(connect(), subscribe(2)), 0.0)

    effects = session.connect_failed(ErrorCode.TOKEN_EXPIRED, 1.0)

    assert [1] == [reply["id"] for reply in said(effects)]
    assert session.receive(frame(rpc(3)), 1.0) == []
    assert session.receive(b"garbage", 1.0) == []


def test_rule_4_a_connect_that_is_just_answered_as_failed_is_a_failed_connect():
    session = opened()
    session.receive(frame(connect(), subscribe(2)), 0.0)

    effects = session.failed(1, Error.of(ErrorCode.INTERNAL))

    assert [error(1, ErrorCode.INTERNAL)] == said(effects)
    assert session.state is State.FAILED
    assert closed(CloseCode.INTERNAL_SERVER_ERROR) == session.tick(10.0)


# Order


def test_rule_3_commands_behind_a_connect_wait_for_it_and_are_begun_in_order():
    session = opened()
    held = frame(connect(), subscribe(2, "a"), rpc(3), subscribe(4, "b"))

    assert plain(session.receive(held, 0.0)) == [Authenticate(1, "ann's token")]
    effects = session.connected(ANN, 0.0, ttl_s=None)

    assert [1] == [reply["id"] for reply in said(effects)]
    assert isinstance(effects[0], Send)
    assert effects[1:] == [Join(2, "a", None, False), Call(3, "chat.send", b"{}"), Join(4, "b", None, False)]


def test_rule_3_commands_of_later_frames_wait_for_the_connect_too():
    session = opened()
    session.receive(frame(connect()), 0.0)

    assert session.receive(frame(rpc(2)), 0.1) == []
    assert session.receive(frame(rpc(3)), 0.2) == []
    assert [2, 3] == [call.command_id for call in plain(session.connected(ANN, 0.3, ttl_s=None))]


def test_rule_3_an_unsubscribe_waits_for_the_subscribe_of_its_channel():
    session = connected()

    effects = session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)

    assert effects == [Join(2, "catalog", None, False)]


def test_rule_3_a_waiting_unsubscribe_is_carried_out_when_the_subscribe_succeeds():
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)

    effects = session.subscribed(2, "catalog", LOG)

    assert [2, 3] == [reply["id"] for reply in said(effects)]
    assert [Send, Admit, Leave, Send] == [type(effect) for effect in effects]


def test_rule_3_a_waiting_unsubscribe_is_answered_when_the_subscribe_fails():
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)

    effects = session.subscribe_failed(2, "catalog", ErrorCode.UNKNOWN_CHANNEL)

    assert [error(2, ErrorCode.UNKNOWN_CHANNEL), {"id": 3, "unsubscribe": {}}] == said(effects)
    assert plain(effects) == []


def test_rule_3_what_stands_behind_a_waiting_unsubscribe_waits_too():
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3), subscribe(4)), 0.0)

    assert session.receive(frame(rpc(5)), 0.0) == []
    effects = session.subscribed(2, "catalog", LOG)

    assert effects[-2:] == [Join(4, "catalog", None, False), Call(5, "chat.send", b"{}")]


def test_rule_3_an_unsubscribe_does_not_wait_for_another_channel():
    session = connected()

    effects = session.receive(frame(subscribe(2, "a"), unsubscribe(3, "b")), 0.0)

    assert [{"id": 3, "unsubscribe": {}}] == said(effects)


def test_rule_3_too_many_held_commands_end_the_connection():
    session = opened()
    session.receive(frame(connect()), 0.0)

    for n in range(MAX_COMMANDS):
        assert session.receive(frame(rpc(n + 2)), 0.0) == []

    assert ends_with(session.receive(frame(rpc(9_999)), 0.0), CloseCode.TOO_MANY_REQUESTS)


def test_rule_3_too_many_held_bytes_end_the_connection():
    session = opened()
    session.receive(frame(connect()), 0.0)
    half = frame({"id": 2, "rpc": {"data": "x" * (MAX_BYTES // 2)}})

    assert session.receive(half, 0.0) == []
    effects = session.receive(half.replace(b'"id": 2', b'"id": 3'), 0.0)

    assert ends_with(effects, CloseCode.TOO_MANY_REQUESTS)


def test_rule_3_a_frame_weighs_once_however_many_commands_it_holds():
    session = opened()
    big = {"id": 2, "rpc": {"data": "x" * (MAX_BYTES // 2)}}

    assert session.receive(frame(connect(), big, rpc(3), rpc(4)), 0.0) == [Authenticate(1, "ann's token")]


def test_rule_3_a_pong_is_heard_while_commands_wait():
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)
    session.tick(20.0)

    session.receive(b"{}", 21.0)

    assert session.tick(28.0) == []


# Replies


def test_rule_5_an_rpc_is_called_and_answered_with_its_id():
    session = connected()

    call = session.receive(b'{"id":7,"rpc":{"method":"chat.send","data":{"text":"hi"}}}', 0.0)

    assert call == [Call(7, "chat.send", b'{"text":"hi"}')]
    assert [Send(b'{"id":7,"rpc":{"data":{"sent":true}}}')] == session.replied(7, b'{"sent":true}')


def test_rule_5_a_reply_without_data_still_has_its_result():
    session = connected()
    session.receive(frame(rpc(7)), 0.0)

    assert [Send(b'{"id":7,"rpc":{}}')] == session.replied(7, b"")


def test_rule_5_a_failed_call_is_answered_with_its_error():
    session = connected()
    session.receive(frame(rpc(7)), 0.0)

    effects = session.failed(7, Error(404, "not_found: no such stream"))

    assert [{"id": 7, "error": {"code": 404, "message": "not_found: no such stream"}}] == said(effects)


def test_rule_5_replies_may_come_in_any_order():
    session = connected()
    session.receive(frame(rpc(7), rpc(8)), 0.0)

    assert [8, 7] == [reply["id"] for n in (8, 7) for reply in said(session.replied(n, b"{}"))]


def test_rule_5_no_command_is_answered_twice():
    session = connected()
    session.receive(frame(rpc(7)), 0.0)
    session.replied(7, b"{}")

    assert session.replied(7, b"{}") == []
    assert session.failed(7, Error.of(ErrorCode.INTERNAL)) == []


def test_rule_5_an_id_that_still_waits_cannot_be_used_again():
    session = connected()
    session.receive(frame(rpc(7)), 0.0)

    assert closed(CloseCode.BAD_REQUEST, "the id 7 is in use") == session.receive(frame(rpc(7)), 0.0)


def test_rule_5_the_id_of_a_held_command_cannot_be_used_again():
    session = opened()
    session.receive(frame(connect(), rpc(2)), 0.0)

    assert closed(CloseCode.BAD_REQUEST, "the id 2 is in use") == session.receive(frame(rpc(2)), 0.0)


def test_rule_5_an_id_that_was_answered_may_be_used_again():
    session = connected()
    session.receive(frame(rpc(7)), 0.0)
    session.replied(7, b"{}")

    assert session.receive(frame(rpc(7)), 0.0) == [Call(7, "chat.send", b"{}")]


def test_rule_5_a_command_without_id_ends_the_connection():
    assert ends_with(connected().receive(b'{"rpc":{"method":"m"}}', 0.0), CloseCode.BAD_REQUEST)


def test_rule_5_a_client_message_is_ignored_with_and_without_id():
    session = connected()

    assert session.receive(b'{"send":{"data":1}}\n{"id":3,"send":{}}\n{"id":3,"send":{}}', 0.0) == []


# Subscriptions


def test_rule_6_a_subscription_is_admitted_right_after_its_reply():
    session = connected()

    assert session.receive(frame(subscribe(2)), 0.0) == [Join(2, "catalog", None, False)]
    effects = session.subscribed(2, "catalog", LOG)

    result = {"recoverable": True, "positioned": True, "epoch": "abcdefgh", "offset": 4}
    assert [{"id": 2, "subscribe": result}] == said(effects)
    assert [Send, Admit] == [type(effect) for effect in effects]


def test_rule_6_a_refused_subscribe_leaves_no_trace():
    session = connected()
    session.receive(frame(subscribe(2)), 0.0)

    effects = session.subscribe_failed(2, "catalog", ErrorCode.PERMISSION_DENIED)

    assert [error(2, ErrorCode.PERMISSION_DENIED)] == said(effects)
    assert plain(effects) == []
    assert session.receive(frame(subscribe(3)), 0.0) == [Join(3, "catalog", None, False)]


def test_rule_6_a_channel_is_left_before_the_unsubscribe_reply():
    session = connected()
    subscribed(session, "catalog")

    effects = session.receive(frame(unsubscribe(3)), 0.0)

    assert effects == [Leave("catalog"), Send(b'{"id":3,"unsubscribe":{}}')]


def test_rule_6_a_channel_is_left_before_the_unsubscribe_push():
    session = connected()
    subscribed(session, "catalog")

    effects = session.unsubscribe("catalog", UnsubscribeCode.SERVER_UNSUBSCRIBE, 0.0)

    push = {"channel": "catalog", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
    assert effects[0] == Leave("catalog")
    assert [{"push": push}] == said(effects)


def test_rule_6_after_an_unsubscribe_push_the_client_can_subscribe_again():
    session = connected()
    subscribed(session, "catalog")
    session.unsubscribe("catalog", UnsubscribeCode.INSUFFICIENT_STATE, 0.0)

    assert session.receive(frame(subscribe(3)), 0.0) == [Join(3, "catalog", None, False)]


def test_rule_6_a_server_unsubscribe_of_no_subscription_does_nothing():
    assert connected().unsubscribe("catalog", UnsubscribeCode.SERVER_UNSUBSCRIBE, 0.0) == []


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (UnsubscribeCode.SERVER_UNSUBSCRIBE, ErrorCode.PERMISSION_DENIED),
        (UnsubscribeCode.INSUFFICIENT_STATE, ErrorCode.INTERNAL),
    ],
)
def test_rule_6_a_server_unsubscribe_while_joining_abandons_the_join(code, answer):
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)

    effects = session.unsubscribe("catalog", code, 0.0)

    assert effects[0] == Leave("catalog")
    assert [error(2, answer), {"id": 3, "unsubscribe": {}}] == said(effects)
    assert session.subscribed(2, "catalog", LOG) == []


def test_rule_2_a_join_that_is_just_answered_as_failed_is_left():
    session = connected()
    session.receive(frame(subscribe(2), unsubscribe(3)), 0.0)

    effects = session.failed(2, Error.of(ErrorCode.INTERNAL))

    assert [error(2, ErrorCode.INTERNAL), {"id": 3, "unsubscribe": {}}] == said(effects)
    assert plain(effects) == [Leave("catalog")]


def test_rule_2_the_answer_to_an_abandoned_join_does_not_count_for_the_next():
    session = connected()
    session.receive(frame(subscribe(2)), 0.0)
    session.unsubscribe("catalog", UnsubscribeCode.INSUFFICIENT_STATE, 0.0)
    session.receive(frame(subscribe(3)), 0.0)

    assert session.subscribed(2, "catalog", LOG) == []
    assert session.subscribe_failed(2, "catalog", ErrorCode.INTERNAL) == []
    assert [3] == [reply["id"] for reply in said(session.subscribed(3, "catalog", LOG))]


# Recovery


def test_a_client_that_recovers_is_asked_for_by_its_position():
    session = connected()

    effects = session.receive(frame(subscribe(2, recover=True, offset=7, epoch="abcdefgh", flag=3)), 0.0)

    assert effects == [Join(2, "catalog", StreamPosition(7, "abcdefgh"), True)]


def test_a_client_that_cannot_live_without_what_it_missed_is_told_112():
    session = connected()
    session.receive(frame(subscribe(2, recover=True, offset=7, epoch="zzzzzzzz", flag=3)), 0.0)

    effects = session.subscribed(2, "catalog", LOG)

    assert [error(2, ErrorCode.UNRECOVERABLE_POSITION)] == said(effects)
    assert plain(effects) == [Leave("catalog")]
    assert session.receive(frame(subscribe(3)), 0.0) == [Join(3, "catalog", None, False)]


def test_a_client_that_asks_for_112_and_does_not_recover_subscribes_as_usual():
    session = connected()
    session.receive(frame(subscribe(2, flag=2)), 0.0)

    assert plain(session.subscribed(2, "catalog", LOG)) == [Admit("catalog")]


# What is refused


def test_rule_7_an_undecodable_frame_ends_the_connection_and_says_why():
    effects = connected().receive(b'{"id":"7"}', 0.0)

    assert ends_with(effects, CloseCode.BAD_REQUEST)
    assert "Expected `int`, got `str`" in effects[-1].detail


@pytest.mark.parametrize(
    "garbage", [b"", b"\n", b"[]", b"7", b'{"id":null}', b"\xff", b"[" * 50_000, "\ud800"]
)
def test_rule_7_no_garbage_is_more_than_a_clean_close(garbage):
    assert ends_with(opened().receive(garbage, 0.0), CloseCode.BAD_REQUEST)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (subscribe(2, ""), ErrorCode.BAD_REQUEST),
        (subscribe(2, "x" * 256), ErrorCode.BAD_REQUEST),
        (subscribe(2, "stré"), ErrorCode.BAD_REQUEST),
        (subscribe(2, tf={"op": "and"}), ErrorCode.BAD_REQUEST),
        (subscribe(2, type=1), ErrorCode.NOT_AVAILABLE),
        (subscribe(2, type=4), ErrorCode.NOT_AVAILABLE),
        (unsubscribe(2, ""), ErrorCode.BAD_REQUEST),
        ({"id": 2, "publish": {"channel": "catalog", "data": {}}}, ErrorCode.PERMISSION_DENIED),
        ({"id": 2, "publish": {"data": {}}}, ErrorCode.BAD_REQUEST),
        ({"id": 2, "presence": {"channel": "catalog"}}, ErrorCode.NOT_AVAILABLE),
        ({"id": 2, "presence_stats": {"channel": "catalog"}}, ErrorCode.NOT_AVAILABLE),
        ({"id": 2, "presence": {}}, ErrorCode.BAD_REQUEST),
        ({"id": 2, "history": {}}, ErrorCode.BAD_REQUEST),
        (
            {
                "id": 2,
                "history": {"channel": "catalog", "reverse": True, "since": {"offset": 0, "epoch": "x"}},
            },
            ErrorCode.BAD_REQUEST,
        ),
        ({"id": 2, "sub_refresh": {"token": "t"}}, ErrorCode.BAD_REQUEST),
        ({"id": 2, "sub_refresh": {"channel": "catalog", "token": "t"}}, ErrorCode.PERMISSION_DENIED),
        ({"id": 2, "refresh": {"token": ""}}, ErrorCode.BAD_REQUEST),
        ({"id": 2}, ErrorCode.BAD_REQUEST),
        ({"id": 2, "dance": {}}, ErrorCode.BAD_REQUEST),
    ],
)
def test_rule_7_what_may_not_be_is_an_error_and_nothing_else(command, code):
    session = connected()

    effects = session.receive(frame(command), 0.0)

    assert [error(2, code)] == said(effects)
    assert plain(effects) == []


@pytest.mark.parametrize("fields", [{"delta": "fossil"}, {"join_leave": True}, {"token": "t"}, {"flag": 1}])
def test_rule_7_what_is_not_supported_and_does_no_harm_is_ignored(fields):
    assert connected().receive(frame(subscribe(2, **fields)), 0.0) == [Join(2, "catalog", None, False)]


def test_rule_7_a_channel_is_not_subscribed_twice():
    session = connected()
    session.receive(frame(subscribe(2)), 0.0)

    assert [error(3, ErrorCode.ALREADY_SUBSCRIBED)] == said(session.receive(frame(subscribe(3)), 0.0))
    session.subscribed(2, "catalog", LOG)
    assert [error(4, ErrorCode.ALREADY_SUBSCRIBED)] == said(session.receive(frame(subscribe(4)), 0.0))


def test_rule_7_more_channels_than_the_limit_are_refused():
    session = connected()
    for n in range(MAX_CHANNELS):
        session.receive(frame(subscribe(n + 2, f"c{n}")), 0.0)

    effects = session.receive(frame(subscribe(999, "one more")), 0.0)

    assert [error(999, ErrorCode.LIMIT_EXCEEDED)] == said(effects)


def test_rule_7_a_subscription_of_ours_cannot_be_prolonged():
    session = connected()
    subscribed(session, "catalog")

    effects = session.receive(frame({"id": 2, "sub_refresh": {"channel": "catalog", "token": "t"}}), 0.0)

    assert [error(2, ErrorCode.NOT_AVAILABLE)] == said(effects)


def test_rule_7_a_ping_of_the_clients_own_ends_the_connection():
    assert ends_with(connected().receive(b'{"id":2,"ping":{}}', 0.0), CloseCode.BAD_REQUEST)


def test_rule_8_an_unsubscribe_of_no_subscription_succeeds():
    assert connected().receive(frame(unsubscribe(2)), 0.0) == [Send(b'{"id":2,"unsubscribe":{}}')]


# History


@pytest.mark.parametrize(("asked", "read"), [(0, 0), (10, 10), (-1, MAX_HISTORY), (10_000, MAX_HISTORY)])
def test_history_is_read_up_to_a_cap(asked, read):
    command = {"id": 2, "history": {"channel": "catalog", "limit": asked}}

    assert connected().receive(frame(command), 0.0) == [ReadHistory(2, "catalog", read, None, False)]


def test_history_is_read_from_a_position_and_backwards():
    since = {"offset": 9, "epoch": "abcdefgh"}
    command = {"id": 2, "history": {"channel": "catalog", "limit": 5, "since": since, "reverse": True}}

    effects = connected().receive(frame(command), 0.0)

    assert effects == [ReadHistory(2, "catalog", 5, StreamPosition(9, "abcdefgh"), True)]


def test_history_is_answered_with_what_was_found():
    session = connected()
    session.receive(frame({"id": 2, "history": {"channel": "catalog", "limit": 5}}), 0.0)

    effects = session.history_read(2, [(1, b'{"a":1}')], epoch="abcdefgh", offset=9)

    publications = [{"data": {"a": 1}, "offset": 1}]
    result = {"publications": publications, "epoch": "abcdefgh", "offset": 9}
    assert [{"id": 2, "history": result}] == said(effects)


def test_history_that_cannot_be_read_is_answered_with_an_error():
    session = connected()
    session.receive(frame({"id": 2, "history": {"channel": "catalog"}}), 0.0)

    effects = session.failed(2, Error.of(ErrorCode.UNRECOVERABLE_POSITION))

    assert [error(2, ErrorCode.UNRECOVERABLE_POSITION)] == said(effects)


# Pace


def flood(first_id, count):
    return frame(*(rpc(first_id + n) for n in range(count)))


def test_rule_9_commands_beyond_the_pace_are_answered_and_not_begun():
    session = connected()
    session.receive(flood(2, COMMANDS.burst - 1), 0.0)

    effects = session.receive(frame(rpc(9_999)), 0.0)

    assert [error(9_999, ErrorCode.TOO_MANY_REQUESTS)] == said(effects)
    assert plain(effects) == []


def test_rule_9_a_client_that_was_refused_may_go_on_after_a_while():
    session = connected()
    session.receive(flood(2, COMMANDS.burst), 0.0)

    assert session.receive(frame(rpc(9_999)), 1.0) == [Call(9_999, "chat.send", b"{}")]


def test_rule_9_an_unsubscribe_beyond_the_pace_is_carried_out():
    session = connected()
    session.receive(flood(2, COMMANDS.burst), 0.0)

    assert [{"id": 9_999, "unsubscribe": {}}] == said(session.receive(frame(unsubscribe(9_999)), 0.0))


def test_rule_9_a_flood_ends_the_connection():
    session = connected()
    session.receive(flood(2, COMMANDS.burst - 1), 0.0)

    session.receive(flood(10_000, REFUSALS.burst), 0.0)

    assert ends_with(session.receive(frame(rpc(9_999)), 0.0), CloseCode.TOO_MANY_REQUESTS)


def test_rule_9_a_flood_of_pongs_ends_the_connection():
    pongs = b"\n".join([b"{}"] * (COMMANDS.burst + REFUSALS.burst))

    assert ends_with(connected().receive(pongs, 0.0), CloseCode.TOO_MANY_REQUESTS)


def test_rule_9_nobody_needs_that_many_commands_before_connecting():
    session = opened()

    effects = session.receive(b"\n".join([b"{}"] * (COMMANDS.burst + 1)), 0.0)

    assert ends_with(effects, CloseCode.TOO_MANY_REQUESTS)


def test_a_place_that_is_lost_must_be_taken_again():
    session = connected()
    subscribed(session, "catalog")

    effects = session.lost("catalog", 1.0)

    assert effects[0] == Leave("catalog")
    assert session.lost("catalog", 1.0) == []


def test_a_join_under_way_is_not_the_place_that_is_lost():
    session = connected()
    session.receive('{"id":7,"subscribe":{"channel":"catalog"}}', 0.0)

    assert session.lost("catalog", 1.0) == []
    assert session.subscribed(7, "catalog", Subscription()) != []


def test_rule_10_too_many_pushes_to_subscribe_again_end_the_connection():
    session = connected()
    for _ in range(RESUBSCRIBES.burst):
        subscribed(session, "catalog")
        effects = session.unsubscribe("catalog", UnsubscribeCode.INSUFFICIENT_STATE, 1.0)
        assert not session.is_closed
    subscribed(session, "catalog")

    effects = session.unsubscribe("catalog", UnsubscribeCode.INSUFFICIENT_STATE, 1.0)

    assert effects[0] == Leave("catalog")
    assert ends_with(effects, CloseCode.INSUFFICIENT_STATE)


def test_rule_10_pushes_that_end_a_subscription_for_good_are_not_limited():
    session = connected()

    for _ in range(RESUBSCRIBES.burst + 1):
        subscribed(session, "catalog")
        session.unsubscribe("catalog", UnsubscribeCode.SERVER_UNSUBSCRIBE, 1.0)

    assert not session.is_closed


# Time


def test_rule_11_a_client_that_does_not_connect_is_stale():
    session = opened(now=100.0)

    assert session.next_due == 110.0
    assert session.tick(109.9) == []
    assert closed(CloseCode.STALE) == session.tick(110.0)


def test_rule_11_a_client_whose_authentication_hangs_may_come_back():
    session = opened()
    session.receive(frame(connect()), 1.0)

    assert closed(CloseCode.INTERNAL_SERVER_ERROR) == session.tick(10.0)


def test_rule_11_a_connected_client_does_not_go_stale():
    session = connected()

    assert [Send(json_codec.PING)] == session.tick(FIRST_PING_S)


def test_rule_11_pings_keep_their_schedule_whatever_is_sent():
    session = connected()
    assert session.next_due == FIRST_PING_S
    session.tick(20.0)
    session.receive(b"{}", 20.1)
    session.receive(frame(rpc(2)), 30.0)

    assert session.next_due == 45.0
    assert session.tick(44.9) == []
    assert [Send(b"{}")] == session.tick(45.0)


def test_rule_11_a_client_that_does_not_answer_a_ping_is_gone():
    session = connected()
    session.tick(20.0)

    assert session.next_due == 28.0
    assert closed(CloseCode.NO_PONG) == session.tick(28.0)


def test_rule_11_a_command_is_no_answer_to_a_ping():
    session = connected()
    session.tick(20.0)
    session.receive(frame(rpc(2)), 27.0)

    assert closed(CloseCode.NO_PONG) == session.tick(28.0)


def test_rule_11_a_pong_that_nobody_asked_for_is_harmless():
    session = connected()

    assert session.receive(b"{}", 1.0) == []
    assert [Send(b"{}")] == session.tick(20.0)
    assert closed(CloseCode.NO_PONG) == session.tick(28.0)


def test_rule_11_a_token_that_is_not_refreshed_ends_the_connection_after_a_grace():
    session = connected(ttl_s=10)
    session.tick(20.0)
    session.receive(b"{}", 20.0)

    assert session.next_due == 35.0
    assert session.tick(34.9) == []
    assert closed(CloseCode.CONNECTION_EXPIRED) == session.tick(35.0)


# Refresh


def refreshing(ttl_s=10):
    session = connected(ttl_s)
    assert session.receive(b'{"id":2,"refresh":{"token":"new"}}', 9.0) == [VerifyRefresh(2, "new")]
    return session


def test_rule_12_a_refresh_prolongs_the_connection():
    session = refreshing()

    effects = session.refreshed(2, ANN, 9.0, ttl_s=60)

    assert [{"id": 2, "refresh": {"expires": True, "ttl": 60}}] == said(effects)
    session.tick(20.0)
    session.receive(b"{}", 20.0)
    assert session.tick(35.0) == []
    assert closed(CloseCode.CONNECTION_EXPIRED) == session.tick(9.0 + 60 + 25)


def test_rule_12_a_refresh_with_a_token_that_lives_for_ever_still_has_its_result():
    session = refreshing()

    assert [{"id": 2, "refresh": {}}] == said(session.refreshed(2, ANN, 9.0, ttl_s=None))
    assert session.next_due == FIRST_PING_S


def test_rule_12_a_refresh_may_change_what_the_person_is():
    session = refreshing()
    moderator = structs.replace(ANN, role=Role.MODERATOR)

    session.refreshed(2, moderator, 9.0, ttl_s=60)

    assert moderator == session.identity


@pytest.mark.parametrize("other", [BOB, structs.replace(ANN, role=Role.ANONYMOUS)])
def test_rule_12_a_refresh_as_somebody_else_ends_the_connection(other):
    session = refreshing()

    assert ends_with(session.refreshed(2, other, 9.0, ttl_s=60), CloseCode.INVALID_TOKEN)


def test_rule_12_an_expired_refresh_ends_the_connection_without_an_error():
    session = refreshing()

    assert closed(CloseCode.CONNECTION_EXPIRED) == session.refresh_failed(2, ErrorCode.TOKEN_EXPIRED)


def test_rule_12_a_bad_refresh_ends_the_connection():
    assert closed(CloseCode.INVALID_TOKEN) == refreshing().refresh_failed(2, CloseCode.INVALID_TOKEN)


def test_rule_12_a_refresh_that_fails_for_now_may_be_tried_again():
    session = refreshing()

    effects = session.refresh_failed(2, ErrorCode.INTERNAL)

    assert [error(2, ErrorCode.INTERNAL)] == said(effects)
    assert session.receive(b'{"id":3,"refresh":{"token":"newer"}}', 9.0) == [VerifyRefresh(3, "newer")]


# The end


def test_rule_2_a_closing_session_leaves_every_channel_before_it_says_goodbye():
    session = connected()
    subscribed(session, "a")
    session.receive(frame(subscribe(2, "b")), 0.0)

    effects = session.disconnect(CloseCode.SHUTDOWN)

    assert effects == [Leave("a"), Leave("b"), *closed(CloseCode.SHUTDOWN)]


def test_rule_2_nothing_comes_after_close():
    session = connected()
    session.receive(frame(subscribe(2), rpc(3), {"id": 4, "refresh": {"token": "t"}}), 0.0)
    session.disconnect(CloseCode.FORCE_DISCONNECT)

    assert [] == [
        *session.receive(frame(rpc(5)), 1.0),
        *session.subscribed(2, "catalog", LOG),
        *session.subscribe_failed(2, "catalog", ErrorCode.INTERNAL),
        *session.replied(3, b"{}"),
        *session.failed(3, Error.of(ErrorCode.INTERNAL)),
        *session.refreshed(4, ANN, 1.0, ttl_s=60),
        *session.refresh_failed(4, CloseCode.INVALID_TOKEN),
        *session.unsubscribe("catalog", UnsubscribeCode.SERVER_UNSUBSCRIBE, 1.0),
        *session.disconnect(CloseCode.SHUTDOWN),
        *session.tick(1e9),
        *session.socket_closed(),
    ]
    assert session.next_due == inf


def test_rule_2_a_close_in_the_middle_of_a_frame_is_the_end_of_it():
    effects = connected().receive(frame(rpc(2), connect(3), rpc(4)), 0.0)

    assert [Call, Send, Close] == [type(effect) for effect in effects]


def test_rule_2_a_close_while_a_frame_is_read_is_the_end_of_it():
    effects = connected().receive(frame(rpc(2), rpc(2), rpc(3)), 0.0)

    assert [Send, Close] == [type(effect) for effect in effects]


def test_rule_2_a_late_answer_to_a_connect_is_dropped():
    session = opened()
    session.receive(frame(connect()), 0.0)
    session.tick(10.0)

    assert session.connected(ANN, 11.0, ttl_s=None) == []
    assert session.connect_failed(ErrorCode.INTERNAL, 11.0) == []
    assert session.identity is None


def test_rule_2_a_lost_socket_leaves_every_channel_and_closes_nothing():
    session = connected()
    subscribed(session, "a")
    session.receive(frame(subscribe(2, "b")), 0.0)

    assert session.socket_closed() == [Leave("a"), Leave("b")]
    assert session.next_due == inf


def test_rule_1_two_sessions_that_hear_the_same_do_the_same():
    def life(session: Session):
        yield session.receive(frame(connect(), subscribe(2)), 0.0)
        yield session.connected(ANN, 0.5, ttl_s=30)
        yield session.subscribed(2, "catalog", LOG)
        yield session.tick(55.0)

    assert list(life(opened())) == list(life(opened()))
