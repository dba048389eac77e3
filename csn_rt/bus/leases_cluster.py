"""The leases' script on a Redis Cluster: each broadcast is asked for where its slot is.

Rule 1: one round trip per server, all at the same time. One that does not answer spoils only its own, and
        the map is looked at in the background: others do not wait for that.
        Who did not answer last time is waited for only shortly, until it answers again.
Rule 2: what a server refuses is asked again after another look at the map, a few times and not for long,
        because the others wait; with it all calls of that broadcast, so that the last one answers for all.
Rule 3: ASK is not followed. Of the keys of a broadcast some are missing while nobody watches, and then both
        ends of a slot that is moving refuse. It has no answer until its keys are moved.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.crc import key_slot
from redis.exceptions import ClusterDownError, ResponseError

from csn_rt.bus.leases import Ask, LeaseTimes
from csn_rt.bus.leases_server import WHOLE_TIMEOUT_S, LeaseServer, key_of
from csn_rt.bus.redis_slots import REFUSALS, SlotMap, Slots

_ATTEMPTS: Final = 4
_RETRY_S: Final = 0.5
# What has come in time from other servers must not be lost with what has not.
_MARGIN_S: Final = 0.05
# Ample for an answer, and little for those who wait for others'.
_SILENT_S: Final = 0.1


class LeaseCluster:
    def __init__(self, url: str, times: LeaseTimes) -> None:
        self._slots = Slots(url)
        self._times = times
        self._servers: dict[str, LeaseServer] = {}
        self._looking: asyncio.Task[None] | None = None

    async def call(self, calls: Sequence[Ask]) -> list[Any]:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        ends_at = began_at + WHOLE_TIMEOUT_S
        answers: list[Any] = [TimeoutError("no server of the cluster answers")] * len(calls)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(ends_at):
                found = self._slots.map or await self._slots.refresh(None)
                due: Sequence[int] = range(len(calls))
                for _ in range(_ATTEMPTS):
                    if found is None:
                        break
                    await self._ask(found, calls, due, answers, ends_at - loop.time() - _MARGIN_S)
                    refused = [n for n in due if isinstance(answers[n], REFUSALS)]
                    if not refused:
                        break
                    again = {calls[n].broadcast_id for n in refused}
                    due = [n for n, call in enumerate(calls) if call.broadcast_id in again]
                    async with asyncio.timeout_at(began_at + _RETRY_S):
                        found = await self._slots.refresh(found, self._owner(found, calls[refused[0]]))
        if any(_is_misplaced(answer) for answer in answers):
            self._look()
        return answers

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def _ask(
        self, found: SlotMap, calls: Sequence[Ask], due: Iterable[int], answers: list[Any], within_s: float
    ) -> None:
        """Fill in the answers of the calls that are due."""
        old = self._keep_servers(found)
        parts: dict[LeaseServer, list[int]] = {}
        for n in due:
            if (owner := self._owner(found, calls[n])) is not None:
                parts.setdefault(self._servers[owner], []).append(n)
            else:
                answers[n] = ClusterDownError("nobody owns the slot")
        try:
            await asyncio.gather(
                *(_fill(server, calls, part, answers, within_s) for server, part in parts.items())
            )
        finally:
            await asyncio.gather(*(server.close() for server in old))

    def _keep_servers(self, found: SlotMap) -> list[LeaseServer]:
        """Have those of the map; answers what is to be closed. It does not wait: others ask meanwhile."""
        for address in found.masters - self._servers.keys():
            self._servers[address] = LeaseServer(self._slots.server_url(address), self._times)
        is_newest = found is self._slots.map  # else it cannot say who is old
        old = self._servers.keys() - found.masters if is_newest else ()
        return [self._servers.pop(address) for address in old]

    def _owner(self, found: SlotMap, call: Ask) -> str | None:
        return found.owners[key_slot(key_of(call.broadcast_id).encode())]

    def _look(self) -> None:
        """A server is away: perhaps another one has its slots already, which the next call will know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_around(), name="leases-look")

    async def _look_around(self) -> None:
        silent = [server for server in self._servers.values() if server.is_silent]
        await asyncio.gather(self._slots.refresh(self._slots.map), *(server.probe() for server in silent))


async def _fill(
    server: LeaseServer, calls: Sequence[Ask], part: Sequence[int], answers: list[Any], within_s: float
) -> None:
    within_s = min(within_s, _SILENT_S) if server.is_silent else within_s
    told = await server.call([calls[n] for n in part], within_s)
    for n, answer in zip(part, told, strict=True):
        answers[n] = answer


def _is_misplaced(answer: Any) -> bool:
    """Whether another server might answer; an error of the script is none of this."""
    return isinstance(answer, REFUSALS) or (
        isinstance(answer, Exception) and not isinstance(answer, ResponseError)
    )
