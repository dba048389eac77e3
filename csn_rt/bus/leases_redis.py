"""Leases in Redis: one script call per broadcast, all in one round trip, on one server or a cluster."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import ResponseError

from csn_rt.bus.leases import Ask, Count, LeaseTimes
from csn_rt.bus.leases_cluster import LeaseCluster
from csn_rt.bus.leases_server import LeaseServer
from csn_rt.bus.redis_url import check_url, is_cluster

log = structlog.get_logger(__name__)

# A script runs alone in Redis: 500 leases take it about 2 ms, and nobody should wait longer than that.
_LEASES_PER_CALL: Final = 500


class RedisLeases:
    """Raises ValueError if the URL is none; see redis_url.py for its forms."""

    def __init__(self, url: str, times: LeaseTimes | None = None) -> None:
        times = times or LeaseTimes()
        self._servers: LeaseServer | LeaseCluster
        if is_cluster(url):
            self._servers = LeaseCluster(url, times)
        else:
            check_url(url)
            self._servers = LeaseServer(url, times)

    async def count(self, asks: Sequence[Ask]) -> list[Count | None]:
        calls = [part for ask in asks for part in _parts(ask)]
        answers = await self._servers.call(calls)
        counts: dict[str, Count | None] = {}
        for call, answer in zip(calls, answers, strict=True):
            has_failed = counts.get(call.broadcast_id, answer) is None
            counts[call.broadcast_id] = None if has_failed else _count(answer)
        return [counts[ask.broadcast_id] for ask in asks]

    async def close(self) -> None:
        await self._servers.close()


def _parts(ask: Ask) -> list[Ask]:
    """The ask in calls of a bounded size. What the last one answers holds for all."""
    if len(ask.holds) + len(ask.ends) <= _LEASES_PER_CALL:
        return [ask]
    size = _LEASES_PER_CALL
    # Only the last call may tell: half a crowd is no news.
    return [
        *(
            msgspec.structs.replace(ask, purpose="read", holds=(), ends=ask.ends[n : n + size])
            for n in range(0, len(ask.ends), size)
        ),
        *(
            msgspec.structs.replace(ask, purpose="read", ends=(), holds=ask.holds[n : n + size])
            for n in range(0, len(ask.holds), size)
        ),
        msgspec.structs.replace(ask, holds=(), ends=()),
    ]


def _count(answer: Any) -> Count | None:
    if isinstance(answer, Exception):
        if isinstance(answer, ResponseError):  # else its server was said to be away
            log.warning("leases_refused", error=type(answer).__name__, detail=str(answer)[:200])
        return None
    return msgspec.convert(answer, Count, strict=False)
