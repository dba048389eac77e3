"""Django Channels: one group in the in-memory layer, `group_send` to it."""

import sys
from typing import Any

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402 - reads the settings
from channels.layers import get_channel_layer  # noqa: E402

from tests.bench.peers.orders import Written, serve  # noqa: E402

TEXT = sys.argv[1]
members: set[str] = set()


class Room(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        members.add(self.channel_name)
        await self.accept()

    async def disconnect(self, _code: int) -> None:
        members.discard(self.channel_name)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


app = Written(Room.as_asgi())


async def broadcast(messages: int) -> None:
    layer = get_channel_layer()
    for _ in range(messages):
        app.expect(len(members))
        await layer.group_send("room", {"type": "chat.message", "text": TEXT})
        await app.wait()


serve(app, {"broadcast": broadcast})
