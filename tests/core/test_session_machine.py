"""A session among clients that say anything and a shell that answers in any order, against what was promised.

The model is the shell's view: what was asked of it, which channels it has a place in, which commands wait. It
is built from the effects alone, so that a session which breaks a rule contradicts itself.
"""

import json
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
from csn_rt.core.session import State
from csn_rt.core.subscription import Subscription
from csn_rt.wire import json_codec
from csn_rt.wire.codes import CloseCode, ErrorCode, UnsubscribeCode
from csn_rt.wire.protocol import Error
from tests.support.encodings import JSON, PROTOBUF, Encoding
from tests.support.sessions import ANN, BOB, connect, frame, opened, rpc, subscribe, unsubscribe

CHANNELS = st.sampled_from(["a", "b"])
RESULTS = {"connect", "subscribe", "unsubscribe", "history", "rpc", "refresh"}
PAYLOADS = st.sampled_from([b"{}", b'{"a":\n[1,\r\n2]}', b"null", b""])
PUBLICATIONS = st.lists(st.tuples(st.integers(1, 9), st.just(b'{"n":\n1}')), max_size=3)

SUBSCRIPTIONS = st.builds(
    Subscription, is_recovered=st.booleans(), publications=PUBLICATIONS, data=st.sampled_from([None, b"[\n]"])
)
BAD_TOKEN = st.sampled_from(
    [ErrorCode.TOKEN_EXPIRED, ErrorCode.INTERNAL, ErrorCode.INTERNAL, CloseCode.INVALID_TOKEN]
)

STARTS = st.sampled_from([State.CONNECTED, State.CONNECTED, State.AUTHENTICATING, State.OPEN])
SELDOM = st.integers(0, 19).map(lambda n: n == 7)
OFTEN = st.integers(0, 9).map(lambda n: n != 7)

REQUESTS = st.one_of(
    st.builds(lambda channel: subscribe(0, channel), CHANNELS),
    st.builds(lambda channel: subscribe(0, channel, recover=True, offset=3, epoch="e", flag=3), CHANNELS),
    st.builds(lambda channel: unsubscribe(0, channel), CHANNELS),
    st.builds(lambda channel: unsubscribe(0, channel), CHANNELS),
    st.just(rpc(0)),
    st.builds(lambda channel: {"history": {"channel": channel, "limit": -1}}, CHANNELS),
    st.just({"refresh": {"token": "t"}}),
    st.sampled_from(["publish", "presence", "presence_stats", "sub_refresh"]).map(lambda kind: {kind: {}}),
    st.builds(lambda channel: {"publish": {"channel": channel}}, CHANNELS),
    st.just({"send": {"data": 1}}),
    st.just({"unheard_of": {}}),
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**64) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "connect", "subscribe", "rpc", "channel", "since", "data", "flag", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


