"""What every HTTP answer has in common, whatever the request was.

Rule 1: a failure is `{"error": {"code", "message", …details}}` with its status; nothing of a bug but its
        request id is told.
Rule 2: every answer carries its request's id (the caller's own, if it is a decent one) and headers that keep
        browsers from guessing, framing and caching.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from csn_rt.edge.dispatch import Failed
from csn_rt.errors import NotFound, Refused, Unauthorized, Unavailable
from csn_rt.features.context import new_id

log = structlog.get_logger(__name__)

Answer = Callable[[Request, str], Awaitable[Response]]
"""From a request and its id to an answer; may raise Refused."""

REQUEST_ID: Final = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_UNAVAILABLE_RETRY_S: Final = 1
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class MethodNotAllowed(Refused):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class Endpoint:
    """An ASGI application around an Answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request_id = _request_id(request.headers)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                response = await self._answer(request, request_id)
            except Refused as exc:
                response = refusal(exc)
            except ClientDisconnect:
                return
            except Failed:
                response = _failure(request_id)
            except Exception:
                log.exception("request_failed", method=request.method)
                response = _failure(request_id)
        response.headers[REQUEST_ID] = request_id
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)


class Page(Endpoint):
    """An Endpoint that is only read."""

    def __init__(self, answer: Answer) -> None:
        async def read(request: Request, request_id: str) -> Response:
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed("only GET is answered here", "GET, HEAD")
            return await answer(request, request_id)

        super().__init__(read)


async def answer_not_found(_request: Request, _request_id: str) -> Response:
    raise NotFound("there is nothing at this address")


def json_response(content: Any, status: int = 200) -> Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json")


def refusal(exc: Refused) -> Response:
    response = json_response({"error": {"code": exc.code, "message": exc.message, **exc.details}}, exc.status)
    if isinstance(exc, MethodNotAllowed):
        response.headers["allow"] = exc.allow
    if isinstance(exc, Unauthorized):
        response.headers["www-authenticate"] = "Bearer"
    if (retry_s := _retry_s(exc)) is not None:
        response.headers["retry-after"] = str(retry_s)
    return response


def _retry_s(exc: Refused) -> int | None:
    retry_after_ms = exc.details.get("retry_after_ms")
    if isinstance(retry_after_ms, int):
        return -(-retry_after_ms // 1000)
    return _UNAVAILABLE_RETRY_S if isinstance(exc, Unavailable) else None


def _failure(request_id: str) -> Response:
    message = "something went wrong on our side"
    return json_response({"error": {"code": "internal", "message": message, "request_id": request_id}}, 500)


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else new_id()
