"""What operators and their machines ask: does the process live, can it do its job, what does it count.

Rule 1: every check ends within `CHECK_TIMEOUT_S`; one that fails, raises or takes longer makes the node not
        ready. What was wrong goes into the log.
Rule 2: however many ask at the same time, the checks run once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response

from csn_rt.edge.answers import json_response
from csn_rt.telemetry import metrics

log = structlog.get_logger(__name__)

CHECK_TIMEOUT_S: Final = 2.0

Check = Callable[[], Awaitable[bool]]
Outcome = Literal["ok", "failed", "timed out"]


async def answer_health(_request: Request, _request_id: str) -> Response:
    return json_response({"status": "alive"})


async def answer_metrics(request: Request, _request_id: str) -> Response:
    body, content_type = metrics.render(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


class Readiness:
    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._running: asyncio.Task[dict[str, Outcome]] | None = None

    async def answer(self, _request: Request, _request_id: str) -> Response:
        if self._running is None:
            self._running = asyncio.create_task(self._run())
            self._running.add_done_callback(self._ended)
        outcomes = await asyncio.shield(self._running)
        is_ready = all(outcome == "ok" for outcome in outcomes.values())
        status = "ready" if is_ready else "not ready"
        return json_response({"status": status, "checks": outcomes}, 200 if is_ready else 503)

    def _ended(self, _task: object) -> None:
        self._running = None

    async def _run(self) -> dict[str, Outcome]:
        outcomes = await asyncio.gather(*(_check(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, outcomes, strict=True))


async def _check(name: str, check: Check) -> Outcome:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return "ok" if await check() else "failed"
    except TimeoutError:
        return "timed out"
    except Exception as exc:  # noqa: BLE001  whatever it is, the answer is no
        log.warning("check_failed", check=name, error=f"{type(exc).__name__}: {exc}")
        return "failed"
