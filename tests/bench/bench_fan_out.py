"""What a frame into a big room costs, beside what it costs others: `python -m tests.bench.bench_fan_out`.

One server process each, all of them up at the same time, each with a room of 1,000 loopback sockets. Told to,
one broadcasts messages of 240 bytes, each written to every socket before the next. What counts is the CPU
time (user and system, of the whole process) that it says to have used for them.

Rule 1: one broadcasts at a time. The servers take turns in an order that changes, many times in one run; a
        ratio is made of the turns of one round, and the median of the rounds is told.
Rule 2: a turn ends when every socket has read every message. It is so short that the buffers of the sockets
        cannot fill: nobody ever waits for a reader.
Rule 3: the first rounds do not count: they are for caches, allocators and compilers.
Rule 4: nobody pays for what is not the job: no compression, no access log, no pings. (csn_rt's own pings,
        one in 25 s, cannot be turned off.)
Rule 5: everyone wraps the message in his own protocol, as his users would have it, and frames are counted,
        not bytes: csn_rt's carry a channel and an offset, 340 bytes in all.
"""

import asyncio
import importlib.util
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from csn_rt.db.migrate import migrate
from csn_rt.db.pool import open_database
from csn_rt.embedded.postgres import EmbeddedPostgres
from csn_rt.embedded.redis import EmbeddedRedis
from csn_rt.features.context import new_id
from csn_rt.wire import names
from csn_rt.wire.chat import ChatMessage, ChatUser
from csn_rt.wire.roles import Role
from tests.bench.peers.audience import HERE, Audience, Manners, audience, compiled, reader
from tests.bench.peers.process import LineProcess
from tests.bench.stage import heading, percentile
from tests.support.league import make_stream
from tests.support.servers import temporary_directory

SOCKETS = 1_000
MESSAGE_BYTES = 240
MESSAGES = 20
"""In a turn: below 8 KiB for every socket, whose buffers hold 128 KiB and more."""
SHARED_MESSAGES = 100
"""In a turn in which events may share frames: 33 KiB for every socket."""
WARM_UP_ROUNDS = 5
ROUNDS = 20
SLOW_MESSAGES = 2
"""The same for one whose every message costs a look at every member."""
INSTALL_S = 170

LIMIT = "bare C send loop"
OURS = "csn_rt"
OURS_SHARING = "csn_rt, events sharing frames"
NODE_WS, NODE_SOCKETIO = "node ws", "node Socket.IO"
STARLETTE, CHANNELS, SOCKETIO = "Starlette, naive loop", "Django Channels", "python-socketio"
TO_REACH: Mapping[str, float] = {LIMIT: 0.65, NODE_WS: 1.3, SOCKETIO: 9.0}

PLAIN = Manners(path="/")
SOCKETIO_MANNERS = Manners(
    path="/socket.io/?EIO=4&transport=websocket", greetings=[("", "0{"), ("40", "40{")]
)
NODE_SCRIPTS = {"ws.mjs": (NODE_WS, PLAIN), "socketio.mjs": (NODE_SOCKETIO, SOCKETIO_MANNERS)}
PYTHON_MODULES = {
    "starlette_broadcaster": (STARLETTE, PLAIN, "starlette"),
    "socketio_python": (SOCKETIO, SOCKETIO_MANNERS, "socketio"),
    "channels_group": (CHANNELS, PLAIN, "channels"),
}
ROOT = HERE.parents[2]


class Turn(msgspec.Struct, frozen=True):
    messages: int
    frames: int
    cpu_s: float


class Broadcaster:
    """A server, and those who listen to it."""

    def __init__(self, server: LineProcess, room: Audience) -> None:
        self._server = server
        self._room = room
        self._messages = 0
        self._frames = 0

    async def take_turn(self, order: str, messages: int) -> Turn:
        used = await self._cpu_s()
        await self._server.ask(f"{order} {messages}")
        self._messages += messages * SOCKETS
        frames = await self._room.has_read(self._messages)
        turn = Turn(messages * SOCKETS, frames - self._frames, await self._cpu_s() - used)
        self._frames = frames
        return turn

    async def _cpu_s(self) -> float:
        return float(await self._server.ask("cpu"))


