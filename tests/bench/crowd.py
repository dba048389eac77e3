"""A thousand subscribers in a process of their own, so that who measures calls is not busy with their pushes.

Times are of `time.perf_counter`, which on Linux is one clock for all processes.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

import msgspec
import uvloop

from tests.bench.client import connect

START_S = 60.0


class Seen(msgspec.Struct):
    """What the crowd has seen."""

    connected_s: float
    messages: int
    """Chat messages, over all subscribers."""
    message_latencies_s: list[float]
    """Of every 20th subscriber; the text of a message ends with the time at which it was sent."""
    counts: list[tuple[int, float]]
    """Viewer counts as they came: the number, and when."""


@contextmanager
def crowd(ws_url: str, channels: Sequence[str], size: int) -> Iterator["Crowd"]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(ws_url, channels, size, there))
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

    async def leave(self) -> Seen:
        self._pipe.send("leave")
        return msgspec.msgpack.decode(await asyncio.to_thread(self._pipe.recv_bytes), type=Seen)


def _run(ws_url: str, channels: Sequence[str], size: int, pipe: Connection) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_watch(ws_url, channels, size, pipe))
    pipe.send_bytes(msgspec.msgpack.encode(seen))


async def _watch(ws_url: str, channels: Sequence[str], size: int, pipe: Connection) -> Seen:
    seen = Seen(0.0, 0, [], [])

    def counted(frame: bytes) -> None:
        seen.messages += frame.count(b'"chat.message"')
        if b'"viewers"' in frame:
            for line in frame.split(b"\n"):
                if b'"chat.message"' not in line:
                    decoded(line)

    def decoded(line: bytes) -> None:
        now = time.perf_counter()
        data = msgspec.json.decode(line)["push"]["pub"]["data"]
        if data["type"] == "chat.message":
            seen.messages += 1
            seen.message_latencies_s.append(now - float(data["text"].rpartition(" ")[2]))
        elif data["type"] == "viewers":
            seen.counts.append((data["viewers"], now))

    started = time.perf_counter()
    for start in range(0, size, 50):
        clients = await asyncio.gather(*[connect(ws_url) for _ in range(min(50, size - start))])
        await asyncio.gather(*[client.subscribe(channel) for client in clients for channel in channels])
        for n, client in enumerate(clients):
            client.on_push = decoded
            if (start + n) % 20:
                client.on_pushes = counted
    seen.connected_s = time.perf_counter() - started
    pipe.send("here")
    while not pipe.poll():
        await asyncio.sleep(0.05)
    return seen
