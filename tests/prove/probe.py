"""Those who look: at each node's readiness and count all the time, and at what a newcomer is shown."""

import asyncio
import random
from collections.abc import Sequence

import httpx
from msgspec import Struct

from csn_rt.wire import names
from tests.bench.client import Refused
from tests.prove.checker import Ledger
from tests.prove.client import LOST, Diary, Guest, now, open_socket
from tests.prove.told import read_items, read_publications
from tests.support.cluster import NodeProcess

EVERY_S = 0.25
_HTTP_S = 3.0
_BACK = 150


class Count(Struct, frozen=True):
    at: float
    viewers: int | None
    stale: bool


class Ready(Struct, frozen=True):
    at: float
    is_ready: bool
    checks: dict[str, str]
    """Empty: there was no answer."""


class Probe(Guest):
    """Asks one node for the count."""

    def __init__(self, diary: Diary, node: NodeProcess, stream_id: str) -> None:
        super().__init__(diary, f"probe of {node.port}", [node.ws_url])
        self.node = node
        self.counts: list[Count] = []
        self.readiness: list[Ready] = []
        self._stream_id = stream_id

    @property
    def count(self) -> Count | None:
        """The last over this connection: what the node said in an earlier life says nothing of this one."""
        return self.counts[-1] if self.counts and self.counts[-1].at > self.connected_at else None

    @property
    def is_ready(self) -> bool:
        return bool(self.readiness) and self.readiness[-1].is_ready

    async def count_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                page = await self.try_once("viewers.get", stream_ids=[self._stream_id])
            except (*LOST, Refused):
                continue
            [item] = page["items"]
            self.counts.append(Count(now(), item["viewers"], item["stale"]))

    async def look_on(self) -> None:
        async with httpx.AsyncClient(timeout=_HTTP_S) as http:
            while True:
                self.readiness.append(await self._look(http))
                await asyncio.sleep(EVERY_S)

    async def _look(self, http: httpx.AsyncClient) -> Ready:
        try:
            answer = await http.get(f"{self.node.url}/readyz")
        except httpx.TransportError:
            return Ready(now(), False, {})
        return Ready(now(), answer.status_code == 200, answer.json()["checks"])


class Newcomers:
    """New subscribers with an old position, and readers of chat.history: what is removed is not for them."""

    def __init__(self, ledger: Ledger, diary: Diary, urls: Sequence[str], stream_id: str) -> None:
        self.times_shown = 0
        self._ledger = ledger
        self._diary = diary
        self._urls = urls
        self._stream_id = stream_id

    async def come(self) -> None:
        """One of them comes, looks and goes; to come in vain is no finding, and is noted in the diary."""
        since = {"recover": True, "epoch": self._ledger.epoch, "offset": max(0, self._ledger.top - _BACK)}
        url = random.choice(self._urls)
        try:
            with self._diary.noting("connect"):
                socket = await open_socket(url)
        except (*LOST, Refused):
            return
        try:
            asked_at = now()
            with self._diary.noting("chat.history"):
                page = await socket.ask("chat.history", stream_id=self._stream_id, limit=100)
            self._ledger.page(f"a reader at {url}", asked_at, read_items(page), {})
            with self._diary.noting("subscribe"):
                reply = await socket.enter(names.stream_chat(self._stream_id), **since)
            self._ledger.replay(f"a newcomer at {url}", missed := read_publications(reply))
            for each in missed:
                self._ledger.told(f"a newcomer at {url}", each.offset, each.data)
            self.times_shown += 1
        except (*LOST, Refused):
            pass
        finally:
            socket.close()

    async def come_on(self, every_s: float) -> None:
        while True:
            await asyncio.gather(self.come(), asyncio.sleep(every_s * random.uniform(0.5, 1.5)))
