"""The protocol in Protobuf: every byte a client may send, and that both encodings say the same.

What is written is read with the official schema, and what is read was written with it (`encodings.PROTOBUF`).
"""

import json

import pytest
from centrifuge.protocol import client_pb2 as official
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from csn_rt.wire import json_codec, protobuf_codec
from csn_rt.wire.codes import CloseCode, UnsubscribeCode
from csn_rt.wire.protocol import (
    Codec,
    Command,
    Connect,
    Connected,
    Error,
    HistoryRead,
    Malformed,
    Publication,
    Refreshed,
    Reply,
    Returned,
    Rpc,
    Subscribe,
    Subscribed,
    Unsubscribed,
)
from tests.support.encodings import JSON, PROTOBUF, delimited, lean
from tests.support.replies import REPLIES


def test_the_module_is_a_codec():
    codec: Codec = protobuf_codec

    assert [Command()] == codec.decode(codec.PING)
    assert codec.IS_BINARY


# What is sent


def said(messages: list[dict]) -> list[dict]:
    return [lean(message) for message in messages]


def both(encode) -> tuple[list[dict], list[dict]]:
    """The same message, as it is read in JSON and in Protobuf."""
    return said(JSON.messages(encode(json_codec))), said(PROTOBUF.messages(encode(protobuf_codec)))


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_says_the_same_in_both_encodings(name):
    in_json, in_protobuf = both(lambda codec: codec.encode_reply(REPLIES[name]))

    assert in_json == in_protobuf


IDS = st.integers(1, 2**32 - 1)
SECONDS = st.integers(0, 2**32 - 1)
OFFSETS = st.integers(0, 2**63 - 1)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RAW = PAYLOADS.map(lambda value: Raw(json.dumps(value, ensure_ascii=False, indent=1).encode()))
PUBLICATIONS = st.lists(st.builds(Publication, RAW, OFFSETS), max_size=4)
RESULTS = st.one_of(
    st.builds(Error, st.integers(1, 2**32 - 1), st.text(min_size=1), st.booleans()),
    st.builds(
        Connected,
        client=st.text(),
        version=st.text(),
        expires=st.booleans(),
        ttl=SECONDS,
        data=st.none() | RAW,
        ping=SECONDS,
        pong=st.booleans(),
    ),
    st.builds(
        Subscribed,
        recoverable=st.booleans(),
        epoch=st.text(),
        publications=PUBLICATIONS,
        recovered=st.booleans(),
        offset=OFFSETS,
        positioned=st.booleans(),
        data=st.none() | RAW,
        was_recovering=st.booleans(),
    ),
    st.just(Unsubscribed()),
    st.builds(HistoryRead, PUBLICATIONS, st.text(), OFFSETS),
    st.builds(Returned, st.none() | RAW),
    st.builds(Refreshed, expires=st.booleans(), ttl=SECONDS),
)
KINDS = {
    Error: "error",
    Connected: "connect",
    Subscribed: "subscribe",
    Unsubscribed: "unsubscribe",
    HistoryRead: "history",
    Returned: "rpc",
    Refreshed: "refresh",
}


@settings(max_examples=300, deadline=None)
@given(IDS, RESULTS)
def test_whatever_a_reply_says_it_says_the_same_in_both_encodings(command_id, result):
    reply = Reply(id=command_id, **{KINDS[type(result)]: result})

    in_json, in_protobuf = both(lambda codec: codec.encode_reply(reply))

    assert in_json == in_protobuf


def test_the_random_replies_are_of_every_kind():
    assert set(KINDS.values()) == {field.name for field in structs.fields(Reply)} - {"id"}


@settings(max_examples=100, deadline=None)
@given(st.text(), PAYLOADS, st.none() | OFFSETS)
def test_a_publication_says_the_same_in_both_encodings(channel, payload, offset):
    data = json.dumps(payload).encode()

    in_json, in_protobuf = both(lambda codec: codec.publication_encoder(channel)(data, offset))

    assert in_json == in_protobuf


@pytest.mark.parametrize("code", UnsubscribeCode)
def test_an_unsubscribe_push_says_the_same_in_both_encodings(code):
    in_json, in_protobuf = both(lambda codec: codec.encode_unsubscribe_push("catalog", code))

    assert in_json == in_protobuf


