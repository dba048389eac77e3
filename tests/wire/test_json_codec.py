"""The protocol in JSON: every byte a client may send, and golden samples of what it is sent.

A changed sample is a changed protocol: the samples are the contract with the authors of clients.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs

from csn_rt.wire import json_codec
from csn_rt.wire.codes import CloseCode, UnsubscribeCode
from csn_rt.wire.protocol import (
    Codec,
    Command,
    Connect,
    Error,
    History,
    HistoryRead,
    Malformed,
    Publication,
    Reply,
    Returned,
    Rpc,
    StreamPosition,
    Subscribe,
    Subscribed,
)
from tests.support.replies import REPLIES

GOLDEN = Path(__file__).parent / "golden"
PUSHES = {
    "push_publication": json_codec.publication_encoder("catalog")(b'{"type":"stream.started"}', 12),
    "push_publication_state": json_codec.publication_encoder('user:"q"')(
        b'{"type":"progress.changed"}', None
    ),
    "push_unsubscribe": json_codec.encode_unsubscribe_push("catalog", UnsubscribeCode.INSUFFICIENT_STATE),
    "push_disconnect": json_codec.encode_disconnect_push(CloseCode.INVALID_TOKEN),
    "push_ping": json_codec.PING,
}
MESSAGES = {name: json_codec.encode_reply(reply) for name, reply in REPLIES.items()} | PUSHES


def test_the_module_is_a_codec():
    codec: Codec = json_codec

    assert [Command()] == codec.decode(codec.PING)


# What is sent


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_is_its_golden_sample_to_the_byte(name):
    expected = (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")

    assert expected == MESSAGES[name]


def test_every_golden_sample_is_of_a_message():
    assert {path.stem for path in GOLDEN.iterdir()} == set(MESSAGES)


def test_every_kind_of_reply_has_a_golden_sample():
    kinds = {field.name for field in structs.fields(Reply)} - {"id"}

    assert kinds == {kind for reply in REPLIES.values() for kind in kinds if getattr(reply, kind) is not None}


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_has_a_null_that_is_not_payload(name):
    def nulls(value, path=""):
        if value is None:
            yield path
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield from () if key == "data" else nulls(inner, f"{path}.{key}")
        elif isinstance(value, list):
            for inner in value:
                yield from nulls(inner, path)

    assert list(nulls(json.loads(MESSAGES[name]))) == []


PRETTY = b'{\n  "text": "a\\nb",\r\n  "n": [\n1\n]\n}'


@pytest.mark.parametrize(
    "message",
    [
        json_codec.encode_reply(Reply(id=1, rpc=Returned(Raw(PRETTY)))),
        json_codec.encode_reply(Reply(id=1, subscribe=Subscribed(data=Raw(PRETTY)))),
        json_codec.encode_reply(Reply(id=1, history=HistoryRead([Publication(Raw(PRETTY), 1)], "e", 1))),
        json_codec.publication_encoder("catalog")(PRETTY, 7),
        json_codec.publication_encoder("catalog")(PRETTY, None),
    ],
    ids=["rpc", "subscribe", "history", "publication", "publication without offset"],
)
def test_rule_2_a_payload_with_newlines_is_still_one_line_and_the_same_value(message):
    assert b"\n" not in message
    assert {"text": "a\nb", "n": [1]} in list(objects(json.loads(message)))


def objects(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


@pytest.mark.parametrize("offset", [None, 0])
def test_a_publication_without_a_place_in_a_log_has_no_offset(offset):
    push = json.loads(json_codec.publication_encoder("catalog")(b"{}", offset))

    assert push == {"push": {"channel": "catalog", "pub": {"data": {}}}}


@settings(max_examples=100, deadline=None)
@given(st.text(), st.integers(1, 2**63 - 1))
def test_a_publication_says_its_channel_data_and_offset(channel, offset):
    push = json.loads(json_codec.publication_encoder(channel)(b'{"a":1}', offset))

    assert push == {"push": {"channel": channel, "pub": {"data": {"a": 1}, "offset": offset}}}


@pytest.mark.parametrize("code", CloseCode)
def test_every_farewell_has_a_reason(code):
    push = json.loads(json_codec.encode_disconnect_push(code))

    assert push == {"push": {"disconnect": {"code": int(code), "reason": code.reason}}}
    assert code.reason


@pytest.mark.parametrize(("code", "message"), [(0, "x"), (100, "")])
def test_an_error_that_an_sdk_would_not_see_cannot_be_made(code, message):
    with pytest.raises(ValueError, match="SDK"):
        Error(code, message)


# What is understood


def test_commands_of_one_frame_are_read_in_order():
    frame = b'{"id":1,"connect":{}}\n{"id":2,"rpc":{"method":"m"}}\n{}'

    assert [1, 2, 0] == [command.id for command in json_codec.decode(frame)]


@pytest.mark.parametrize("frame", [b'{"id":1}\n', b'{"id":1}\r\n', b'\n\n{"id":1}\n \n', '{"id":1}'])
def test_line_ends_blank_lines_and_text_are_all_the_same(frame):
    assert [Command(id=1)] == json_codec.decode(frame)


def test_fields_that_are_not_known_are_ignored():
    """JS composes its first message so: everything at once, with fields for what this server has not."""
    frame = (
        '{"connect":{"token":"a.b.c","name":"js","flag":0,"profile":{}},"id":1}\n'
        '{"subscribe":{"channel":"c","recover":true,"epoch":"e","offset":7,"delta":"fossil","flag":1},"id":2}'
    )

    connect, subscribe = json_codec.decode(frame)

    assert connect.request == Connect("a.b.c")
    assert subscribe.request == Subscribe("c", recover=True, epoch="e", offset=7, flag=1)


def test_payloads_are_carried_as_they_are():
    (command,) = json_codec.decode(b'{"id":1,"rpc":{"method":"m","data": {"a" : [1, 2.50]} }}')

    assert isinstance(command.request, Rpc)
    assert bytes(command.request.data) == b'{"a" : [1, 2.50]}'


def test_history_has_its_position():
    (command,) = json_codec.decode(
        b'{"id":1,"history":{"channel":"c","limit":-1,"since":{"offset":3,"epoch":"e"}}}'
    )

    assert command.request == History("c", -1, StreamPosition(3, "e"), reverse=False)


def test_the_first_request_in_the_protocols_order_counts():
    (command,) = json_codec.decode(b'{"id":1,"rpc":{"method":"m"},"unsubscribe":{"channel":"c"}}')

    assert command.request == command.unsubscribe


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\n",
        b" \r\n ",
        b"null",
        b"7",
        b"[]",
        b'"text"',
        b"{",
        b'{"id":1}\n[',
        b'{"id":1},{"id":2}',
        b'{"id":null}',
        b'{"id":"1"}',
        b'{"id":-1}',
        b'{"id":1.5}',
        b'{"id":true}',
        b'{"id":4294967296}',
        b'{"connect":[]}',
        b'{"connect":{"token":7}}',
        b'{"subscribe":{"channel":null}}',
        b'{"subscribe":{"offset":-1}}',
        b'{"subscribe":{"offset":18446744073709551615}}',
        b'{"subscribe":{"recover":"yes"}}',
        b'{"history":{"limit":2147483648}}',
        b'{"rpc":{"data":{"a":}}}',
        b'{"rpc":{"data":"\xff"}}',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"[" * 100_000,
        b'{"rpc":{"data":' + b"[" * 100_000,
        '{"rpc":{"method":"\ud800"}}',
        '{"rpc":{"data":"\ud800"}}',
    ],
    ids=lambda frame: repr(frame[:40]),
)
def test_rule_1_what_is_not_a_command_is_malformed_and_the_reason_is_said(frame):
    with pytest.raises(Malformed, match=r"\w"):
        json_codec.decode(frame)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_rule_1_any_bytes_are_commands_or_malformed(frame):
    try:
        commands = json_codec.decode(frame)
    except Malformed:
        return
    assert commands


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            b'{"id":1,"connect":{"token":"a.b.c"}}\n{"id":2,"subscribe":{"channel":"catalog","recover":true}}',
            b'{"id":9,"history":{"channel":"catalog","limit":10,"since":{"offset":3,"epoch":"e"}}}',
            b'{"id":3,"rpc":{"method":"chat.send","data":{"text":"ol\xc3\xa9"}}}',
        ]
    ),
    st.data(),
)
def test_rule_1_a_damaged_command_is_a_command_or_malformed(frame, data):
    place = data.draw(st.integers(0, len(frame) - 1))
    damage = data.draw(st.binary(max_size=3))
    cut = data.draw(st.integers(0, 4))

    try:
        commands = json_codec.decode(frame[:place] + damage + frame[place + cut :])
    except Malformed:
        return
    assert commands


def test_a_frame_has_a_bound_on_its_commands():
    assert len(json_codec.decode(b"\n".join([b"{}"] * 1_000))) == 1_000
    with pytest.raises(Malformed):
        json_codec.decode(b"\n".join([b"{}"] * 1_001))
    with pytest.raises(Malformed):
        json_codec.decode("\n".join(["{}"] * 1_001))
