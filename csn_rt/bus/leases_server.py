"""The leases' script on one server of Redis, called for many broadcasts in one round trip.

Rule: whatever happens, each call has an answer in time: the script's, or the error why there is none.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError

from csn_rt.bus.leases import Ask, LeaseTimes
from csn_rt.bus.redis_url import server_of

log = structlog.get_logger(__name__)

_SCRIPT: Final = Path(__file__).with_name("leases.lua").read_text(encoding="utf-8")
_SHA: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_KEYS: Final = ("leases", "index", "people", "state")

# Redis answers in well under a millisecond; what takes this long is away, and callers wait for it.
TIMEOUT_S: Final = 1.0
# For everything: a connection that turns out to be closed, a script to load. Longer than one wait may take,
# so that the driver gives up first and leaves its connection clean.
WHOLE_TIMEOUT_S: Final = 1.5


class LeaseServer:
    def __init__(self, url: str, times: LeaseTimes) -> None:
        self._server = server_of(url)
        self._times = times
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            legacy_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=8,
        )

    async def call(self, calls: Sequence[Ask], within_s: float = WHOLE_TIMEOUT_S) -> list[Any]:
        try:
            async with asyncio.timeout(within_s):
                return await self._call(calls)
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("leases_away", server=self._server, error=type(exc).__name__, detail=str(exc)[:200])
            return [exc] * len(calls)

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
                keys = [f"{key_of(call.broadcast_id)}:{name}" for name in _KEYS]
                pipeline.evalsha(_SHA, len(keys), *keys, *_arguments(call, self._times))
            return await pipeline.execute(raise_on_error=False)


def key_of(broadcast_id: str) -> str:
    """How all keys of a broadcast begin. They share a hash tag, and so live on one server of a cluster."""
    return f"csn-viewers:{{{broadcast_id}}}"


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
