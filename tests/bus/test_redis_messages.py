import pytest

from csn_rt.bus import redis_messages
from csn_rt.bus.redis_messages import Message, Untold


def kept(*messages: Message) -> list[bytes]:
    untold = Untold()
    for message in messages:
        untold.keep(message)
    return [message.payload for message in untold.take(1000)]


def test_the_newest_of_each_channel_is_kept_in_whatever_order_they_are_dropped():
    first, second, other = Message(b"a", b"1"), Message(b"a", b"2"), Message(b"b", b"3")

    assert [b"2", b"3"] == kept(first, second, other)
    assert [b"2", b"3"] == kept(second, first, other)


def test_what_is_kept_is_not_counted_again():
    untold = Untold()
    untold.keep(Message(b"a", b"1"))

    assert [False] == [message.is_counted for message in untold.take(1)]


def test_a_canary_is_not_kept():
    assert [] == kept(Message(b"canary", b"1", is_canary=True))


def test_of_too_many_channels_the_first_ones_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_messages, "MOST_UNTOLD", 2)

    assert [b"2", b"3"] == kept(Message(b"a", b"1"), Message(b"b", b"2"), Message(b"c", b"3"))


def test_of_too_many_bytes_the_first_ones_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_messages, "MOST_UNTOLD_BYTES", 10)

    assert [b"4" * 4, b"5" * 6] == kept(
        Message(b"a", b"1" * 9),
        Message(b"a", b"2" * 3),  # in its place
        Message(b"b", b"3" * 5),
        Message(b"c", b"4" * 4),
        Message(b"d", b"5" * 6),
    )
