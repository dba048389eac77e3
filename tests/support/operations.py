"""A small table of operations and a feature behind it, to try the dispatcher and HTTP without a database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import httpx
import msgspec
from msgspec import Meta
from starlette.applications import Starlette

from csn_rt.edge.auth import Verifier
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.edge.http import middleware, routes
from csn_rt.edge.operations import Kind, Operation
from csn_rt.errors import Conflict, NotFound, TooMany, Unavailable
from csn_rt.features.context import Caller
from csn_rt.wire.roles import Role
from csn_rt.wire.types import Limit, Nothing, Params, Result
from tests.support.nodes import SECRET


class Things(Params, frozen=True, kw_only=True):
    names: list[str]
    numbers: Annotated[list[int], Meta(max_length=3)] | None = None
    after: datetime | None = None
    limit: Limit = 50
    is_new: bool = False


class ThingSave(Params, frozen=True, kw_only=True):
    name: Annotated[str, Meta(max_length=10)]
    age_ms: int = 0


class Seen(Result, frozen=True, kw_only=True):
    """What the handler got, to be looked at by the test."""

    user_id: str
    role: str
    via: str
    request_id: str
    user_agent: str
    params: dict[str, Any]


def seen(caller: Caller, params: msgspec.Struct) -> Seen:
    return Seen(
        user_id=caller.user_id,
        role=caller.identity.role,
        via=caller.via,
        request_id=caller.request_id,
        user_agent=caller.user_agent,
        params=msgspec.to_builtins(params),
    )


class Shop:
    def __init__(self) -> None:
        self.saved: list[str] = []

    async def list(self, caller: Caller, params: Things) -> Seen:
        """What there is."""
        return seen(caller, params)

    async def save(self, caller: Caller, params: ThingSave) -> Seen:
        """Keep a thing."""
        self.saved.append(params.name)
        return seen(caller, params)

    async def open(self, caller: Caller | None, params: Nothing) -> Nothing:
        """Nobody is asked who he is."""
        return params

    async def fail(self, caller: Caller, params: ThingSave) -> Nothing:
        """Fail in the way that is asked for."""
        match params.name:
            case "missing":
                raise NotFound("no such thing")
            case "taken":
                raise Conflict("somebody was faster", code="already_taken", by="bob", version=3)
            case "hurried":
                raise TooMany("too fast", retry_after_ms=1_500)
            case "away":
                raise Unavailable("the database does not answer; try again")
            case "slow":
                await asyncio.sleep(60)
        raise ValueError("SELECT secret FROM /etc/passwd")


def _operation(
    name: str, kind: Kind, least: Role | None, handler: Callable[..., Awaitable[Any]]
) -> Operation:
    return Operation(name=name, kind=kind, least=least, feature=Shop, handler=handler)


TABLE = {
    operation.name: operation
    for operation in (
        _operation("thing.list", "query", Role.ANONYMOUS, Shop.list),
        _operation("thing.inspect", "query", Role.MODERATOR, Shop.list),
        _operation("thing.save", "mutation", Role.USER, Shop.save),
        _operation("thing.start", "mutation", Role.ANONYMOUS, Shop.save),
        _operation("thing.open", "mutation", None, Shop.open),
        _operation("thing.fail", "mutation", Role.USER, Shop.fail),
    )
}


async def ready() -> bool:
    return True


@asynccontextmanager
async def http_client(*, readiness=None, origins=(), dispatcher=None, verifier=None):
    """A client of an application with the small table, or with the dispatcher given."""
    verifier = verifier or Verifier(SECRET)
    dispatcher = dispatcher or Dispatcher([Shop()], TABLE)
    app = Starlette(
        routes=routes(dispatcher, verifier, readiness or {"database": ready}),
        middleware=middleware(origins),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://node.test") as client:
        yield client
