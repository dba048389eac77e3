"""A node, built in one readable order and taken down in reverse: database, bus, features, edge."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from csn_rt.bus.leases_redis import RedisLeases
from csn_rt.bus.redis import RedisBus
from csn_rt.core.identity import Identity
from csn_rt.db import migrate
from csn_rt.db.pool import Database, open_database
from csn_rt.edge.auth import Auth, Verifier
from csn_rt.edge.dispatch import Dispatcher
from csn_rt.edge.endpoint import PATH, WebSocketEndpoint
from csn_rt.edge.history import History
from csn_rt.edge.http import middleware, routes
from csn_rt.edge.joining import Doorkeeper, Snapshot
from csn_rt.edge.node import Node
from csn_rt.edge.telling import Teller
from csn_rt.edge.topics import Topics
from csn_rt.features.chat import Chat
from csn_rt.features.content import Content
from csn_rt.features.context import Context
from csn_rt.features.progress import Progress
from csn_rt.features.viewers.sessions import Sessions
from csn_rt.features.viewers.streams import Streams
from csn_rt.features.viewers.viewers import Viewers
from csn_rt.telemetry import metrics
from csn_rt.wire.names import Address, Area, Channel, parse_channel, public_name
from csn_rt.wire.published import Published
from csn_rt.wire.roles import Role

logger = structlog.get_logger(__name__)

CLOSE_S: Final = 5.0
"""A batch under way ends within the time-out of a command, 3 s."""


class App:
    """What serves: the ASGI application, and the drain that must come before its end."""

    def __init__(self, asgi: Starlette, node: Node, drain_s: float) -> None:
        self.asgi = asgi
        self.node = node
        self._drain_s = drain_s

    async def drain(self) -> None:
        """Say goodbye to every socket; new ones are refused from now on."""
        await self.node.drain(self._drain_s)


@asynccontextmanager
async def open_app(
    *,
    database_url: str,
    redis_url: str,
    secret: str,
    allowed_origins: Sequence[str] = (),
    drain_s: float = 20.0,
    node_id: str | None = None,
) -> AsyncIterator[App]:
    """Everything that serves, ready when the block begins; raises what the first connection raised."""
    node_id = node_id or secrets.token_hex(6)
    async with AsyncExitStack() as stack:
        db = await open_database(database_url)
        stack.push_async_callback(db.close)
        bus = RedisBus(redis_url, node_id)
        stack.push_async_callback(_closed, "bus", bus.close)
        leases = RedisLeases(redis_url)
        stack.push_async_callback(_closed, "leases", leases.close)

        interest = _Interest()
        topics = Topics(
            node_id=node_id,
            db=db,
            bus=bus,
            opened=interest.opened,
            closed=interest.closed,
        )
        ctx = Context(db, Teller(node_id=node_id, bus=bus, topics=topics))

        def tell_here(published: Sequence[Published]) -> None:
            for event in published:
                topics.accept(event)

        chat, content, progress = Chat(ctx), Content(ctx), Progress(ctx)
        viewers = interest.viewers = Viewers(ctx, leases=leases, tell_here=tell_here)
        sessions, streams = Sessions(ctx, viewers=viewers, node_id=node_id), Streams(ctx, viewers=viewers)
        for name, feature in (
            ("viewers", viewers),
            ("chat", chat),
            ("progress", progress),
            ("sessions", sessions),
        ):
            stack.push_async_callback(_closed, name, feature.close)

        verifier = Verifier(secret)
        door = Doorkeeper(
            db=db, topics=topics, stream_exists=content.is_stream, snapshots=_snapshots(progress, viewers)
        )
        node = Node(
            topics=topics,
            door=door,
            history=History(db, door.exists),
            verifier=verifier,
            dispatcher=Dispatcher([Auth(verifier), chat, content, progress, sessions, streams, viewers]),
        )

        def bus_changed(is_up: bool) -> None:
            topics.bus_changed()
            viewers.bus_changed(is_up)

        await bus.start(topics.receive, bus_changed)
        await viewers.start()
        await node.start()
        stack.push_async_callback(_closed, "node", node.close)
        metrics.watch_bus(bus)
        metrics.connections.set_function(lambda: len(node.sockets))
        metrics.subscriptions.set_function(lambda: topics.subscriptions)
        asgi = Starlette(
            routes=[
                WebSocketRoute(PATH, WebSocketEndpoint(node, allowed_origins)),
                *routes(node.dispatcher, verifier, _readiness(db, bus, node)),
            ],
            middleware=middleware(allowed_origins),
        )
        logger.info("node_started", node_id=node_id)
        yield App(asgi, node, drain_s)
        logger.info("node_stopping", node_id=node_id)


async def _closed(part: str, close: Callable[[], Awaitable[None]]) -> None:
    """Take one part down; one that does not end does not keep the others up."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await close()
    except TimeoutError:
        logger.error("part_not_closed", part=part)  # noqa: TRY400  where it hangs is not where this is raised


class _Numbered(msgspec.Struct):
    seq: int


class _Interest:
    """Which viewer counts somebody here looks at; told to the feature, which is made after the topics."""

    def __init__(self) -> None:
        self.viewers: Viewers

    def opened(self, channel: Channel) -> None:
        if (stream_id := _counted_stream(channel)) is not None:
            self.viewers.watch(stream_id)

    def closed(self, channel: Channel) -> None:
        if (stream_id := _counted_stream(channel)) is not None:
            self.viewers.unwatch(stream_id)


def _counted_stream(channel: Channel) -> str | None:
    address = parse_channel(public_name(channel))
    return address.subject if address is not None and address.area is Area.STREAM_VIEWERS else None


def _snapshots(progress: Progress, viewers: Viewers) -> dict[Area, Snapshot]:
    async def of_viewers(identity: Identity, address: Address) -> tuple[int, bytes]:
        data = await viewers.snapshot(address.subject, staff=identity.role.is_at_least(Role.MODERATOR))
        return msgspec.json.decode(data, type=_Numbered).seq, data

    async def of_user(identity: Identity, address: Address) -> tuple[int, bytes]:
        watching = [] if identity.is_anonymous else await progress.watching(address.subject)
        # Restrictions and held messages are chat moderation's, which adds its own part here.
        return 0, msgspec.json.encode({"continue_watching": watching, "restrictions": [], "held": []})

    return {Area.STREAM_VIEWERS: of_viewers, Area.USER: of_user}


def _readiness(db: Database, bus: RedisBus, node: Node) -> dict[str, Callable[[], Awaitable[bool]]]:
    """Whether this node can do its job right now, part by part."""

    async def database() -> bool:
        async with db.connection() as connection:
            return bool(await connection.fetchval("SELECT true"))

    async def schema() -> bool:
        async with db.connection() as connection:
            return await migrate.is_current(connection)

    async def is_heard() -> bool:
        return bus.is_up

    async def is_accepting() -> bool:
        return not node.is_draining

    return {"database": database, "schema": schema, "bus": is_heard, "accepting": is_accepting}
