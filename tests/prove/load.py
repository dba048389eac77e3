"""The load: watchers, chatters, players with their devices, those who look, and a quiet chat beside; all in
one event loop.

Rule 1: it goes on through every fault; only to be judged it is calmed: what was begun is finished, nothing
        new is begun, sessions stay.
Rule 2: it is normal again when every node is ready, everybody is connected and has seen all that was there,
        nobody waits for an answer, and the counts are right and fresh everywhere.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from tests.prove.chatter import Chatter
from tests.prove.checker import Ledger
from tests.prove.client import Diary, Guest, now
from tests.prove.player import Ghost, Player
from tests.prove.probe import Newcomers, Probe
from tests.prove.quiet import QuietChat
from tests.prove.site import Site
from tests.prove.watcher import Laggard, Watcher

_IMPATIENT_S: Final = 6.0
_POLL_S: Final = 0.05
_STALE_PENDING_S: Final = 0.5
_LAG_EVERY_S: Final = 0.1


class Sizes(Struct, frozen=True):
    watchers: int = 54
    laggards: int = 6
    chatters: int = 24
    messages_per_s: float = 60.0
    players: int = 15


class Chat(Struct, frozen=True):
    """A chat, and those who see all of it."""

    stream_id: str
    ledger: Ledger
    watchers: Sequence[Watcher]

    def is_up_to(self, offset: int) -> bool:
        return all(each.is_complete and each.history.position >= offset for each in self.watchers)


class Load:
    def __init__(self, site: Site, sizes: Sizes) -> None:
        self.site = site
        self.ledger = Ledger()
        self.diary = Diary()
        self.lag_s = 0.0
        """The longest that the load's own loop was late since `reset_lag`."""
        self.ghosts: list[Ghost] = []
        self._moving = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        urls = [node.ws_url for node in site.nodes]

        def from_node(n: int) -> list[str]:
            return [*urls[n % len(urls) :], *urls[: n % len(urls)]]

        def watcher(kind: type[Watcher], n: int, **options: Any) -> Any:
            name = f"{kind.__name__.lower()} {n}"
            return kind(self.ledger, name, self.diary, from_node(n), site.stream_id, **options)

        self.laggards: list[Laggard] = [watcher(Laggard, n) for n in range(sizes.laggards)]
        self.watchers: list[Watcher] = [
            # Every third is not as patient as an SDK, and goes away from a node that hangs.
            *(
                watcher(Watcher, n, patience_s=_IMPATIENT_S if n % 9 < 3 else None)
                for n in range(sizes.watchers)
            ),
            *self.laggards,
        ]
        self.chatters = [
            Chatter(self.ledger, f"chatter{n}", self.diary, from_node(n), site.stream_id)
            for n in range(sizes.chatters)
        ]
        self.players = [
            Player(
                self.ledger,
                f"player{n}",
                self.diary,
                from_node(n),
                site.stream_id,
                site.content_ids[n % len(site.content_ids)],
            )
            for n in range(sizes.players)
        ]
        self.probes = [Probe(self.diary, node, site.stream_id) for node in site.nodes]
        self.newcomers = Newcomers(self.ledger, self.diary, urls, site.stream_id)
        self.quiet = QuietChat(self.ledger.findings, self.diary, site.nodes, site.quiet_id)
        self.chats = [
            Chat(site.stream_id, self.ledger, self.watchers),
            Chat(site.quiet_id, self.quiet.ledger, self.quiet.listeners),
        ]
        self._every_s = sizes.chatters / sizes.messages_per_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watchers first: everything that is said is theirs to see."""
        for guest in self._guests():
            self._spawn(guest.run())
        try:
            await self._wait(self._are_all_here, 20, "not everybody came")
            self._moving.set()
            for chatter in self.chatters:
                self._spawn(chatter.talk(self._moving, self._every_s))
            for player in self.players:
                self._spawn(player.watch(self._moving))
                self._spawn(player.report(self._moving))
            for probe in self.probes:
                self._spawn(probe.count_on())
                self._spawn(probe.look_on())
            self._spawn(self.quiet.talk(self._moving))
            self._spawn(self.newcomers.come_on(0.5))
            self._spawn(self._watch_lag())
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def all_chatters(self) -> list[Chatter]:
        return [*self.chatters, *self.quiet.speakers]

    @property
    def problem(self) -> BaseException | None:
        """What ended a part of the load that should have gone on."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        return next((task.exception() for task in ended if task.exception() is not None), None)

    # Ghosts

    async def invite_ghosts(self, count: int) -> list[Ghost]:
        ghosts = [Ghost(f"ghost{len(self.ghosts) + n}") for n in range(count)]
        self.ghosts += ghosts
        nodes = self.site.nodes
        await asyncio.gather(
            *[ghost.come(nodes[n % len(nodes)].ws_url, self.site.stream_id) for n, ghost in enumerate(ghosts)]
        )
        return ghosts

    # What is so

    def are_counts(self, viewers: int) -> bool:
        probes = [probe.count for probe in self.probes]
        shown = [each.count for each in self.watchers]
        return all(
            count is not None and count.viewers == viewers and not count.stale for count in [*probes, *shown]
        )

    def not_normal(self, offset: int) -> list[str]:
        """What keeps it from being as in rule 2, where everything up to this offset was there. The ghosts of
        this moment may still count."""
        waits = [
            each for each in self.all_chatters if now() - (each.pending_since or now()) > _STALE_PENDING_S
        ]
        counts = [*(probe.count for probe in self.probes), *(each.count for each in self.watchers)]
        right = [
            count
            for count in counts
            if count is not None and not count.stale and (count.viewers or 0) >= len(self.players)
        ]
        is_so = {
            "nodes are not ready": all(probe.is_ready for probe in self.probes),
            "somebody is not connected": self._are_all_here(),
            "somebody has not seen everything": self.chats[0].is_up_to(offset),
            "somebody waits for an answer": not waits,
            "somebody does not play": all(player.is_playing for player in self.players),
            "counts are wrong": len(right) == len(counts),
        }
        return [what for what, is_kept in is_so.items() if not is_kept]

    def _guests(self) -> list[Guest]:
        devices = [player.device for player in self.players]
        busy = (*self.watchers, *self.chatters, *self.players, *devices, *self.probes)
        return [*busy, *self.quiet.listeners, *self.quiet.speakers]

    def _are_all_here(self) -> bool:
        return all(guest.socket is not None for guest in self._guests())

    # Waiting

    async def calm(self, wait_s: float) -> bool:
        """Rule 1; False if somebody still waits for an answer."""
        self._moving.clear()
        await asyncio.sleep(_POLL_S)  # for those who were just let go
        return await self.wait_until(
            lambda: (
                all(chatter.is_quiet for chatter in self.chatters)
                and self.quiet.is_quiet
                and not any(player.is_reporting for player in self.players)
            ),
            wait_s,
        )

    def stir(self) -> None:
        self._moving.set()

    async def wait_until(self, is_so: Callable[[], bool], wait_s: float) -> bool:
        until = now() + wait_s
        while not is_so():
            if now() > until:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def storm(self, comers: int, messages: int) -> None:
        """Many come at once, and the chatters say more, at once."""
        await asyncio.gather(
            *[self._come_later(random.uniform(0, 2.0)) for _ in range(comers)],
            *[self._say_more(messages // 2) for _ in range(2)],
        )

    async def _come_later(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.newcomers.come()

    async def _say_more(self, messages: int) -> None:
        """Somebody of their own: chatters say one thing at a time."""
        storm = Chatter(
            self.ledger,
            f"storm{random.getrandbits(40)}",
            self.diary,
            random.sample([node.ws_url for node in self.site.nodes], len(self.site.nodes)),
            self.site.stream_id,
        )
        self.chatters.append(storm)
        running = asyncio.create_task(storm.run())
        try:
            for _ in range(messages):
                await storm.say()
            await self.wait_until(lambda: storm.is_quiet, 10)
        finally:
            self.chatters.remove(storm)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _wait(self, is_so: Callable[[], bool], wait_s: float, what: str) -> None:
        if not await self.wait_until(is_so, wait_s):
            raise TimeoutError(what)

    async def _watch_lag(self) -> None:
        while True:
            before = now()
            await asyncio.sleep(_LAG_EVERY_S)
            self.lag_s = max(self.lag_s, now() - before - _LAG_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