@pytest.mark.parametrize("code", CloseCode)
def test_a_farewell_says_the_same_in_both_encodings(code):
    in_json, in_protobuf = both(lambda codec: codec.encode_disconnect_push(code))

    assert in_json == in_protobuf


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (b"\x00", protobuf_codec.PING),
        (b"\x04\x08\x03\x3a\x00", protobuf_codec.encode_reply(REPLIES["unsubscribe"])),
        (b"\x04\x08\x05\x6a\x00", protobuf_codec.encode_reply(REPLIES["rpc_empty"])),
        (b"\x04\x08\x06\x72\x00", protobuf_codec.encode_reply(REPLIES["refresh_for_ever"])),
        (b"\x04\x08\x02\x32\x00", protobuf_codec.encode_reply(Reply(id=2, subscribe=Subscribed()))),
        (b"\x04\x08\x04\x5a\x00", protobuf_codec.encode_reply(REPLIES["history_empty"])),
        (
            b"\x0d\x22\x0b\x12\x01c\x22\x06\x22\x02{}\x30\x07",
            protobuf_codec.publication_encoder("c")(b"{}", 7),
        ),
        (b"\x0b\x22\x09\x12\x01c\x22\x04\x22\x02{}", protobuf_codec.publication_encoder("c")(b"{}", None)),
        (
            b"\x11\x22\x0f\x5a\x0d\x08\xb9\x17\x12\x08shutdown",
            protobuf_codec.encode_disconnect_push(CloseCode.SHUTDOWN),
        ),
    ],
)
def test_a_message_is_its_golden_sample_to_the_byte(expected, message):
    assert expected == message


@pytest.mark.parametrize("size", [0, 1, 90, 110, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_153])
def test_a_message_of_any_size_has_its_length(size):
    data = b'"%b"' % (b"x" * size)
    publish = protobuf_codec.publication_encoder("c")

    messages = PROTOBUF.messages(publish(data, 1) + publish(data, 2))

    assert [1, 2] == [message["push"]["pub"]["offset"] for message in messages]


def test_a_payload_is_carried_as_it_is():
    pretty = b'{\n  "text": "a\\nb"\r\n}'
    reply = protobuf_codec.encode_reply(Reply(id=1, rpc=Returned(Raw(pretty))))

    assert pretty == official.Reply.FromString(reply[1:]).rpc.data


# What is understood

COMMANDS = [
    {},
    {"id": 1},
    {"id": 1, "connect": {}},
    {"id": 1, "connect": {"token": "a.b.c", "name": "js", "version": "5.8.0", "flag": 1, "data": "plain"}},
    {"id": 1, "connect": {"subs": {"c": {"recover": True, "offset": 1}}, "headers": {"x": "y"}}},
    {"id": 1, "ping": {}},
    {"id": 2, "subscribe": {}},
    {
        "id": 2,
        "subscribe": {"channel": "c", "recover": True, "epoch": "e", "offset": 7, "flag": 3},
    },
    {"id": 2, "subscribe": {"channel": "c", "offset": 2**63 - 1, "flag": -1}},
    {"id": 2, "subscribe": {"channel": "c", "delta": "fossil", "token": "t", "join_leave": True, "data": 1}},
    {"id": 3, "unsubscribe": {"channel": "c"}},
    {"id": 4, "publish": {"channel": "c", "data": {"a": 1}}},
    {"id": 4, "presence": {"channel": "c"}},
    {"id": 4, "presence_stats": {"channel": "c"}},
    {"id": 5, "history": {"channel": "c"}},
    {"id": 5, "history": {"channel": "c", "limit": 10, "since": {}}},
    {
        "id": 5,
        "history": {"channel": "c", "limit": -1, "since": {"offset": 3, "epoch": "e"}, "reverse": True},
    },
    {"id": 5, "history": {"limit": 2**31 - 1}},
    {"id": 5, "history": {"limit": -(2**31)}},
    {"id": 6, "rpc": {}},
    {"id": 6, "rpc": {"method": "chat.send", "data": {"text": "olé \U0001f3d2"}}},
    {"id": 6, "rpc": {"method": "chat.send", "data": None}},
    {"send": {"data": [1]}},
    {"id": 7, "refresh": {"token": "t"}},
    {"id": 8, "sub_refresh": {"channel": "c", "token": "t"}},
    {"id": 2**32 - 1, "unsubscribe": {}, "rpc": {"method": "m"}, "connect": {}},
]


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
def test_a_command_is_the_same_in_both_encodings(command):
    assert json_codec.decode(JSON.frame(command)) == protobuf_codec.decode(PROTOBUF.frame(command))


def test_the_commands_are_of_every_kind():
    assert {field.name for field in structs.fields(Command)} == {
        kind for command in COMMANDS for kind in command
    }


def test_a_filter_is_seen_even_if_it_is_empty():
    filters = [official.FilterNode(), official.FilterNode(op="and", nodes=[official.FilterNode(key="k")])]
    frame = b"".join(
        delimited(
            official.Command(
                id=1, subscribe=official.SubscribeRequest(channel="c", tf=tf)
            ).SerializeToString()
        )
        for tf in filters
    )

    assert [b"{}", b"{}"] == [bytes(command.subscribe.tf) for command in protobuf_codec.decode(frame)]