class Hall:
    """Where the servers are brought up, and what they need."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.text = message()
        self.stack = stack
        self._reader = reader(directory)

    async def bring(
        self,
        name: str,
        manners: Manners,
        command: Sequence[str],
        *,
        directory: Path = ROOT,
        **environment: str,
    ) -> Broadcaster:
        log_path = self.directory / f"{name}.log"
        server = LineProcess(
            command, log_path, directory=directory, environment={**os.environ, **environment}
        )
        await self.stack.enter_async_context(server)
        port = int(await server.line(within_s=30))
        room = audience(port, manners, SOCKETS, self._reader, log_path.with_suffix(".reader.log"))
        return Broadcaster(server, await self.stack.enter_async_context(room))


async def main() -> None:
    heading(f"Frames per CPU-second into one room of {SOCKETS:,} sockets, {MESSAGE_BYTES}-byte messages")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * SOCKETS)), hard))
    async with AsyncExitStack() as stack:
        hall = Hall(stack.enter_context(temporary_directory()), stack)
        ours = await _ours(hall)
        broadcasters = {OURS: ours, **await _limit(hall), **await _node(hall), **await _python(hall)}
        jobs = [
            (name, each, "broadcast", SLOW_MESSAGES if name == CHANNELS else MESSAGES)
            for name, each in broadcasters.items()
        ]
        jobs.append((OURS_SHARING, ours, "offer", SHARED_MESSAGES))
        turns: dict[str, list[Turn]] = {name: [] for name, *_ in jobs}
        for number in range(WARM_UP_ROUNDS + ROUNDS):
            for name, broadcaster, order, messages in random.sample(jobs, len(jobs)):
                turn = await broadcaster.take_turn(order, messages)
                if number >= WARM_UP_ROUNDS:
                    turns[name].append(turn)
    _report(turns)


def message() -> str:
    """A real event of the chat, as long as it must be."""
    event = ChatMessage(
        id=new_id(),
        stream_id=new_id(),
        sequence=1_000,
        user=ChatUser(id="user-1", name="User", role=Role.USER),
        text="",
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    missing = MESSAGE_BYTES - len(msgspec.json.encode(event))
    event = msgspec.structs.replace(event, text=("goal! " * MESSAGE_BYTES)[:missing])
    encoded = msgspec.json.encode(event)
    assert len(encoded) == MESSAGE_BYTES
    return encoded.decode()


async def _ours(hall: Hall) -> Broadcaster:
    postgres = hall.stack.enter_context(EmbeddedPostgres(hall.directory))
    redis = hall.stack.enter_context(EmbeddedRedis(hall.directory))
    await migrate(postgres.url)
    db = await open_database(postgres.url)
    stream_id = await make_stream(db)
    await db.close()
    greetings = [
        ('{"id":1,"connect":{}}', '"connect":{'),
        (f'{{"id":2,"subscribe":{{"channel":"{names.stream_chat(stream_id)}"}}}}', '"subscribe":{'),
    ]
    return await hall.bring(
        OURS,
        Manners(path="/connection/websocket", greetings=greetings),
        [sys.executable, "-m", "tests.bench.peers.csn_rt_node", hall.text, stream_id],
        BENCH_DATABASE_URL=postgres.url,
        BENCH_REDIS_URL=redis.url,
    )


async def _limit(hall: Hall) -> dict[str, Broadcaster]:
    program = compiled("send_loop", hall.directory)
    if program is None:
        print(f"left out: {LIMIT} (no C compiler)")
        return {}
    return {LIMIT: await hall.bring(LIMIT, Manners(path=None), [str(program), str(SOCKETS), hall.text])}


async def _node(hall: Hall) -> dict[str, Broadcaster]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print(f"left out: {NODE_WS}, {NODE_SOCKETIO} (no node, or no npm)")
        return {}
    directory = hall.directory / "node"
    directory.mkdir()
    for path in (HERE / "package.json", *HERE.glob("*.mjs")):
        shutil.copy(path, directory)
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    if not _runs(install, directory):
        print(f"left out: {NODE_WS}, {NODE_SOCKETIO} (npm could not install them)")
        return {}
    return {
        name: await hall.bring(name, manners, [node, script, hall.text], directory=directory)
        for script, (name, manners) in NODE_SCRIPTS.items()
    }


def _runs(command: Sequence[str], directory: Path) -> bool:
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=INSTALL_S, capture_output=True)
    except subprocess.SubprocessError:
        return False
    return True


async def _python(hall: Hall) -> dict[str, Broadcaster]:
    broadcasters = {}
    for module, (name, manners, package) in PYTHON_MODULES.items():
        if importlib.util.find_spec(package) is None:
            print(f"left out: {name} (pip install -e '.[bench]')")
            continue
        command = [sys.executable, "-m", f"tests.bench.peers.{module}", hall.text]
        broadcasters[name] = await hall.bring(name, manners, command)
    return broadcasters


def _report(turns: Mapping[str, Sequence[Turn]]) -> None:
    print(f"{ROUNDS} rounds in turn; the middle half of them in brackets\n")
    print(f"{'':<30} {'frames per CPU-s':>27} {'µs a frame':>11} {'of the limit':>13} {'csn_rt is':>11}")
    frames = {name: [turn.frames / turn.cpu_s for turn in each] for name, each in turns.items()}
    rates = {name: median(each) for name, each in frames.items() if name != OURS_SHARING}
    for name in sorted(rates, key=rates.__getitem__, reverse=True):
        spread = f"({percentile(frames[name], 0.25):,.0f}-{percentile(frames[name], 0.75):,.0f})"
        of_limit = f"{_ratio(frames[name], frames[LIMIT]):13.2f}" if LIMIT in frames else f"{'':13}"
        ours = _ratio(frames[OURS], frames[name])
        goal = f"   to reach: {TO_REACH[name]}" if name in TO_REACH else ""
        rate = f"{rates[name]:>10,.0f} {spread:>16}"
        print(f"{name:<30} {rate} {1e6 / rates[name]:11.2f} {of_limit} {ours:9.2f} x{goal}")
    shared = turns[OURS_SHARING]
    events = median(turn.messages / turn.cpu_s for turn in shared)
    per_frame = median(turn.messages / turn.frames for turn in shared)
    print(f"\n{OURS_SHARING}: {events:,.0f} events delivered per CPU-s, {per_frame:.0f} in a frame")


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    return median(this / that for this, that in zip(these, those, strict=True))


if __name__ == "__main__":
    asyncio.run(main())
