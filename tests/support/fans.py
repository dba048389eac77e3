"""A person with the official Python client, and what they saw."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from centrifuge import (
    Client,
    ClientEventHandler,
    ConnectedContext,
    DisconnectedContext,
    PublicationContext,
    SubscribedContext,
    Subscription,
    SubscriptionErrorContext,
    SubscriptionEventHandler,
    SubscriptionState,
    UnsubscribedContext,
)

WAIT_S = 15.0


class _Connection(ClientEventHandler):
    def __init__(self, fan: "Fan") -> None:
        self._fan = fan

    async def on_connected(self, ctx: ConnectedContext) -> None:
        self._fan.connects.append(ctx)

    async def on_disconnected(self, ctx: DisconnectedContext) -> None:
        self._fan.disconnects.append(ctx)

    async def on_connecting(self, ctx: Any) -> None:
        self._fan.reconnects.append(ctx)


class Room(SubscriptionEventHandler):
    """One subscription: what it was answered and what was pushed, in order."""

    def __init__(self) -> None:
        self.subscribed: list[SubscribedContext] = []
        self.unsubscribed: list[UnsubscribedContext] = []
        self.errors: list[SubscriptionErrorContext] = []
        self.pushed: list[Any] = []
        self.offsets: list[int] = []
        self.subscription: Subscription

    async def on_subscribed(self, ctx: SubscribedContext) -> None:
        self.subscribed.append(ctx)

    async def on_unsubscribed(self, ctx: UnsubscribedContext) -> None:
        self.unsubscribed.append(ctx)

    async def on_error(self, ctx: SubscriptionErrorContext) -> None:
        self.errors.append(ctx)

    async def on_publication(self, ctx: PublicationContext) -> None:
        self.pushed.append(meaning(ctx.pub.data))
        self.offsets.append(ctx.pub.offset)

    @property
    def texts(self) -> list[str]:
        """The chat messages seen, as text."""
        return [data["text"] for data in self.pushed if data["type"] == "chat.message"]

    @property
    def is_subscribed(self) -> bool:
        return self.subscription.state is SubscriptionState.SUBSCRIBED


class Fan:
    """`get_token` makes a client that refreshes; `use_protobuf` makes one that speaks Protobuf."""

    def __init__(
        self, ws_url: str, token: str = "", get_token: Callable[[], Any] | None = None, **options: Any
    ) -> None:
        self.connects: list[ConnectedContext] = []
        self.disconnects: list[DisconnectedContext] = []
        self.reconnects: list[Any] = []
        self.client = Client(
            f"{ws_url}/connection/websocket",
            events=_Connection(self),
            token=token,
            get_token=get_token,
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.3,
            **options,
        )

    async def __aenter__(self) -> "Fan":  # noqa: PYI034  nobody subclasses it
        await self.client.connect()
        await self.client.ready(WAIT_S)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.client.disconnect()

    async def move(self, ws_url: str) -> None:
        """Lose the connection and come back at another node."""
        self.client._address = f"{ws_url}/connection/websocket"
        await self.lose_connection()

    async def lose_connection(self) -> None:
        """As a phone does: without a goodbye."""
        seen = len(self.connects)
        conn = self.client._conn
        assert conn is not None
        conn.transport.abort()
        await until(lambda: len(self.connects) > seen)

    async def enter(self, channel: str, **options: Any) -> Room:
        room = Room()
        room.subscription = self.client.new_subscription(channel, events=room, **options)
        await room.subscription.subscribe()
        await until(lambda: room.is_subscribed or room.unsubscribed or room.errors)
        return room

    async def call(self, operation: str, **params: Any) -> Any:
        data = json.dumps(params).encode() if self.client._use_protobuf else params
        return meaning((await self.client.rpc(operation, data, timeout=WAIT_S)).data)


def meaning(data: Any) -> Any:
    """A payload, also of a client that speaks Protobuf and is therefore given bytes."""
    return json.loads(data) if isinstance(data, bytes) else data


async def until(is_so: Callable[[], Any], wait_s: float = WAIT_S) -> None:
    """Wait for what another side does; fails with the condition's own values if it never comes."""
    try:
        async with asyncio.timeout(wait_s):
            while not is_so():
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert is_so()
