"""Many subscribers of one chat, and many who talk in it: what each saw, and what was acknowledged."""

import asyncio
from collections.abc import Sequence

import msgspec

from csn_rt.wire.names import Channel
from csn_rt.wire.roles import Role
from tests.bench.client import LoadClient, Refused, connect
from tests.support.nodes import token


class Member:
    """One subscriber, who keeps the position and comes back with it, as an SDK does."""

    def __init__(self, ws_url: str, channel: Channel) -> None:
        self.ws_url = ws_url
        self.channel = channel
        self.offsets: list[int] = []
        self.ids: list[str] = []
        self.times_recovered = 0
        self._epoch = ""
        self._client: LoadClient | None = None

    async def enter(self) -> None:
        client = await connect(self.ws_url)
        client.on_push = self._pushed
        self._client = client
        position = {"recover": True, "epoch": self._epoch, "offset": self._position} if self._epoch else {}
        early: list[bytes] = []
        client.on_push = early.append
        reply = await client.subscribe(self.channel, **position)
        if self._epoch:
            assert reply.get("recovered"), reply
            self.times_recovered += 1
            for publication in reply.get("publications", []):
                self._took(publication)
        else:
            self._position = reply.get("offset", 0)
        self._epoch = reply["epoch"]
        client.on_push = self._pushed
        for line in early:
            self._pushed(line)

    async def wait_lost(self) -> None:
        assert self._client is not None
        await self._client.closed

    def leave(self) -> None:
        if self._client is not None:
            self._client.close()

    def _pushed(self, line: bytes) -> None:
        push = msgspec.json.decode(line)["push"]
        if "pub" in push:
            self._took(push["pub"])

    def _took(self, publication: dict) -> None:
        self._position = publication["offset"]
        self.offsets.append(publication["offset"])
        self.ids.append(publication["data"]["id"])


async def make_crowd(ws_urls: Sequence[str], channel: Channel, size: int) -> list[Member]:
    """`size` subscribers at each node."""
    members = [Member(ws_url, channel) for ws_url in ws_urls for _ in range(size)]
    await asyncio.gather(*[member.enter() for member in members])
    return members


class Talker:
    """Sends again with the same client_id, to another node if it must, until it is acknowledged."""

    def __init__(self, ws_urls: Sequence[str], name: str, stream_id: str) -> None:
        self.acknowledged: list[str] = []
        self._ws_urls = list(ws_urls)
        # Moderators: they may say a hundred things in half a minute.
        self._token = token(name, Role.MODERATOR)
        self._name = name
        self._stream_id = stream_id

    async def talk(self, count: int) -> None:
        client: LoadClient | None = None
        for n in range(count):
            while True:
                try:
                    client = client or await connect(self._ws_urls[0], self._token)
                    answer = await client.rpc(
                        "chat.send",
                        stream_id=self._stream_id,
                        text=f"{self._name} {n}",
                        client_id=f"{self._name}-{n}",
                    )
                except (OSError, Refused, TimeoutError):
                    client = None
                    self._ws_urls.append(self._ws_urls.pop(0))
                    await asyncio.sleep(0.05)
                    continue
                if not answer["sent"]:
                    # Another node has not heard of what this person said elsewhere, but it counts for itself.
                    await asyncio.sleep(answer["drop"].get("retry_after_ms", 500) / 1000)
                    continue
                self.acknowledged.append(answer["message"]["id"])
                break
        if client is not None:
            client.close()
