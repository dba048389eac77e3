"""When a line writes to its subscribers."""

import asyncio

from csn_rt.core.ring import Latest, Ring
from csn_rt.core.topic import Topic
from csn_rt.edge.line import MAX_BACKLOG, MAX_HELD, Line, Taken
from csn_rt.wire.names import CATALOG
from csn_rt.wire.published import Published
from tests.support.peers import FakePeer, data_of

EPOCH = "abcdefgh"


def line_with(peers: int, memory: Ring | Latest) -> tuple[Line, list[FakePeer]]:
    topic = Topic(CATALOG, memory, shows_offset=False)
    crowd = [FakePeer() for _ in range(peers)]
    for peer in crowd:
        topic.join(peer)
        topic.admit(peer)
    return Line(topic, is_conflated=isinstance(memory, Latest)), crowd


def event(offset: int, epoch: str = EPOCH) -> Published:
    return Published(CATALOG, epoch, offset, b"%d" % offset)


async def test_rule_2_an_idle_small_room_adds_no_delay():
    line, (peer,) = line_with(1, Ring(EPOCH, 0))
    line.take(event(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert peer.got == [b"1"]


async def test_rule_2_what_comes_in_the_same_moment_goes_in_one_frame():
    line, (peer,) = line_with(1, Ring(EPOCH, 0))
    for offset in (1, 2, 3):
        line.take(event(offset))
    await asyncio.sleep(0.01)

    assert [data_of(frame) for frame in peer.frames] == [[b"1", b"2", b"3"]]


async def test_rule_2_a_state_is_pushed_at_once_and_then_at_most_four_times_a_second():
    line, (peer,) = line_with(1, Latest())
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.6
    offset = 0
    while loop.time() < end:
        offset += 1
        line.take(event(offset, ""))
        await asyncio.sleep(0.01)

    assert data_of(peer.frames[0]) == [b"1"]
    assert 2 <= len(peer.frames) <= 4


async def test_a_burst_does_not_wait_until_its_beginning_is_forgotten():
    line, (peer,) = line_with(1, Ring(EPOCH, 0))
    for offset in range(1, 3 * MAX_BACKLOG + 2):
        line.take(event(offset))
    await asyncio.sleep(0.05)

    assert peer.got == [b"%d" % offset for offset in range(1, 3 * MAX_BACKLOG + 2)]


async def test_rule_1_what_is_held_is_bounded():
    line, _ = line_with(0, Ring(EPOCH, 0))
    for offset in range(2, MAX_HELD + 500):
        line.take(event(offset))

    assert len(line._held) == MAX_HELD


async def test_an_event_of_another_epoch_is_not_taken():
    line, _ = line_with(0, Ring(EPOCH, 0))

    assert line.take(event(1, "hgfedcba")) is Taken.OTHER_EPOCH
