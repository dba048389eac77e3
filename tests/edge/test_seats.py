"""The seats of one socket, at a door that answers when the test says so; and the shell they belong to."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from csn_rt.core.effects import Join
from csn_rt.core.identity import Identity
from csn_rt.core.ring import Ring
from csn_rt.core.session import Session
from csn_rt.core.subscription import Subscription
from csn_rt.core.topic import Topic
from csn_rt.edge import seats as seats_module
from csn_rt.edge.joining import Place, SubscribeRefused
from csn_rt.edge.line import Line
from csn_rt.edge.schedule import Schedule
from csn_rt.edge.seats import Seats
from csn_rt.edge.ws import Connection
from csn_rt.errors import Unavailable
from csn_rt.wire import json_codec, names
from csn_rt.wire.codes import CloseCode, ErrorCode
from csn_rt.wire.frames import Frame
from csn_rt.wire.names import CATALOG
from csn_rt.wire.protocol import StreamPosition
from csn_rt.wire.roles import Role
from tests.support.peers import JSON, FakePeer

ANN = Identity(user_id="ann", role=Role.USER)
HERE = StreamPosition(1, "epoch")


def line(name: str = CATALOG) -> Line[Ring]:
    return Line(Topic(names.Channel(name), Ring("epoch", 0), shows_offset=True), is_conflated=False)


class Door:
    """Who joins waits for `open`, unless the channel is `at_once`; everything is noted in `seen`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.at_once: set[str] = set()
        self.lines: dict[str, Line[Ring]] = {}
        self.seen: list[str] = []
        self.recovers: list[StreamPosition | None] = []
        self.failure: Exception | None = None

    def line(self, name: str) -> Line[Ring]:
        return self.lines.setdefault(name, line(name))

    def join_nowait(
        self, peer: Any, _identity: Identity, name: str, since: StreamPosition | None
    ) -> Place | None:
        if name not in self.at_once:
            return None
        return self._joined(peer, name, since)

    async def join(self, peer: Any, _identity: Identity, name: str, since: StreamPosition | None) -> Place:
        self.seen.append(f"{name} begins")
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            await turns(5)  # a connection of the pool is given back, say
            self.line(name).topic.leave(peer)
            self.seen.append(f"{name} given up")
            raise
        if self.failure is not None:
            raise self.failure
        self.recovers.append(since)
        return self._joined(peer, name, since)

    def _joined(self, peer: Any, name: str, since: StreamPosition | None) -> Place:
        self.line(name).topic.join(peer)
        return self.line(name), Subscription(
            is_recoverable=True, epoch="epoch", is_recovered=since is not None
        )

    def leave(self, peer: Any, line: Line[Ring]) -> None:
        line.topic.leave(peer)


class Guest(FakePeer):
    """Notes what it is told; `fills` makes the socket full with every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[str, Any]] = []
        self.fills = False
        self.drops: list[str] = []

    def seated(self, join: Join, subscription: Subscription) -> None:
        self.answers.append((join.channel, subscription.is_recovered))
        if self.fills:
            self.is_writable = False

    def turned_away(self, join: Join, error: ErrorCode) -> None:
        self.answers.append((join.channel, error))

    def dropped(self, name: str) -> None:
        self.drops.append(name)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def seats(guest, door) -> Seats:
    return Seats(guest, door)


def join(name: str = CATALOG, recover: StreamPosition | None = None, command_id: int = 2) -> Join:
    return Join(command_id, name, recover, False)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_rule_1_where_nothing_must_be_waited_for_the_answer_is_there_at_once(seats, guest, door):
    door.at_once.add(CATALOG)
    seats.take(ANN, join())

    assert guest.answers == [(CATALOG, False)]


async def test_rule_1_who_must_wait_is_answered_later(seats, guest, door):
    seats.take(ANN, join())
    await turns()
    before = list(guest.answers)
    door.open.set()
    await turns()

    assert (before, guest.answers) == ([], [(CATALOG, False)])


@pytest.mark.parametrize(
    ("failure", "error", "is_bug"),
    [
        (SubscribeRefused(ErrorCode.PERMISSION_DENIED), ErrorCode.PERMISSION_DENIED, False),
        (Unavailable("away"), ErrorCode.INTERNAL, False),
        (RuntimeError("a bug"), ErrorCode.INTERNAL, True),
    ],
)
async def test_rule_1_whatever_goes_wrong_is_answered(seats, guest, door, capsys, failure, error, is_bug):
    door.failure = failure
    door.open.set()
    seats.take(ANN, join())
    await turns()

    assert guest.answers == [(CATALOG, error)]
    assert ("join_failed" in capsys.readouterr().out) is is_bug


async def test_rule_1_a_door_that_does_not_answer_is_an_error_in_time(seats, guest, monkeypatch):
    monkeypatch.setattr(seats_module, "JOIN_TIMEOUT_S", 0.05)
    seats.take(ANN, join())
    await asyncio.sleep(0.2)

    assert guest.answers == [(CATALOG, ErrorCode.INTERNAL)]


async def test_rule_2_a_new_attempt_waits_until_the_one_given_up_has_tidied_up(seats, guest, door):
    """Or its tidying up would take the new one's place away."""
    seats.take(ANN, join())
    await turns()
    seats.leave(CATALOG)
    door.at_once.add(CATALOG)
    seats.take(ANN, join(command_id=3))
    door.open.set()
    await turns()

    assert guest.answers == [(CATALOG, False)]
    assert len(door.line(CATALOG).topic) == 1
    assert door.seen == [f"{CATALOG} begins", f"{CATALOG} given up", f"{CATALOG} begins"]


