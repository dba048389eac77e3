"""The leases' script on one server of Redis, called for many broadcasts in one round trip.

Rule: whatever happens, each call has an answer in time: the script's, or the error why there is none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from csn_rt.bus.leases import Ask, LeaseTimes
from csn_rt.bus.redis_url import server_of

log = structlog.get_logger(__name__)

_SCRIPT: Final = Path(__file__).with_name("leases.lua").read_text(encoding="utf-8")
_SHA: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_KEYS: Final = ("leases", "index", "people", "state")

# Redis answers in well under a millisecond; what takes this long is away, and callers wait for it.
TIMEOUT_S: Final = 1.0
# For everything: a connection that turns out to be closed, a script to load.
WHOLE_TIMEOUT_S: Final = 1.5


class LeaseServer:
    def __init__(self, url: str, times: LeaseTimes) -> None:
        self._server = server_of(url)
        self._times = times
        self.is_silent = False
        """It did not answer in time when it was asked last."""
        self._is_away = False
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            legacy_responses=True,
            socket_timeout=None,  # by its own the driver would wait in a way that can lose a cancellation
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=8,
        )

    async def call(self, calls: Sequence[Ask], within_s: float = WHOLE_TIMEOUT_S) -> list[Any]:
        was_silent = self.is_silent
        try:
            async with asyncio.timeout(within_s):
                answers = await self._call(calls)
        except (RedisError, OSError, TimeoutError) as exc:
            if not self._is_away:  # the first of a row says it all
                detail = str(exc)[:200]
                log.warning("leases_away", server=self._server, error=type(exc).__name__, detail=detail)
            self._is_away = True
            if not was_silent:  # else it had little time, and a probe may know better by now
                self.is_silent = isinstance(exc, TimeoutError | RedisTimeoutError)
            return [exc] * len(calls)
        self._is_away = self.is_silent = False
        return answers

    async def probe(self) -> None:
        """Find out, in all the time that an answer may take, whether it is still silent."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.ping()
            self.is_silent = False

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
            async with asyncio.timeout(TIMEOUT_S):
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
