"""What a client is told of a channel that it joined."""

import msgspec

from csn_rt.core.subscription import Subscription
from csn_rt.wire.protocol import StreamPosition

HERE = StreamPosition(7, "abcdefgh")
MISSED = [(8, b'{"n":8}'), (9, b'{"n":9}')]


def told(subscription, recover):
    return msgspec.json.decode(msgspec.json.encode(subscription.result(recover)))


def test_a_client_that_recovers_gets_what_it_missed_and_keeps_its_own_position():
    found = Subscription(
        is_recoverable=True,
        is_positioned=True,
        epoch="abcdefgh",
        offset=9,
        is_recovered=True,
        publications=MISSED,
    )

    assert told(found, HERE) == {
        "recoverable": True,
        "positioned": True,
        "epoch": "abcdefgh",
        "offset": 7,
        "publications": [{"data": {"n": 8}, "offset": 8}, {"data": {"n": 9}, "offset": 9}],
        "recovered": True,
        "was_recovering": True,
    }


def test_a_client_that_does_not_recover_starts_at_the_top_and_gets_no_publications():
    found = Subscription(is_recoverable=True, epoch="abcdefgh", offset=9, publications=MISSED)

    assert told(found, HERE) == {
        "recoverable": True,
        "epoch": "abcdefgh",
        "offset": 9,
        "was_recovering": True,
    }


def test_a_client_that_did_not_ask_to_recover_is_not_told_of_recovery():
    found = Subscription(
        is_recoverable=True, epoch="abcdefgh", offset=9, is_recovered=True, publications=MISSED
    )

    assert told(found, None) == {"recoverable": True, "epoch": "abcdefgh", "offset": 9}


def test_a_state_channel_is_told_as_its_snapshot():
    assert told(Subscription(data=b'{"viewers":12}'), None) == {"data": {"viewers": 12}}