CHATS = [names.stream_chat(f"{n:08d}-0000-0000-0000-000000000000") for n in range(5)]


async def test_rule_3_recoveries_come_one_after_another_each_to_a_socket_that_takes_bytes(seats, guest, door):
    guest.fills = True
    door.open.set()
    for chat in CHATS:
        seats.take(ANN, join(chat, HERE))
    await turns(50)
    first = len(guest.answers)
    guest.is_writable = True
    seats.catch_up()
    await turns(50)

    assert (first, len(guest.answers)) == (1, 2)
    assert door.recovers == [HERE, HERE]


async def test_rule_3_one_recovery_is_read_at_a_time(seats, guest, door):
    for chat in CHATS:
        seats.take(ANN, join(chat, HERE))
    await turns()
    begun = list(door.seen)
    door.open.set()
    await turns(50)

    assert begun == [f"{CHATS[0]} begins"]
    assert guest.answers == [(chat, True) for chat in CHATS]


async def test_rule_3_what_waits_too_long_is_answered_as_not_recovered(seats, guest, door, monkeypatch):
    monkeypatch.setattr(seats_module, "RECOVERY_WAIT_S", 0.05)
    guest.fills = True
    door.open.set()
    for chat in CHATS:
        seats.take(ANN, join(chat, HERE))
    await asyncio.sleep(0.3)

    assert guest.answers == [(CHATS[0], True), *[(chat, False) for chat in CHATS[1:]]]


async def test_rule_3_nothing_is_recovered_at_once_into_a_full_socket(seats, guest, door):
    guest.is_writable = False
    door.at_once.update(CHATS)
    seats.take(ANN, join(CHATS[0], HERE))
    seats.take(ANN, join(CHATS[1]))
    seats.leave_all()
    await turns()

    assert guest.answers == [(CHATS[1], False)]


async def test_rule_4_what_concerns_the_person_comes_before_bulk(seats, guest, door):
    viewers = names.stream_viewers("00000000-0000-0000-0000-000000000000")
    moderation = names.stream_mod("00000000-0000-0000-0000-000000000000")
    channels = [CHATS[0], CATALOG, viewers, moderation, names.user("ann")]
    door.at_once.update(channels)
    guest.is_writable = False
    for name in channels:
        seats.take(ANN, join(name))
        seats.admit(name)
        door.line(name).topic.memory.offer(1, b'{"type":"x"}')
        door.line(name).topic.flush()
    guest.is_writable = True
    seats.catch_up()

    told = [frame.payload for frame in guest.frames]
    expected = [names.user("ann"), moderation, viewers, CHATS[0], CATALOG]
    assert [next(name for name in channels if name.encode() in each) for each in told] == expected


async def test_rule_4_a_socket_that_is_full_again_gets_the_bulk_later(seats, guest, door):
    door.at_once.update({CHATS[0], names.user("ann")})
    guest.is_writable = False
    for name in (CHATS[0], names.user("ann")):
        seats.take(ANN, join(name))
        seats.admit(name)
        door.line(name).topic.memory.offer(1, b'{"type":"x"}')
        door.line(name).topic.flush()
    taken = guest.offer

    def take_one(frame: Frame) -> bool:
        is_taken = taken(frame)
        guest.is_writable = False
        return is_taken

    guest.offer = take_one
    guest.is_writable = True
    seats.catch_up()

    assert [names.user("ann").encode() in frame.payload for frame in guest.frames] == [True]


async def test_when_all_is_left_every_attempt_ends(seats, guest, door):
    for chat in CHATS:
        seats.take(ANN, join(chat))
    await turns()
    seats.leave_all()
    await turns()

    assert [f"{chat} given up" for chat in CHATS] == door.seen[len(CHATS) :]
    assert guest.answers == []


