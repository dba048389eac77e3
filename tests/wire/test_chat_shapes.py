"""The shapes of chat: what clients read, byte for byte, and what they may send."""

from datetime import UTC, datetime

import msgspec
import pytest

from csn_rt.wire.chat import ChatDeleted, ChatMessage, ChatPage, ChatSend, ChatSent, ChatUser, Drop
from csn_rt.wire.roles import Role

STREAM = "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"
ID = "0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a78"
MESSAGE = ChatMessage(
    id=ID,
    stream_id=STREAM,
    sequence=7,
    user=ChatUser(id="user_1", name="Ann", role=Role.USER),
    text="<b>Tor</b> \u2013 goal!",
    sent_at=datetime(2026, 5, 1, 18, 30, 0, 250_000, UTC),
    client_id="k1",
)


def encoded(value) -> str:
    return msgspec.json.encode(value).decode()


def test_a_message_on_the_wire():
    assert (
        f'{{"type":"chat.message","id":"{ID}","stream_id":"{STREAM}","sequence":7,'
        '"user":{"id":"user_1","name":"Ann","role":"user"},"text":"<b>Tor</b> \u2013 goal!",'
        '"sent_at":"2026-05-01T18:30:00.250000Z","client_id":"k1"}'
    ) == encoded(MESSAGE)


def test_a_deletion_says_which_message_and_no_more():
    assert f'{{"type":"chat.deleted","id":"{ID}","stream_id":"{STREAM}"}}' == encoded(
        ChatDeleted(id=ID, stream_id=STREAM)
    )


def test_an_answer_has_either_the_message_or_why_it_was_dropped():
    drop = Drop(code="rate_limited", message="too fast", retry_after_ms=900)

    assert f'{{"sent":true,"message":{encoded(MESSAGE)}}}' == encoded(ChatSent(sent=True, message=MESSAGE))
    assert (
        '{"sent":false,"drop":{"code":"rate_limited","message":"too fast","retry_after_ms":900}}'
    ) == encoded(ChatSent(sent=False, drop=drop))


def test_a_page_says_that_there_is_no_next_one():
    assert '{"items":[],"next":null}' == encoded(ChatPage(items=[], next=None))


@pytest.mark.parametrize("client_id", ["k", "x" * 64, "\u00e9 \U0001f945"])
def test_a_client_id_has_1_to_64_characters(client_id):
    sent = {"stream_id": STREAM, "text": "goal", "client_id": client_id}

    assert client_id == msgspec.convert(sent, ChatSend).client_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_id", ""),
        ("client_id", "x" * 65),
        ("client_id", "a\0b"),
        ("client_id", "k\n"),
        ("client_id", None),
        ("stream_id", "no-uuid"),
        ("stream_id", STREAM + "\n"),
        ("text", 7),
        ("unknown", 1),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_its_field(field, value):
    sent = {"stream_id": STREAM, "text": "goal", "client_id": "k", field: value}

    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert(sent, ChatSend)
