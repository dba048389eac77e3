"""People who talk in chats, each with a socket of his own: real lines, real `chat.send`."""

import asyncio
import random
import string
import time
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from csn_rt.demo.lines import LINES, NAMES
from csn_rt.wire.roles import Role
from tests.bench.client import LoadClient, Refused, connect
from tests.bench.stage import paced
from tests.support.nodes import token

TALKERS = 200
"""Moderators, who may say a hundred things in half a minute; so many that few speak twice in one frame."""
MAX_RETRIES = 1_000

_TEXTS = [text for texts in LINES.values() for text in texts]


class Person(NamedTuple):
    user_id: str
    name: str


def make_person(rng: random.Random) -> Person:
    # Ids as Clerk makes them: they are a good part of what does not compress in a line.
    user_id = "user_2" + "".join(rng.choices(string.ascii_letters + string.digits, k=26))
    return Person(user_id, rng.choice(NAMES))


def make_text(rng: random.Random, sent_at: float) -> str:
    """The crowd reads from it when it was sent."""
    return f"{rng.choice(_TEXTS)} {sent_at:.6f}"


def make_client_id(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


class Talkers:
    def __init__(self, clients: Sequence[LoadClient]) -> None:
        self.acknowledged_s: list[float] = []
        self.retries = 0
        self._clients = clients
        self._rng = random.Random(1)

    async def talk(self, stream_ids: Sequence[str], *, per_s: int, duration_s: int) -> None:
        """Return when everything is acknowledged; streams and talkers take turns."""
        async with asyncio.TaskGroup() as tasks:
            async for n in paced(per_s * duration_s, per_s):
                talker = self._clients[n % len(self._clients)]
                tasks.create_task(self._send(talker, stream_ids[n % len(stream_ids)]))

    async def _send(self, talker: LoadClient, stream_id: str) -> None:
        """Until it is acknowledged, as an SDK's user would; times are counted from the first attempt."""
        started = time.perf_counter()
        text, client_id = make_text(self._rng, started), make_client_id(self._rng)
        while True:
            try:
                answer = await talker.rpc("chat.send", stream_id=stream_id, text=text, client_id=client_id)
            except Refused:
                self.retries += 1
                assert self.retries < MAX_RETRIES, "the node refuses too much"
                await asyncio.sleep(self._rng.uniform(0.1, 1.0))
            else:
                break
        assert answer["sent"], answer
        self.acknowledged_s.append(time.perf_counter() - started)

    def leave(self) -> None:
        for client in self._clients:
            client.close()


async def invite(ws_url: str) -> Talkers:
    rng = random.Random(2)
    people = [make_person(rng) for _ in range(TALKERS)]
    return Talkers(
        [await connect(ws_url, token(each.user_id, Role.MODERATOR, name=each.name)) for each in people]
    )
