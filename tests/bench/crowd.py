"""Thousands of subscribers in a process of their own, so that who measures calls is not busy with their
pushes.

Rule 1: subscriber n is in room n modulo the rooms, and subscribes to all channels of it.
Rule 2: every frame of every subscriber is looked at: offsets must follow each other, from the position of the
        subscribe reply on. Mostly all members of a room get the same bytes, which are read once and compared.

Times are of `time.perf_counter`, which on Linux is one clock for all processes.
"""

import asyncio
import multiprocessing
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import uvloop

from tests.bench.client import LoadClient, connect, inflate

START_S = 180.0
TOGETHER = 50
"""How many connect at the same time."""
POLL_S = 0.05
PATIENCE_S = 5.0
SAMPLE = 20
"""Every 20th subscriber notes when each message came."""


class Seen(msgspec.Struct):
    """What the crowd has seen; all but `connected_s` since everyone is there."""

    connected_s: float
    cpu_s: float = 0.0
    """What the crowd itself has used."""
    frames: int = 0
    wire_bytes: int = 0
    """Of these frames, with their WebSocket headers."""
    messages: int = 0
    """Chat messages, over all subscribers."""
    incomplete: int = 0
    """Subscribers with a hole, a repetition, or an end before that of their room."""
    message_latencies_s: list[float] = []
    """Of the sample; the text of a message ends with the time at which it was sent."""
    counts: list[tuple[int, float]] = []
    """Viewer counts as they came: the number, and when."""


@contextmanager
def crowd(
    ws_url: str, rooms: Sequence[Sequence[str]], size: int, *, is_compressed: bool = False
) -> Iterator["Crowd"]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(ws_url, rooms, size, is_compressed, there)
    )
    process.start()
    try:
        yield Crowd(here)
    finally:
        process.terminate()
        process.join()


class Crowd:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        if not pipe.poll(START_S):
            raise TimeoutError("the crowd did not come")
        pipe.recv()

    async def leave(self, messages: int = 0) -> Seen:
        """When they have seen so many chat messages, or for a while no more of them."""
        self._pipe.send(messages)
        return msgspec.msgpack.decode(await asyncio.to_thread(self._pipe.recv_bytes), type=Seen)


class _Told:
    """What one frame tells."""

    def __init__(self, payload: bytes, is_compressed: int) -> None:
        self.payload = payload
        self.wire_bytes = len(payload) + (2 if len(payload) < 126 else 4 if len(payload) < 65_536 else 10)
        self.sent_at: list[float] = []
        self.viewers: list[int] = []
        offsets: list[int] = []
        for line in (inflate(payload) if is_compressed else payload).split(b"\n"):
            publication: dict[str, Any] = msgspec.json.decode(line)["push"]["pub"]
            data = publication["data"]
            if data["type"] == "chat.message":
                offsets.append(publication["offset"])
                self.sent_at.append(float(data["text"].rpartition(" ")[2]))
            elif data["type"] == "viewers":
                self.viewers.append(data["viewers"])
        self.messages = len(offsets)
        self.first, self.last = (offsets[0], offsets[-1]) if offsets else (0, 0)
        self.is_in_order = not offsets or offsets == list(range(self.first, self.last + 1))


class _Room:
    def __init__(self) -> None:
        self._told: deque[_Told] = deque(maxlen=4)  # some members may be a few frames behind others
        self.members: list[_Member] = []

    def read(self, payload: bytes, is_compressed: int) -> _Told:
        for told in self._told:
            if told.payload == payload:
                return told
        told = _Told(payload, is_compressed)
        self._told.appendleft(told)
        return told

    def incomplete(self) -> int:
        end = max((member.position for member in self.members), default=0)
        return sum(member.is_broken or member.position < end for member in self.members)


class _Member:
    def __init__(self, room: _Room, seen: Seen, *, is_sampled: bool) -> None:
        self.position = 0
        """Of the chat; other channels have none."""
        self.is_broken = False
        self._room = room
        self._seen = seen
        self._is_sampled = is_sampled

    async def enter(self, client: LoadClient, channels: Sequence[str]) -> None:
        for reply in await asyncio.gather(*[client.subscribe(channel) for channel in channels]):
            self.position = max(self.position, reply.get("offset", 0))
        client.on_frame = self._on_frame
        self._room.members.append(self)

    def _on_frame(self, payload: bytes, is_compressed: int) -> None:
        told = self._room.read(payload, is_compressed)
        seen = self._seen
        seen.frames += 1
        seen.wire_bytes += told.wire_bytes
        if told.messages:
            seen.messages += told.messages
            if told.first != self.position + 1 or not told.is_in_order:
                self.is_broken = True
            self.position = told.last
            if self._is_sampled:
                now = time.perf_counter()
                seen.message_latencies_s += [now - sent_at for sent_at in told.sent_at]
        if told.viewers:
            now = time.perf_counter()
            seen.counts += [(viewers, now) for viewers in told.viewers]


def _run(
    ws_url: str, rooms: Sequence[Sequence[str]], size: int, is_compressed: bool, pipe: Connection
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_watch(ws_url, rooms, size, is_compressed, pipe))
    pipe.send_bytes(msgspec.msgpack.encode(seen))


async def _watch(
    ws_url: str, channels_of: Sequence[Sequence[str]], size: int, is_compressed: bool, pipe: Connection
) -> Seen:
    started = time.perf_counter()
    seen = Seen(0.0)
    rooms = [_Room() for _ in channels_of]

    async def enter(n: int) -> None:
        member = _Member(rooms[n % len(rooms)], seen, is_sampled=n % SAMPLE == 0)
        client = await connect(ws_url, is_compressed=is_compressed)
        await member.enter(client, channels_of[n % len(rooms)])

    for start in range(0, size, TOGETHER):
        await asyncio.gather(*[enter(n) for n in range(start, min(size, start + TOGETHER))])
    seen.connected_s = time.perf_counter() - started
    pipe.send("here")
    cpu_before = time.process_time()
    while not pipe.poll():
        await asyncio.sleep(POLL_S)
    wanted, before, patience_s = pipe.recv(), seen.messages, PATIENCE_S
    while seen.messages < wanted and patience_s > 0:
        await asyncio.sleep(POLL_S)
        patience_s = PATIENCE_S if seen.messages > before else patience_s - POLL_S
        before = seen.messages
    seen.cpu_s = time.process_time() - cpu_before
    seen.incomplete = sum(room.incomplete() for room in rooms)
    return seen
