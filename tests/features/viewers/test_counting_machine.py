"""The counting of several nodes against the simplest thing that could be right: sessions with their ends.

Presence, tally, counting and leases are the real ones; the database is a stub, and time passes by the rules.
"""

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from csn_rt.bus.leases_memory import MemoryLeases, MemoryLeaseStore
from csn_rt.features.viewers.counting import Counting
from csn_rt.features.viewers.presence import Presence, Session
from csn_rt.features.viewers.tally import Stream, Tally
from csn_rt.wire.viewers import StaffViewers
from tests.support.clock import Clock

BROADCAST = str(uuid.UUID(int=1))
STREAM = str(uuid.UUID(int=2))
PEOPLE = [f"u:{name}" for name in ("ann", "ann|", "ben", "eve")]
BEGAN = 1_800_000_000.0
OLD = timedelta(hours=1)


class Board:
    """One stream that is on air."""

    def __init__(self, clock):
        read_at = datetime.fromtimestamp(clock(), UTC)
        stream = Stream(
            stream_id=STREAM,
            state="live",
            is_hidden=False,
            is_published=True,
            broadcast_id=BROADCAST,
            started_at=read_at - OLD,
            ended_at=None,
            seq=0,
            peak=0,
            sampled=None,
            read_at=read_at,
        )
        self.tally = Tally(stream, clock())

    def broadcasts(self):
        return [BROADCAST]

    def on_air(self, _broadcast_id):
        return self.tally

    def hurry(self):
        raise AssertionError("nobody ended it")


class Node:
    def __init__(self, machine):
        self.machine = machine
        self.presence = Presence()
        self.board = Board(machine.clock)
        self.counting = Counting(
            MemoryLeases(machine.store), self.board, self.presence, self.tell, machine.clock
        )
        self.shown = []

    @property
    def tally(self):
        return self.board.tally

    def tell(self, tellings):
        for telling in tellings:
            for node in self.machine.nodes if telling.is_everywhere and self.machine.is_bus_up else [self]:
                node.deliver(telling.event)

    def deliver(self, event):
        if not isinstance(event, StaffViewers) and (not self.shown or event.seq > self.shown[-1].seq):
            self.shown.append(event)

    def look(self):
        self.counting.hurry_all()
        drive(self.counting.round())


def drive(coroutine):
    """Run what never really waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


class Known:
    """The model's session: whose it is, where it is heard, and until when it counts."""

    def __init__(self, person, node, heard_at):
        self.person = person
        self.node = node
        self.heard_at = heard_at
        self.paused_at = None

    @property
    def until(self):
        until = self.heard_at + 25
        return until if self.paused_at is None else min(until, self.paused_at + 60)


class CountingMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    @initialize(target=sessions)
    def begin(self):
        self.clock = Clock(BEGAN)
        self.skew = 0.0
        self.is_bus_up = True
        self.store = MemoryLeaseStore(clock=lambda: self.clock() + self.skew)
        self.nodes = [Node(self), Node(self)]
        self.known = {}
        self.life = None
        self.right_by = BEGAN + 5
        self.number = 100
        self.look()
        return multiple(*(self._start(person, at) for person in PEOPLE[:2] for at in (0, 1)))

    # What people and the world do

    @rule(target=sessions, person=st.sampled_from(PEOPLE), at=st.integers(0, 1))
    def start(self, person, at):
        return self._start(person, at)

    @rule(session_id=sessions, is_playing=st.booleans())
    def beat(self, session_id, is_playing):
        known = self.known.get(session_id)
        if known is None or known.node not in self.nodes or known.heard_at + 25 <= self.clock():
            return
        known.node.presence.hear(session_id, self.clock(), is_playing=is_playing)
        self._hear(known, is_playing)

    @rule(session_id=sessions)
    def move_from_a_dead_node(self, session_id):
        known = self.known.get(session_id)
        if known is None or known.node in self.nodes:
            return
        known.node = self.nodes[0]
        self._hear(known, is_playing=True)
        known.node.presence.add(Session(session_id, BROADCAST, known.person, self.clock(), None))
        self.look()

    @rule(session_id=consumes(sessions), times=st.integers(1, 2))
    def end(self, session_id, times):
        known = self.known.pop(session_id, None)
        node = known.node if known and known.node in self.nodes else self.nodes[0]
        person = known.person if known else PEOPLE[0]
        for _ in range(times):
            node.presence.end(BROADCAST, person, session_id)
        self.look()

    @rule(seconds=st.sampled_from([1, 2, 4, 9, 26]))
    def pass_time(self, seconds):
        for _ in range(seconds):
            self.clock.jump(1)
            self.look()

    @rule()
    def redis_goes_or_comes(self):
        if self.store.is_up:
            self.store.go_down()
        else:
            self.store.come_back()
            self._may_be_stale()
        self.is_bus_up = self.store.is_up
        self.look()

    @rule(fault=st.sampled_from(["a node is killed", "a node starts", "Redis is emptied", "its clock jumps"]))
    def fault(self, fault):
        if fault == "a node is killed" and len(self.nodes) > 1 and self.store.is_up:
            # While Redis is away it would take ends with it that nobody else heard; they last a lease.
            self.nodes.pop()
        elif fault == "a node starts" and len(self.nodes) < 2:
            self.nodes.append(Node(self))
        elif fault == "Redis is emptied":
            self.store.lose_all()
            self._may_be_stale()
        elif fault == "its clock jumps":
            self.skew += 10
            self._may_be_stale()
        self.look()

    # What must hold

    @invariant()
    def the_count_is_right_or_stale(self):
        for node in self.nodes:
            if not self.store.is_up:
                assert node.tally.is_stale
                assert node.shown[-1].stale
            elif node.tally.is_stale:
                assert self.clock() < self.right_by, "right again within 5 s"
            else:
                assert self._expected() == node.tally.viewers

    @invariant()
    def subscribers_see_the_same_after_a_pace(self):
        if not self.store.is_up:
            return
        self.clock.jump(0.25)
        self.look()
        for node in self.nodes:
            if not node.tally.is_stale:
                assert (self._expected(), False) == (node.shown[-1].viewers, node.shown[-1].stale)
                assert node.shown[-1].peak >= node.shown[-1].viewers

    @invariant()
    def what_is_shown_is_news_and_never_negative(self):
        for node in self.nodes:
            for before, after in zip(node.shown, node.shown[1:], strict=False):
                assert before.seq < after.seq
                assert (before.viewers, before.peak, before.stale) != (after.viewers, after.peak, after.stale)
            assert all(event.viewers is None or event.viewers >= 0 for event in node.shown)
            del node.shown[:-1]

    def look(self):
        """Rounds on every node until nothing is due at this moment."""
        for _ in range(3):
            for node in self.nodes:
                node.look()
        life = self.store._broadcasts[BROADCAST]._life if BROADCAST in self.store._broadcasts else None
        if life != self.life:
            # A new life knows only what living nodes hold.
            self.life = life
            self.known = {key: each for key, each in self.known.items() if each.node in self.nodes}

    def _start(self, person, at):
        node = self.nodes[at % len(self.nodes)]
        self.number += 1
        session_id = str(uuid.UUID(int=self.number))
        node.presence.add(Session(session_id, BROADCAST, person, self.clock(), None))
        self.known[session_id] = Known(person, node, self.clock())
        self.look()
        return session_id

    def _hear(self, known, is_playing):
        known.heard_at = self.clock()
        if is_playing:
            known.paused_at = None
        elif known.paused_at is None:
            known.paused_at = self.clock()
        self.look()

    def _may_be_stale(self):
        self.right_by = self.clock() + 5

    def _expected(self):
        return len({each.person for each in self.known.values() if each.until > self.clock()})


CountingMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCounting = CountingMachine.TestCase
