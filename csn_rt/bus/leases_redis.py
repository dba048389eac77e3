"""Leases in Redis: one script call per broadcast, all of them in one round trip.

The keys of a broadcast share the hash tag {broadcast_id}, so that they live on one node of a cluster.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError

from csn_rt.bus.leases import Ask, Count, LeaseTimes

log = structlog.get_logger(__name__)

_SCRIPT: Final = Path(__file__).with_name("leases.lua").read_text(encoding="utf-8")
_SHA: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# Redis answers in well under a millisecond; what takes this long is away, and callers wait for it.
TIMEOUT_S: Final = 1.0
# For everything: a connection that turns out to be closed, a script to load. Longer than one wait may take,
# so that the driver gives up first and leaves its connection clean.
_WHOLE_TIMEOUT_S: Final = 1.5
# A script runs alone in Redis: 500 leases take it about 2 ms, and nobody should wait longer than that.
_LEASES_PER_CALL: Final = 500


class RedisLeases:
    def __init__(self, url: str, times: LeaseTimes | None = None) -> None:
        self._times = times or LeaseTimes()
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            legacy_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=8,
        )

    async def count(self, asks: Sequence[Ask]) -> list[Count | None]:
        calls = [part for ask in asks for part in _parts(ask)]
        try:
            async with asyncio.timeout(_WHOLE_TIMEOUT_S):
                answers = await self._call(calls)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("leases_away", error=type(exc).__name__, detail=str(exc)[:200])
            return [None] * len(asks)
        counts: dict[str, Count | None] = {}
        for call, answer in zip(calls, answers, strict=True):
            has_failed = counts.get(call.broadcast_id, answer) is None
            counts[call.broadcast_id] = None if has_failed else _count(answer)
        return [counts[ask.broadcast_id] for ask in asks]

    async def close(self) -> None:
        await self._redis.aclose()

    async def _call(self, calls: Sequence[Ask]) -> list[Any]:
        try:
            answers = await self._send(calls)
        except ConnectionLost:
            # A connection that was closed while it was idle says so only now. Asking again is harmless.
            answers = await self._send(calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._redis.script_load(_SCRIPT)
            answers = await self._send(calls)
        return answers

    async def _send(self, calls: Sequence[Ask]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                keys = [
                    f"csn-viewers:{{{call.broadcast_id}}}:{name}"
                    for name in ("leases", "index", "people", "state")
                ]
                pipeline.evalsha(_SHA, len(keys), *keys, *_arguments(call, self._times))
            return await pipeline.execute(raise_on_error=False)


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


def _arguments(ask: Ask, times: LeaseTimes) -> list[Any]:
    arguments: list[Any] = [
        ask.age_ms,
        times.settle_ms,
        times.pace_ms,
        times.gap_ms,
        times.pause_ms,
        times.keep_ms,
        ask.seq_floor,
        ask.peak_floor,
        ask.purpose,
        len(ask.holds),
    ]
    for hold in ask.holds:
        arguments += (hold.person, hold.session_id, hold.remaining_ms)
    for end in ask.ends:
        arguments += (end.person, end.session_id)
    return arguments


def _count(answer: Any) -> Count | None:
    if isinstance(answer, Exception):
        log.warning("leases_refused", error=type(answer).__name__, detail=str(answer)[:200])
        return None
    return msgspec.convert(answer, Count, strict=False)
