"""Wanted and subscribed, against servers that answer late but in order, and may refuse and unsubscribe."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from csn_rt.bus.subscriptions import Subscriptions
from csn_rt.wire.names import Channel

CHANNELS = st.sampled_from([Channel("a"), Channel("b"), Channel("c")])


class Asking(RuleBasedStateMachine):
    """The side that wants; `line` are the commands that the server has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions = Subscriptions()
        self.wanted: set[Channel] = set()
        self.line: deque[tuple[str, Channel]] = deque()
        self.server: set[Channel] = set()

    @rule(channel=CHANNELS)
    def want(self, channel: Channel) -> None:
        self.wanted.add(channel)
        self.subscriptions.want(channel)

    @rule(channel=CHANNELS)
    def unwant(self, channel: Channel) -> None:
        self.wanted.discard(channel)
        self.subscriptions.unwant(channel)

    @rule()
    def ask(self) -> None:
        joins, leaves = self.subscriptions.due()
        self.line.extend(("join", channel) for channel in joins)
        self.line.extend(("leave", channel) for channel in leaves)


class Wanting(Asking):
    """The server holds commands in a line; each is answered when its turn comes."""

    @rule()
    def answer_one(self) -> None:
        if not self.line:
            return
        command, channel = self.line.popleft()
        if command == "join":
            self.server.add(channel)
            self.subscriptions.joined(channel)
        else:
            self.server.discard(channel)
            self.subscriptions.left(channel)

    @rule()
    def lose_the_connection(self) -> None:
        self.line.clear()
        self.server.clear()
        self.subscriptions.lost()

    @invariant()
    def at_most_one_command_per_channel_is_under_way(self) -> None:
        channels = [channel for _, channel in self.line]

        assert len(channels) == len(set(channels)), "rule 1"

    @invariant()
    def what_is_settled_is_subscribed_and_no_leave_is_under_way(self) -> None:
        for channel in "abc":
            if self.subscriptions.is_settled(Channel(channel)):
                assert channel in self.server, "rule 2"
                assert ("leave", channel) not in self.line, "rule 1"

    def teardown(self) -> None:
        for _ in range(3):
            self.ask()
            while self.line:
                self.answer_one()

        assert self.wanted == self.server
        assert self.wanted == self.subscriptions.wanted
        assert ([], []) == self.subscriptions.due()


TestWanting = Wanting.TestCase
TestWanting.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def test_an_answer_says_whether_something_became_due_because_of_it():
    subscriptions = Subscriptions()
    subscriptions.want(Channel("a"))
    subscriptions.due()
    subscriptions.unwant(Channel("a"))

    assert subscriptions.joined(Channel("a"))
    assert ([], ["a"]) == subscriptions.due()
    assert not subscriptions.left(Channel("a"))


class WantingOfACluster(Asking):
    """The server may serve the slot no more: it unsubscribes everybody, and refuses without saying what."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[tuple[str, Channel]] = deque()
        self.is_served = True
        self.was_refused = False

    @rule()
    def do_one(self) -> None:
        if not self.line:
            return
        command, channel = self.line.popleft()
        if not self.is_served:
            self.answers.append(("refused", channel))
        elif command == "join":
            self.server.add(channel)
            self.answers.append(("joined", channel))
        else:
            self.server.discard(channel)
            self.answers.append(("left", channel))

    @rule()
    def serve_no_more(self) -> None:
        self.answers.extend(("left", channel) for channel in self.server)
        self.server.clear()
        self.is_served = False

    @rule()
    def serve_again(self) -> None:
        self.is_served = True

    @rule()
    def hear_one(self) -> None:
        if not self.answers:
            return
        answer, channel = self.answers.popleft()
        if answer == "refused":
            self.was_refused = True
        elif answer == "joined":
            self.subscriptions.joined(channel)
        elif self.subscriptions.is_settled(channel):
            self.subscriptions.evicted(channel)
            self.was_refused = True
        else:
            self.subscriptions.left(channel)

    @rule()
    def read_the_map(self) -> None:
        if self.was_refused:
            self.was_refused = False
            self.subscriptions.ask_again()

    def teardown(self) -> None:
        self.is_served = True
        for _ in range(6):
            self.ask()
            while self.line:
                self.do_one()
            while self.answers:
                self.hear_one()
            self.read_the_map()

        assert self.wanted == self.server
        assert all(self.subscriptions.is_settled(channel) for channel in self.wanted)
        assert ([], []) == self.subscriptions.due()


TestWantingOfACluster = WantingOfACluster.TestCase
TestWantingOfACluster.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