# The connection, whose seats they are


class Out:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.is_writable = True
        self.frames: list[bytes] = []
        self.closed: CloseCode | None = None
        self.on_writable: Callable[[], None] = lambda: None

    def write(self, frame: Frame) -> None:
        self.frames.append(frame.payload)

    def offer(self, frame: Frame) -> bool:
        self.write(frame)
        return True

    def close(self, code: CloseCode, reason: str) -> None:
        self.closed = code

    def abort(self) -> None: ...


class Node:
    """As much of a node as a connection needs."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.schedule: Schedule[Any] = Schedule()

    def welcome(self, _token: str) -> tuple[Identity, bytes]:
        return ANN, b"{}"

    def forget(self, socket: Any) -> None:
        self.schedule.discard(socket)


@pytest.fixture
def out() -> Out:
    return Out()


@pytest.fixture
def connection(door, out) -> Connection:
    session = Session(json_codec, client_id="c", first_ping_s=20.0, now=0.0)
    return Connection(Node(door), session, JSON, out, ip="", user_agent="")  # type: ignore[arg-type]


def subscribe(command_id: int, channel: str = CATALOG) -> str:
    return f'{{"id":{command_id},"subscribe":{{"channel":"{channel}"}}}}'


def unsubscribe(command_id: int, channel: str = CATALOG) -> str:
    return f'{{"id":{command_id},"unsubscribe":{{"channel":"{channel}"}}}}'


def ids(frame: bytes) -> list[bytes]:
    return [text.split(b":")[1].split(b",")[0] for text in frame.split(b"\n")]


async def test_connect_and_an_open_channel_are_answered_in_one_frame(connection, door, out):
    door.at_once.add(CATALOG)
    connection.received("\n".join(['{"id":1,"connect":{}}', subscribe(2)]))

    assert [ids(frame) for frame in out.frames] == [[b"1", b"2"]]


async def test_rule_5_a_push_comes_after_the_replies_before_it(connection, door, out):
    door.at_once.add(CATALOG)
    topic = door.line(CATALOG).topic
    joined = door.join_nowait

    def join_and_speak(*args: Any) -> Place | None:
        place = joined(*args)
        topic.memory.offer(1, b'"hello"')
        topic.flush()
        return place

    door.join_nowait = join_and_speak
    connection.received("\n".join(['{"id":1,"connect":{}}', subscribe(2)]))

    assert [b"subscribe" in frame for frame in out.frames] == [True, False]
    assert b'"hello"' in out.frames[1]


async def test_each_subscribe_reply_that_may_be_large_ends_a_frame(connection, door, out):
    door.at_once.update(CHATS)
    connection.received("\n".join(['{"id":1,"connect":{}}', *[subscribe(n, CHATS[n]) for n in (2, 3)]]))

    assert [ids(frame) for frame in out.frames] == [[b"1", b"2"], [b"3"]]


async def test_a_place_that_is_lost_does_not_take_a_newer_one_with_it(connection, door, out):
    """A subscribe and its opposite wait for each other; when the first is admitted its place is gone."""
    connection.received("\n".join(['{"id":1,"connect":{}}', subscribe(2), unsubscribe(3), subscribe(4)]))
    await turns()
    door.at_once.add(CATALOG)
    topic = door.line(CATALOG).topic
    admit = topic.admit

    def restart_and_admit(peer: Any) -> bool:
        topic.admit = admit
        topic.restart()
        return admit(peer)

    topic.admit = restart_and_admit
    door.open.set()
    await turns()

    replies = b"\n".join(out.frames).split(b"\n")
    assert [each[:7] for each in replies] == [b'{"id":1', b'{"id":2', b'{"id":3', b'{"id":4']
    assert b'"error"' not in b"".join(replies)
    assert len(topic) == 1


async def test_a_place_that_is_lost_when_it_is_admitted_is_told_so(connection, door, out):
    door.at_once.add(CATALOG)
    door.line(CATALOG).topic.admit = lambda _peer: False
    connection.received("\n".join(['{"id":1,"connect":{}}', subscribe(2)]))

    assert b'"unsubscribe":{"code":2500' in out.frames[-1]
    assert len(door.line(CATALOG).topic) == 0


async def test_after_the_end_nothing_is_joined(connection, door, out):
    door.at_once.add(CATALOG)
    connection.received('{"id":1,"connect":{}}')
    connection.gone()
    connection.received(subscribe(2))

    assert len(door.line(CATALOG).topic) == 0
    assert len(out.frames) == 1