class SessionMachine(RuleBasedStateMachine):
    encoding: Encoding = JSON

    def __init__(self):
        super().__init__()
        self.now = 0.0

    @initialize(start=STARTS)
    def begin(self, start):
        self.session = opened(self.now, self.encoding.codec)
        self.next_id = 1
        self.said = {}
        """Every command by its id: (its place in the order, its request's name, its channel)."""
        self.waiting = set()
        """Ids of commands that have no reply yet."""
        self.asked = {}
        """What the shell was asked and has not answered, by command id."""
        self.answered = []
        self.last_begun = 0
        self.places = {}
        """Channel -> the join, or None once it succeeded."""
        self.has_sent = False
        self.is_over = False
        if start is not State.OPEN:
            self.send([connect()])
        if start is State.CONNECTED:
            self.forget(1)
            self.check(self.session.connected(ANN, self.now, ttl_s=30))

    # What the client does

    @precondition(lambda self: self.session.state is State.OPEN)
    @rule(before=REQUESTS, behind=st.lists(REQUESTS, max_size=3), is_before_meant=SELDOM)
    def come(self, before, behind, is_before_meant):
        self.send([before, connect()] if is_before_meant else [connect(), *behind])

    @precondition(lambda self: self.session.state is not State.OPEN)
    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=4))
    def say(self, requests):
        self.send(requests)

    def send(self, requests):
        commands = [self.command(request) for request in requests]
        self.check(self.session.receive(self.encoding.frame(*commands), self.now))
        if self.session.state is State.FAILED:
            self.waiting.clear()

    def command(self, request):
        name = next(key for key in request if key != "id")
        command_id = self.next_id
        self.next_id += 1
        if name != "send":
            self.said[command_id] = (command_id, name, request[name].get("channel"))
            if self.session.state is not State.FAILED:
                self.waiting.add(command_id)
        return {**request, "id": command_id}

    def pong(self):
        self.check(self.session.receive(self.encoding.codec.PING, self.now))

    @rule(data=st.data(), is_meant=SELDOM, how=st.integers(0, 3))
    def misbehave(self, data, is_meant, how):
        """Whatever ends the connection; seldom, so that most of them see something before."""
        if not is_meant:
            self.pong()
        elif how == 0:
            self.check(self.session.disconnect(CloseCode.SHUTDOWN))
        elif how == 1:
            self.check(self.session.socket_closed(), is_socket_gone=True)
        elif how == 2 and self.waiting:
            command_id = data.draw(st.sampled_from(sorted(self.waiting)))
            again = self.encoding.frame(rpc(command_id), self.command(rpc(0)))
            self.check(self.session.receive(again, self.now))
        else:
            garbage = data.draw(st.binary(max_size=20) | st.text(max_size=20))
            self.check(self.session.receive(garbage, self.now))

    # What the shell answers

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data):
        command_id = data.draw(st.sampled_from(sorted(self.asked)))
        ask = self.forget(command_id)
        self.check(self.give(ask, data))
        self.must_have_replied(command_id)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer_all(self, data):
        for command_id in sorted(self.asked):
            ask = self.forget(command_id)
            self.check(self.give_what_was_asked(ask, data))
            self.must_have_replied(command_id)

    def forget(self, command_id):
        ask = self.asked.pop(command_id)
        self.answered.append(ask)
        return ask

    def must_have_replied(self, command_id):
        assert self.is_over or command_id not in self.waiting, "rule 5: what is answered has its reply"

    @precondition(lambda self: self.answered and not self.is_over)
    @rule(data=st.data())
    def answer_again(self, data):
        ask = data.draw(st.sampled_from(self.answered))
        is_used_again = ask.command_id in self.asked
        assert is_used_again or self.give(ask, data) == [], "rule 5: one reply"

    def give(self, ask, data):
        is_fatal_if_refused = isinstance(ask, Authenticate | VerifyRefresh)
        is_good = data.draw(OFTEN if is_fatal_if_refused else st.booleans())
        return self.give_what_was_asked(ask, data) if is_good else self.refuse(ask, data)

    def give_what_was_asked(self, ask, data):
        payload = data.draw(PAYLOADS)
        ttl_s = data.draw(st.sampled_from([None, 30]))
        match ask:
            case Authenticate():
                return self.session.connected(ANN, self.now, ttl_s=ttl_s, data=payload)
            case Join(command_id, channel):
                return self.session.subscribed(command_id, channel, data.draw(SUBSCRIPTIONS))
            case Call(command_id):
                return self.session.replied(command_id, payload)
            case ReadHistory(command_id):
                return self.session.history_read(command_id, data.draw(PUBLICATIONS), epoch="e", offset=9)
            case VerifyRefresh(command_id):
                who = data.draw(st.sampled_from([ANN, ANN, ANN, BOB]))
                return self.session.refreshed(command_id, who, self.now, ttl_s=ttl_s)

    def refuse(self, ask, data):
        match ask:
            case Authenticate():
                return self.session.connect_failed(data.draw(BAD_TOKEN), self.now)
            case Join(command_id, channel):
                if self.places.get(channel) == ask:
                    del self.places[channel]
                return self.session.subscribe_failed(command_id, channel, ErrorCode.INTERNAL)
            case VerifyRefresh(command_id):
                return self.session.refresh_failed(command_id, data.draw(BAD_TOKEN))
        return self.session.failed(ask.command_id, Error.of(ErrorCode.INTERNAL))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def fail(self, data):
        command_id = data.draw(st.sampled_from(sorted(self.asked)))
        self.forget(command_id)
        self.check(self.session.failed(command_id, Error.of(ErrorCode.INTERNAL)))
        self.must_have_replied(command_id)

    # What time and the server do

    @rule(passed_s=st.sampled_from([0.1, 1.0, 3.0, 7.0]), is_ponged=OFTEN)
    def wait(self, passed_s, is_ponged):
        self.now += passed_s
        is_due = self.now >= self.session.next_due
        effects = self.session.tick(self.now)
        assert is_due or not effects, "rule 11: nothing is done before it is due"
        self.check(effects)
        assert self.session.next_due > self.now, "rule 11: a tick does all that is due"
        if is_ponged:
            self.pong()

    @rule(channel=CHANNELS, code=st.sampled_from(UnsubscribeCode))
    def unsubscribe_from_here(self, channel, code):
        self.check(self.session.unsubscribe(channel, code, self.now))

    @precondition(lambda self: self.is_over)
    @rule(start=STARTS)
    def come_back(self, start):
        self.begin(start)

    # What must hold of the effects of any input

    def check(self, effects, *, is_socket_gone=False):
        assert not (self.is_over and effects), "rule 2: nothing after Close"
        admissible = None
        for effect in effects:
            assert not self.is_over, "rule 2: Close is last"
            is_admit = isinstance(effect, Admit)
            assert is_admit == (admissible is not None), (
                "rule 6: Admit follows the reply, and nothing else does"
            )
            if is_admit:
                assert effect.channel == admissible
                admissible = None
            else:
                admissible = self.take(effect)
        assert admissible is None, "rule 6: a subscribe reply is followed by Admit"
        if is_socket_gone:
            self.is_over = True
        if self.is_over:
            assert not self.places, "rule 2: every Join has had its Leave"
            assert self.session.next_due == inf

    def take(self, effect):
        """Believe an effect; answers the channel that must be admitted next."""
        match effect:
            case Send(data):
                return self.hear(data)
            case Close():
                self.is_over = True
            case Leave(channel):
                assert channel in self.places, "rule 2: one Leave for each Join"
                del self.places[channel]
            case Join() | Call() | Authenticate() | ReadHistory() | VerifyRefresh():
                turn = self.said[effect.command_id][0]
                assert turn > self.last_begun, "rule 3: commands are begun in order"
                assert effect.command_id in self.waiting
                self.last_begun = turn
                self.asked[effect.command_id] = effect
                if isinstance(effect, Join):
                    assert effect.channel not in self.places
                    self.places[effect.channel] = effect
        return None

    def hear(self, message):
        assert self.encoding is not JSON or b"\n" not in message, "one message is one line"
        (content,) = self.encoding.messages(message)
        if "push" in content:
            unsubscribed = content["push"].get("unsubscribe")
            if unsubscribed is None:
                assert content["push"]["disconnect"]["reason"]
            else:
                assert unsubscribed["code"] >= 2000
                assert unsubscribed["reason"]
                assert content["push"]["channel"] not in self.places, "rule 6: Leave stands before the push"
            return None
        assert self.has_sent or content, "rule 4: the connect reply is the first"
        return self.hear_reply(content) if content else None

    def hear_reply(self, reply):
        command_id = reply.pop("id")
        ((kind, content),) = reply.items()
        _, name, channel = self.said[command_id]
        assert command_id in self.waiting, "rule 5: one reply for each command"
        self.waiting.remove(command_id)
        assert self.has_sent or name == "connect", "rule 4: the connect reply is the first"
        self.has_sent = True
        if kind == "error":
            assert content["code"]
            assert content["message"]
            assert name != "unsubscribe", "rule 8: unsubscribe is never refused"
            return None
        assert kind == name, "rule 5: the result is of the request's kind"
        assert kind in RESULTS
        if kind == "unsubscribe":
            assert channel not in self.places, "rule 6: Leave stands before the reply"
        if kind != "subscribe":
            return None
        assert self.places[channel].command_id == command_id
        self.places[channel] = None
        return channel

    @invariant()
    def what_is_held_is_bounded(self):
        assert len(self.session._held) <= MAX_COMMANDS
        assert self.session._held.bytes <= MAX_BYTES

    @invariant()
    def the_session_knows_its_places_and_its_debts(self):
        if self.session.state in (State.OPEN, State.AUTHENTICATING, State.CONNECTED):
            assert set(self.places) == set(self.session._places)
            assert self.waiting == self.session._pending

    @invariant()
    def nothing_waits_for_nothing(self):
        """Whoever is held is held by something that the shell owes an answer to."""
        if len(self.session._held):
            owed = [ask for ask in self.asked.values() if ask.command_id in self.waiting]
            assert any(isinstance(ask, Authenticate | Join) for ask in owed)

    def teardown(self):
        """When the shell has answered everything, every command has had its reply."""
        while self.asked and not self.is_over:
            command_id = min(self.asked)
            del self.asked[command_id]
            self.check(self.session.failed(command_id, Error.of(ErrorCode.INTERNAL)))
        if self.session.state is State.CONNECTED:
            assert self.waiting == set()


class ProtobufSessionMachine(SessionMachine):
    encoding = PROTOBUF


SessionMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
ProtobufSessionMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
TestSession = SessionMachine.TestCase
TestProtobufSession = ProtobufSessionMachine.TestCase


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        ANYTHING.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_rule_7_no_bytes_break_a_session(lines, is_connected):
    session = opened()
    if is_connected:
        session.receive(frame(connect()), 0.0)
        session.connected(ANN, 0.0, ttl_s=None)

    effects = session.receive(b"\n".join(lines), 0.0)

    assert session.is_closed == any(isinstance(effect, Close) for effect in effects)
    assert all(json_codec.SEPARATOR not in effect.data for effect in effects if isinstance(effect, Send))
