"""Which server of a cluster owns which of the 16,384 slots, as the cluster itself says.

Rule 1: one question at a time. Questions that bring nothing new come after pauses that grow to a second.
Rule 2: asked first is who said that the map is old, then others that are known, and when none of them answers
        the servers that the URL names.
Rule 3: a server that calls the cluster unwell may be cut off from the others and tell what is long over. It
        is believed only when nobody says better; of several such, who knows of the latest election.
"""

import asyncio
import random
import re
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, TryAgainError

from csn_rt.bus.redis_connection import back_off_s, connect, new_connection, read_reply
from csn_rt.bus.redis_url import address, read_cluster_url

log = structlog.get_logger(__name__)

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS

REFUSALS: Final = (AskError, TryAgainError, ClusterDownError)
"""What a server of a cluster answers when a slot is not its own, or not now; MOVED is a kind of ASK."""

# It takes a few milliseconds; a server that does not answer must not keep the next from being asked.
_ANSWER_S: Final = 0.5
_MOST_ASKED: Final = 4
_PAUSE_S: Final = 0.05
# After that long without a question the next one has no pause before it.
_QUIET_S: Final = 2.0
_EPOCH: Final = re.compile(rb"cluster_current_epoch:(\d+)")


class SlotMap(msgspec.Struct, frozen=True):
    owners: list[str | None]
    """The address of each slot's master."""
    masters: frozenset[str]
    servers: frozenset[str]
    """Masters and replicas."""

    @property
    def is_whole(self) -> bool:
        return None not in self.owners

    def find_name(self, master: str, prefix: bytes, suffix: bytes) -> bytes:
        """A name whose slot that master owns."""
        names = (prefix + b"{%d}" % number + suffix for number in count())
        return next(name for name in names if self.owners[key_slot(name)] == master)


def read_slots(ranges: Sequence[Any], asked_host: str) -> SlotMap:
    """The answer to CLUSTER SLOTS; `asked_host` is who gave it, for servers that do not know their own."""
    owners: list[str | None] = [None] * SLOTS
    servers: set[str] = set()
    for first, last, *nodes in ranges:
        named = [node for node in nodes if node[0] != b"?"]  # has no host name, although that is asked for
        found = [address(host.decode() if host else asked_host, port) for host, port, *_ in named]
        servers.update(found)
        if named and named[0] is nodes[0]:  # the master comes first
            owners[first : last + 1] = [found[0]] * (last + 1 - first)
    return SlotMap(owners, frozenset(owner for owner in owners if owner), frozenset(servers))


class _View(msgspec.Struct, frozen=True):
    """How one server sees the cluster."""

    slots: SlotMap
    is_well: bool
    epoch: int


class Slots:
    """The newest map; None before the first answer."""

    def __init__(self, url: str) -> None:
        self._url = read_cluster_url(url)
        self.map: SlotMap | None = None
        self._is_asking = asyncio.Lock()
        self._asked_at = -_QUIET_S
        self._attempts = 0
        self._silent: set[str] = set()
        """Who did not answer when asked last: of a row of failures, the first says it all."""

    def server_url(self, address: str) -> str:
        return self._url.server(address)

    async def refresh(self, seen: SlotMap | None, complainer: str | None = None) -> SlotMap | None:
        """A map that was asked for after `seen` turned out to be old. It may say the same."""
        async with self._is_asking:
            if self.map is not seen:
                return self.map
            await self._pause()
            view = await self._ask_around(complainer)
            if view is not None and view.slots != self.map:
                self.map = view.slots
                self._attempts = 0
                self._silent.clear()
                masters = sorted(view.slots.masters)
                log.info("cluster_map_changed", masters=masters, is_whole=view.slots.is_whole)
            return self.map

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_at > _QUIET_S:
            self._attempts = 0
        else:
            due_at = self._asked_at + _PAUSE_S + back_off_s(self._attempts)
            await asyncio.sleep(due_at - loop.time())
            self._attempts += 1
        self._asked_at = loop.time()

    async def _ask_around(self, complainer: str | None) -> _View | None:
        known = _shuffled(self.map.servers if self.map else ())
        if complainer is not None:
            known = [complainer, *(server for server in known if server != complainer)]
        views: list[_View] = []
        for asked in known[:_MOST_ASKED]:
            if (view := await self._ask(asked)) is not None:
                views.append(view)
                if view.is_well:
                    break
        for asked in _shuffled(self._url.seeds):
            if not views and (view := await self._ask(asked)) is not None:
                views.append(view)
        return max(views, key=lambda view: (view.is_well, view.epoch), default=None)

    async def _ask(self, asked: str) -> _View | None:
        connection = new_connection(self._url.server(asked))
        try:
            async with asyncio.timeout(_ANSWER_S):
                ranges, state = await _exchange(connection)
            self._silent.discard(asked)
            epoch = _EPOCH.search(state)
            slots = read_slots(ranges, asked.rpartition(":")[0].strip("[]"))
            return _View(
                slots,
                is_well=b"cluster_state:ok" in state and slots.is_whole,
                epoch=int(epoch[1]) if epoch else 0,
            )
        except Exception as exc:  # noqa: BLE001  whatever it is, there are others to ask
            if asked not in self._silent:
                log.warning("cluster_does_not_answer", server=asked, error=f"{type(exc).__name__}: {exc}")
                self._silent.add(asked)
            return None
        finally:
            await connection.disconnect(nowait=True)


async def _exchange(connection: AbstractConnection) -> tuple[Sequence[Any], bytes]:
    await connect(connection)
    questions = connection.pack_commands([(b"CLUSTER", b"SLOTS"), (b"CLUSTER", b"INFO")])
    await connection.send_packed_command(questions, check_health=False)
    return await read_reply(connection), await read_reply(connection)


def _shuffled(addresses: Iterable[str]) -> list[str]:
    """Not all nodes ask the same server."""
    found = list(addresses)
    return random.sample(found, len(found))
