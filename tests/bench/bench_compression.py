"""Compressed once for a whole room: `python -m tests.bench.bench_compression`.

First zlib alone, on frames of real chat lines: from which size and with which parameters it pays. Then a busy
room twice, without and with compression; its subscribers offer what browsers offer.
"""

import asyncio
import random
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec
import uvloop

from csn_rt.features.context import new_id
from csn_rt.wire import json_codec, names
from csn_rt.wire.chat import ChatMessage, ChatUser
from csn_rt.wire.roles import Role
from tests.bench.client import inflate
from tests.bench.rooms import Load, measure
from tests.bench.stage import heading, options, report, sockets_allowed
from tests.bench.talkers import make_client_id, make_person, make_text

SUBSCRIBERS = 5_000
"""Enough for a pause in which ten messages come."""
MESSAGES_PER_S = 100
DURATION_S = 20
REACH_RATIO = 0.30

MESSAGES_OF_FRAMES = (1, 2, 4, 7, 10, 20, 37)
"""Up to 16 KiB; smaller events come before them."""
LEVELS = (1, 3, 6)
WINDOWS = ((15, 8), (12, 5), (9, 4))
"""Bits, and zlib's memory level to go with them."""
FRAMES = 40
ROUNDS = 7


async def main() -> None:
    sizes = options(subscribers=SUBSCRIBERS, messages=MESSAGES_PER_S, seconds=DURATION_S)
    heading("Compression")
    _sweep()
    subscribers = sockets_allowed(sizes.subscribers)
    print(f"\nOne room, {subscribers} subscribers, {sizes.messages} messages/s")
    load = Load(subscribers=subscribers, per_s=sizes.messages, seconds=sizes.seconds)
    plain = await measure(load)
    compressed = await measure(msgspec.structs.replace(load, is_compressed=True))
    for title, room in (("plain", plain), ("compressed", compressed)):
        report(f"{title}: send to delivery", room.seen.message_latencies_s)
        print(f"{title}: deliveries {room.seen.messages} of {room.load.deliveries}, ", end="")
        print(f"{room.messages_per_frame:.1f} messages/frame")
    print(f"\n{'':<28}{'plain':>10}{'compressed':>12}{'ratio':>8}")
    _row("bytes/delivered message", plain.message_bytes, compressed.message_bytes, f"reach {REACH_RATIO}")
    _row("node, core", plain.cores, compressed.cores)
    _row("node, µs/delivery", plain.delivery_cpu_us, compressed.delivery_cpu_us)
    _row("node, KiB/idle subscriber", plain.idle_kib, compressed.idle_kib)
    _row("p99 ms", plain.p99_ms, compressed.p99_ms)


def _row(title: str, plain: float, compressed: float, remark: str = "") -> None:
    print(f"{title:<28}{plain:>10.2f}{compressed:>12.2f}{compressed / plain:>8.2f}   {remark}")


def _sweep() -> None:
    print(f"zlib {zlib.ZLIB_RUNTIME_VERSION}: µs for a frame, and the share of its size that is left")
    rng = random.Random(3)
    channel = names.stream_chat(new_id())
    batches = [[_small_event(channel)] * FRAMES]
    batches += [[_chat(channel, count, rng) for _ in range(FRAMES)] for count in MESSAGES_OF_FRAMES]
    for window, memory in WINDOWS:
        print(f"{f'window {window}':>12}", end="")
        print("".join(f"{f'level {level}':>18}" for level in LEVELS) + f"{'inflate':>13}")
        for frames in batches:
            before = sum(map(len, frames))
            print(f"{before / FRAMES:>10.0f} B", end="")
            deflated: list[bytes] = []
            for level in LEVELS:
                took_us, deflated = _timed(partial(_deflate, level, window, memory), frames)
                print(f"{took_us:>10.1f} µs {sum(map(len, deflated)) / before:.2f}", end="")
            took_us, inflated = _timed(inflate, deflated)
            assert inflated == frames
            print(f"{took_us:>10.1f} µs")


def _timed(work: Callable[[bytes], bytes], frames: list[bytes]) -> tuple[float, list[bytes]]:
    """Microseconds for each, in the best of some rounds."""
    results: list[bytes] = []
    best_s = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        results = [work(frame) for frame in frames]
        best_s = min(best_s, time.perf_counter() - started)
    return best_s * 1e6 / len(frames), results


def _deflate(level: int, window: int, memory: int, payload: bytes) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window, memory)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _chat(channel: names.Channel, count: int, rng: random.Random) -> bytes:
    """As many messages as a flush may bring, each by somebody else."""
    encode = json_codec.publication_encoder(channel)
    pushes = []
    for offset in range(120_000, 120_000 + count):
        person = make_person(rng)
        message = ChatMessage(
            id=new_id(),
            stream_id=channel.split(":")[1],
            sequence=offset,
            user=ChatUser(id=person.user_id, name=person.name, role=Role.USER),
            text=make_text(rng, time.perf_counter()),
            sent_at=datetime.now(UTC),
            client_id=make_client_id(rng),
        )
        pushes.append(encode(msgspec.json.encode(message), offset))
    return json_codec.SEPARATOR.join(pushes)


def _small_event(channel: names.Channel) -> bytes:
    data = (
        b'{"type":"viewers","stream_id":"%b","viewers":1234,"stale":false}' % channel.split(":")[1].encode()
    )
    return json_codec.publication_encoder(channel)(data, None)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
