"""A topic with its cursors, against the simplest thing that could be right: every subscriber has a list."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from csn_rt.core.ring import Latest, Ring
from csn_rt.core.topic import Topic
from csn_rt.wire import json_codec, protobuf_codec
from csn_rt.wire.dialect import dialect
from csn_rt.wire.names import CATALOG, user
from tests.support.peers import FakePeer

PEERS = st.integers(0, 4)
SELDOM = st.sampled_from([False, False, False, True])
"""What empties the room must be rare, or there is never anybody in it."""


def got(peer: FakePeer) -> list[int]:
    return [int(data) for data in peer.got]


def got_up_to(peer: FakePeer, place: int) -> int:
    return max(got(peer), default=place)


class TopicMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring("abcdefgh", 0, max_events=6)
        self.topic = Topic(CATALOG, self.ring, shows_offset=True)
        self.peers = [FakePeer() for _ in range(5)]
        self.joined: dict[int, int] = {}
        self.admitted: dict[int, int] = {}
        for n in range(3):
            self.joined[n] = self.topic.join(self.peers[n])
            self.admit(n)

    @rule(count=st.integers(1, 3))
    def append(self, count):
        if self.topic.backlog + count > 6:
            self.topic.flush()
            self.topic.flush()
        for _ in range(count):
            offset = self.ring.top + 1
            self.ring.offer(offset, str(offset).encode())

    @rule()
    def flush(self):
        self.topic.flush()

    @rule(sockets=st.integers(1, 2))
    def flush_some(self, sockets):
        self.topic.flush(sockets)

    @rule(n=PEERS)
    def join(self, n):
        n = self._one_of(
            [n for n in range(len(self.peers)) if n not in self.joined and n not in self.admitted], n
        )
        if n is not None:
            self.peers[n].frames.clear()
            self.joined[n] = self.topic.join(self.peers[n])
            assert self.joined[n] == self.topic.flushed

    @rule(n=PEERS)
    def admit(self, n):
        n = self._one_of(self.joined, n)
        if n is not None:
            self.admitted[n] = self.joined.pop(n)
            if not self.topic.admit(self.peers[n]):
                self._forget(n)

    @rule(n=PEERS, is_meant=SELDOM)
    def leave(self, n, is_meant):
        if not is_meant:
            return
        self.joined.pop(n, None)
        if n in self.admitted:
            self._forget(n)
        self.topic.leave(self.peers[n])

    @rule(n=PEERS)
    def fill_up(self, n):
        n = self._one_of(self.admitted, n)
        if n is not None:
            self.peers[n].is_writable = False

    @rule(n=PEERS)
    def drain(self, n):
        n = self._one_of([n for n, peer in enumerate(self.peers) if not peer.is_writable], n)
        if n is None:
            return
        self.peers[n].is_writable = True
        if n in self.admitted and not self.topic.catch_up(self.peers[n]):
            assert got_up_to(self.peers[n], self.admitted[n]) < self.ring.oldest - 1, (
                "lost only if it fell off"
            )
            self._forget(n)

    @staticmethod
    def _one_of(candidates, n):
        """So that nearly every step does something."""
        candidates = sorted(candidates)
        return candidates[n % len(candidates)] if candidates else None

    @precondition(lambda self: self.admitted or self.joined)
    @rule(is_meant=SELDOM)
    def restart(self, is_meant):
        if not is_meant:
            return
        lost = self.topic.restart()
        assert {id(peer) for peer in lost} == {id(self.peers[n]) for n in self.admitted}
        for n in list(self.admitted):
            self._forget(n)
        for n in list(self.joined):
            assert not self.topic.admit(self.peers[n])
            del self.joined[n]

    def _forget(self, n):
        del self.admitted[n]
        self.topic.leave(self.peers[n])

    @invariant()
    def what_was_written_is_consecutive_from_the_place(self):
        for n, place in self.admitted.items():
            seen = got(self.peers[n])
            assert seen == list(range(place + 1, place + 1 + len(seen)))

    @invariant()
    def a_writable_subscriber_has_all_that_was_flushed(self):
        for n, place in self.admitted.items():
            peer = self.peers[n]
            if peer.is_writable:
                assert got_up_to(peer, place) in (self.topic.flushed, self.topic._flushing_up_to)
                assert self.topic.is_flushing or got_up_to(peer, place) == self.topic.flushed

    @invariant()
    def nothing_is_written_before_admission(self):
        for n in self.joined:
            assert self.peers[n].got == []

    @invariant()
    def everyone_is_counted_once(self):
        assert len(self.topic) == len(self.joined) + len(self.admitted)


TopicMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestTopicMachine = TopicMachine.TestCase


def test_rule_2_everyone_at_the_head_gets_the_same_frame():
    topic = Topic(CATALOG, Ring("abcdefgh", 0), shows_offset=True)
    peers = [FakePeer(), FakePeer()]
    for peer in peers:
        topic.join(peer)
        topic.admit(peer)
    topic.memory.offer(1, b"1")
    topic.memory.offer(2, b"2")

    assert topic.flush() == 4
    assert peers[0].frames[0] is peers[1].frames[0]
    assert [1, 2] == got(peers[0])


def test_rule_6_who_catches_up_during_a_flush_gets_what_it_says_at_the_end_of_it():
    peers = [FakePeer() for _ in range(4)]
    topic = Topic(CATALOG, Ring("abcdefgh", 0), shows_offset=True)
    for peer in peers:
        topic.join(peer)
        topic.admit(peer)
        peer.is_writable = False
    topic.memory.offer(1, b"1")
    topic.flush(2)
    for peer in peers:
        peer.is_writable = True
        assert topic.catch_up(peer)
    topic.flush()
    topic.memory.offer(2, b"2")
    topic.flush()

    assert [[1, 2]] * 4 == [got(peer) for peer in peers]


def test_rule_6_who_comes_during_a_flush_gets_what_it_says_at_the_end_of_it():
    first, second, newcomer = FakePeer(), FakePeer(), FakePeer()
    topic = Topic(CATALOG, Ring("abcdefgh", 0), shows_offset=True)
    for peer in (first, second):
        topic.join(peer)
        topic.admit(peer)
    topic.memory.offer(1, b"1")
    topic.flush(1)
    topic.join(newcomer)
    topic.admit(newcomer)
    assert [] == got(newcomer)
    topic.flush()

    assert [[1]] * 3 == [got(peer) for peer in (first, second, newcomer)]


def test_rule_7_of_a_state_a_slow_socket_is_sent_only_the_newest_of_each_entity():
    def progress(content_id: str, version: int) -> bytes:
        return b'{"type":"progress.changed","content_id":"%b","version":%d}' % (content_id.encode(), version)

    topic = Topic(user("ann"), Ring("abcdefgh", 0), shows_offset=False)
    peer = FakePeer()
    topic.join(peer)
    topic.admit(peer)
    peer.is_writable = False
    for offset, content_id in enumerate("aabacb", start=1):
        topic.memory.offer(offset, progress(content_id, offset))
        topic.flush()
    peer.is_writable = True
    topic.catch_up(peer)

    assert [progress("a", 4), progress("c", 5), progress("b", 6)] == peer.got


def test_rule_7_two_kinds_of_news_about_one_entity_are_both_sent():
    changed = b'{"type":"progress.changed","content_id":"a"}'
    removed = b'{"type":"progress.removed","content_id":"a"}'
    topic = Topic(user("ann"), Ring("abcdefgh", 0), shows_offset=False)
    peer = FakePeer()
    topic.join(peer)
    topic.admit(peer)
    peer.is_writable = False
    for offset, event in enumerate([changed, removed], start=1):
        topic.memory.offer(offset, event)
        topic.flush()
    peer.is_writable = True
    topic.catch_up(peer)

    assert [changed, removed] == peer.got


def test_rule_2_a_room_of_two_dialects_is_told_the_same_in_two_frames():
    peers = [FakePeer(), FakePeer(), FakePeer(dialect(protobuf_codec)), FakePeer(dialect(protobuf_codec))]
    topic = Topic(CATALOG, Ring("abcdefgh", 0), shows_offset=True)
    for peer in peers:
        topic.join(peer)
        topic.admit(peer)
    topic.memory.offer(1, b'{"type":"stream.started"}')
    topic.flush()
    json, _, protobuf, _ = [peer.frames[0] for peer in peers]

    assert [peer.frames[0] for peer in peers] == [json, json, protobuf, protobuf]
    assert (False, True) == (json.is_binary, protobuf.is_binary)
    assert peers[2].got == peers[0].got


@pytest.mark.parametrize("codec", [json_codec, protobuf_codec])
def test_an_encoding_is_made_once_for_sockets_with_and_without_compression(codec, monkeypatch):
    made = []
    encoder = codec.publication_encoder
    monkeypatch.setattr(codec, "publication_encoder", lambda name: counted(encoder(name), made))
    topic = Topic(CATALOG, Ring("abcdefgh", 0), shows_offset=True)
    for peer in (FakePeer(dialect(codec)), FakePeer(dialect(codec, is_deflated=True))):
        topic.join(peer)
        topic.admit(peer)
    topic.memory.offer(1, b'{"type":"stream.started"}')
    topic.flush()

    assert made == [1]


def counted(encode, made):
    def counting(data, offset):
        made.append(offset)
        return encode(data, offset)

    return counting


def latest_topic(peer: FakePeer, knows: int) -> Topic[Latest]:
    """A subscriber whose snapshot knew everything up to this offset."""
    topic = Topic(CATALOG, Latest(), shows_offset=False)
    topic.join(peer)
    topic.skip(peer, knows)
    topic.admit(peer)
    return topic


def test_rule_8_what_a_snapshot_knew_is_not_told_again():
    peer = FakePeer()
    topic = latest_topic(peer, knows=7)
    topic.memory.offer(7, b"7")
    topic.flush()

    assert peer.frames == []


def test_rule_8_what_is_newer_than_the_snapshot_is_told():
    peer = FakePeer()
    topic = latest_topic(peer, knows=7)
    topic.memory.offer(6, b"6")
    topic.flush()
    topic.memory.offer(9, b"9")
    topic.flush()

    assert [9] == got(peer)
    assert len(topic) == 1
