"""HTTP: the operations of the table, what operators ask for, and a page that says what this is.

Rule 1: a mutation is POST with a JSON object (whatever content type it claims, so that a beacon works); a
        query is GET with a query string; any other verb is 405.
Rule 2: a token that is given must be good. Without one, queries that need no more than an anonymous caller
        and are not about the caller are open; all else that needs an identity is 401.
Rule 3: reading a body ends: by `MAX_BODY_BYTES` and by `BODY_TIMEOUT_S`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from csn_rt.core.identity import Identity
from csn_rt.edge.answers import (
    REQUEST_ID,
    Endpoint,
    MethodNotAllowed,
    Page,
    answer_not_found,
    json_response,
)
from csn_rt.edge.auth import TokenExpired, TokenInvalid, Verifier
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.edge.health import Check, Readiness, answer_health, answer_metrics
from csn_rt.edge.operations import Operation
from csn_rt.edge.page import answer_page
from csn_rt.edge.query_string import list_fields, parse_pairs
from csn_rt.errors import NotFound, Refused, Unauthorized
from csn_rt.features.context import Caller
from csn_rt.wire.roles import Role

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024
"""As much as one message of the socket may have."""
BODY_TIMEOUT_S: Final = 10.0
_MAX_USER_AGENT: Final = 500
_PREFLIGHT_S: Final = 600
"""For how long a browser may remember that it was allowed."""


class TooLarge(Refused):
    status = 413
    code = "too_large"


class TooSlow(Refused):
    status = 408
    code = "too_slow"


class Operations:
    """`/v1/<operation>`."""

    def __init__(self, dispatcher: Dispatcher, verifier: Verifier) -> None:
        self._dispatcher = dispatcher
        self._verifier = verifier
        self._lists: dict[str, frozenset[str]] = {}

    async def answer(self, request: Request, request_id: str) -> Response:
        operation = self._dispatcher.find(request.path_params["operation"])
        if operation is None:
            raise NotFound("there is no such operation")
        _check_verb(request.method, operation)
        caller = self._caller(request, operation, request_id)
        raw = self._query(request, operation) if operation.kind == "query" else await _body(request)
        return json_response(await self._dispatcher.call(operation, caller, raw))

    def _caller(self, request: Request, operation: Operation, request_id: str) -> Caller | None:
        identity = self._identity(request, operation)
        if identity is None:
            return None
        return Caller(
            identity=identity,
            via="http",
            request_id=request_id,
            ip=request.client.host if request.client else "",
            user_agent=request.headers.get("user-agent", "")[:_MAX_USER_AGENT],
        )

    def _identity(self, request: Request, operation: Operation) -> Identity | None:
        given = request.headers.get("authorization")
        if given is None:
            return self._verifier.issue_anonymous()[0] if _is_open(operation) else None
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("the Authorization header must be `Bearer` and a token")
        try:
            return self._verifier.verify(token.strip())
        except TokenExpired:
            raise Unauthorized("the token has expired", code="token_expired") from None
        except TokenInvalid as exc:
            log.info("token_refused", reason=exc.reason)
            raise Unauthorized("the token is not valid") from None

    def _query(self, request: Request, operation: Operation) -> Mapping[str, Any]:
        lists = self._lists.get(operation.name)
        if lists is None:
            lists = self._lists[operation.name] = list_fields(operation.params)
        return parse_pairs(request.query_params.multi_items(), lists)


def routes(dispatcher: Dispatcher, verifier: Verifier, readiness: Mapping[str, Check]) -> list[Route]:
    """Every route but the WebSocket's. The last one answers all that is not found, so add others before."""
    return [
        Route("/", Page(answer_page)),
        Route("/healthz", Page(answer_health)),
        Route("/readyz", Page(Readiness(readiness).answer)),
        Route("/metrics", Page(answer_metrics)),
        Route("/v1/{operation}", Endpoint(Operations(dispatcher, verifier).answer)),
        Route("/{path:path}", Endpoint(answer_not_found)),
    ]


def middleware(allowed_origins: Sequence[str]) -> list[Middleware]:
    """What lets scripts of other origins call. No cookie is ever read, so such a script can send no more than
    what it knows: a token.
    """
    if not allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", REQUEST_ID],
            expose_headers=[REQUEST_ID, "retry-after"],
            max_age=_PREFLIGHT_S,
        )
    ]


def _check_verb(method: str, operation: Operation) -> None:
    verb, allow = ("GET", "GET, HEAD") if operation.kind == "query" else ("POST", "POST")
    if method not in allow.split(", "):
        raise MethodNotAllowed(f"{operation.name} is a {operation.kind}: use {verb}", allow)


def _is_open(operation: Operation) -> bool:
    return operation.kind == "query" and operation.least is Role.ANONYMOUS and not operation.is_personal


async def _body(request: Request) -> bytes:
    too_large = TooLarge(f"a body may have {MAX_BODY_BYTES} bytes at most")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise TooSlow("the body did not come in time") from None
    return bytes(body)