@pytest.mark.parametrize(("kind", "encoded"), [(4, b"\x04"), (-1, b"\xff" * 9 + b"\x01")])
def test_the_type_of_a_subscription_is_read(kind, encoded):
    (command,) = protobuf_codec.decode(delimited(b"\x2a" + delimited(b"\x0a\x01c\x78" + encoded)))

    assert command.request == Subscribe("c", type=kind)


def test_commands_of_one_frame_are_read_in_order():
    frame = PROTOBUF.frame({"id": 1, "connect": {}}, {"id": 2, "rpc": {"method": "m"}}, {})

    assert [1, 2, 0] == [command.id for command in protobuf_codec.decode(frame)]


def test_the_first_request_in_the_protocols_order_counts():
    """Which is not the order of the field numbers: a ping's is higher than a subscribe's."""
    command = official.Command(id=1, subscribe={"channel": "c"}, ping={})

    (understood,) = protobuf_codec.decode(delimited(command.SerializeToString()))

    assert understood.request is understood.ping


@pytest.mark.parametrize("data", [b"\x00\xff", b"plain text", b'{"a":', b"\x80" * 100])
def test_a_payload_may_be_any_bytes_for_the_codec(data):
    commands = [
        official.Command(id=1, connect={"data": data}),
        official.Command(id=2, rpc={"method": "m", "data": data}),
        official.Command(send={"data": data}),
    ]
    frame = b"".join(delimited(command.SerializeToString()) for command in commands)

    connect, rpc, send = protobuf_codec.decode(frame)

    assert Connect() == connect.request
    assert Rpc("m", Raw(data)) == rpc.request
    assert send.request is not None


def test_a_length_may_be_written_with_more_bytes_than_it_needs():
    assert [Command(id=1), Command()] == protobuf_codec.decode(b"\x82\x80\x00\x08\x01\x80\x00")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "text",
        '{"id":1,"connect":{}}',
        b"",
        b"\x80",
        b"\x80\x80\x80\x80",
        b"\x80\x80\x80\x80\x00",
        b"\xff" * 20,
        b"\x01",
        b"\x05\x08\x01",
        b"\x02\x08\x01\x02\x08",
        b"\xff\xff\xff\x7f",
        b"\x01\x08",
        b"\x01\x00",
        b"\x02\x08\xff",
        b"\x01\x07",
        b"\x01\x0c",
        b"\x02\x22\x05",
        b'{"id":1,"connect":{}}',
        delimited(b"\x08" + b"\xff" * 9 + b"\x01"),
        delimited(b"\x08" + b"\xff" * 10 + b"\x01"),
        delimited(b"\x08\x80\x80\x80\x80\x10"),
        delimited(b"\x22\x03\x0a\x01\xff"),
        delimited(b"\x22\x05\x0a\x03\xed\xa0\x80"),
        delimited(b"\x6a\x03\x12\x01\xff"),
        delimited(b"\x2a\x0b\x38" + b"\xff" * 9 + b"\x01"),
        delimited(b"\x2a\x0b\x38" + b"\x80" * 9 + b"\x01"),
        delimited(b"\x52\x06\x38\x80\x80\x80\x80\x08"),
        delimited(b"\x52\x0d\x42\x0b\x08" + b"\x80" * 9 + b"\x01"),
        delimited(b"\x83\x01" * 5_000 + b"\x84\x01" * 3_000),
        b"\x00" * 1_001,
        b"\x02\x08\x01" * 80_000,
    ],
    ids=lambda frame: repr(frame[:40]),
)
def test_rule_1_what_is_not_a_command_is_malformed_and_the_reason_is_said(frame):
    with pytest.raises(Malformed, match=r"\w"):
        protobuf_codec.decode(frame)


def test_rule_3_as_many_commands_as_anybody_needs_fit_in_a_frame():
    assert [Command(id=1)] * 1_000 == protobuf_codec.decode(b"\x02\x08\x01" * 1_000)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60) | st.binary(max_size=60).map(delimited))
def test_rule_1_any_bytes_are_commands_or_malformed(frame):
    try:
        commands = protobuf_codec.decode(frame)
    except Malformed:
        return
    assert commands


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(COMMANDS), st.sampled_from(COMMANDS), st.data())
def test_rule_1_a_damaged_command_is_a_command_or_malformed(first, second, data):
    frame = PROTOBUF.frame(first, second)
    place = data.draw(st.integers(0, len(frame) - 1))
    damage = data.draw(st.binary(max_size=3))
    cut = data.draw(st.integers(0, 4))

    try:
        commands = protobuf_codec.decode(frame[:place] + damage + frame[place + cut :])
    except Malformed:
        return
    assert commands
    assert all(isinstance(command, Command) for command in commands)
