"""A second chat, in which little is said: no next message shows there that one is missing.

Every node has a listener and a speaker of its own. There is one message about every three seconds, through
the nodes in turn, each turn in an order of its own.
"""

import asyncio
import random
from collections.abc import Collection
from typing import Final

from tests.prove.chatter import Chatter
from tests.prove.checker import Finding, Ledger
from tests.prove.client import Diary, Socket
from tests.prove.told import Data
from tests.prove.watcher import Watcher
from tests.support.cluster import NodeProcess

EVERY_S: Final = 3.0


class QuietLedger(Ledger):
    """Notes for every listener when it saw something."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(findings)
        self.seen_by: dict[tuple[str, int], float] = {}
        """By listener and offset."""

    def seen(self, name: str, offset: int, event: Data, now: float | None) -> None:
        super().seen(name, offset, event, now)
        if now is not None:
            self.seen_by.setdefault((name, offset), now)


class Listener(Watcher):
    """Listens to the chat only, at one node."""

    async def enter(self, socket: Socket) -> None:
        await self._enter_chat(socket)


class QuietChat:
    def __init__(
        self, findings: list[Finding], diary: Diary, nodes: Collection[NodeProcess], stream_id: str
    ) -> None:
        self.stream_id = stream_id
        self.ledger = QuietLedger(findings)
        self.listeners: list[Watcher] = []
        self.speakers: list[Chatter] = []
        self._saying: set[asyncio.Task[None]] = set()
        self._turn: list[Chatter] = []
        for n, node in enumerate(nodes):
            self.listeners.append(Listener(self.ledger, f"listener {n}", diary, [node.ws_url], stream_id))
            self.speakers.append(Chatter(self.ledger, f"speaker{n}", diary, [node.ws_url], stream_id))

    @property
    def is_quiet(self) -> bool:
        return all(task.done() for task in self._saying) and all(
            speaker.is_quiet for speaker in self.speakers
        )

    async def talk(self, may_talk: asyncio.Event) -> None:
        """One who waits for an answer keeps nobody else from speaking."""
        while True:
            await may_talk.wait()
            self._raise_problems()
            if (speaker := self._next()) is not None:
                self._saying.add(asyncio.create_task(speaker.say()))
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))

    def speak_next(self, node: int) -> None:
        """The next message goes through this node, if it takes any."""
        self._turn.append(self.speakers[node])

    def told_s(
        self, since: float, until: float, *, speakers: Collection[int], listeners: Collection[int]
    ) -> list[float]:
        """From an acknowledgement in this time to each of these nodes' listeners; infinite: never."""
        names = {self.speakers[n].name for n in speakers}
        return [
            max(
                0.0,
                self.ledger.seen_by.get((self.listeners[n].name, ack.sequence), float("inf")) - ack.acked_at,
            )
            for ack in self.ledger.acks
            if ack.user in names and since <= ack.acked_at <= until
            for n in listeners
        ]

    def _next(self) -> Chatter | None:
        self._turn = self._turn or random.sample(self.speakers, len(self.speakers))
        speaker = self._turn.pop()
        return speaker if speaker.socket is not None and speaker.pending_since is None else None

    def _raise_problems(self) -> None:
        ended = {task for task in self._saying if task.done()}
        self._saying -= ended
        for task in ended:
            task.result()
