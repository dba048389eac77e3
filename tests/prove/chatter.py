"""Those who talk: each says one thing after another, insists on it, and takes some of it back."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from csn_rt.wire.roles import Role
from tests.bench.client import Refused
from tests.prove.checker import Ack, Ledger
from tests.prove.client import Diary, Guest, now
from tests.support.nodes import token

_RETRACTED = 1 / 12
_RETRACT_AFTER_S = 3.0


class Chatter(Guest):
    """Talks while `may_talk` is set. A moderator: they may say a hundred things in half a minute."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        diary: Diary,
        urls: Sequence[str],
        stream_id: str,
        *,
        role: Role = Role.MODERATOR,
    ) -> None:
        super().__init__(diary, name, urls, token=token(name, role))
        self.pending_since: float | None = None
        """When the message was sent first that is not acknowledged yet."""
        self.padding = ""
        """Added to every text."""
        self._ledger = ledger
        self._stream_id = stream_id
        self._said = 0
        self._retractions: set[asyncio.Task[None]] = set()

    @property
    def is_quiet(self) -> bool:
        return self.pending_since is None and not self._retractions

    async def talk(self, may_talk: asyncio.Event, every_s: float) -> None:
        await asyncio.sleep(random.uniform(0, every_s))
        while True:
            await may_talk.wait()
            said_at = now()
            await self.say()
            await asyncio.sleep(max(0.0, said_at + every_s * random.uniform(0.7, 1.3) - now()))

    async def say(self) -> None:
        """Return when it is acknowledged."""
        self._said += 1
        client_id = f"{self.name}-{self._said}"
        self.pending_since = sent_at = now()
        text = f"{self.name} says {self._said}{self.padding}"
        message = await self._insist_on(client_id, text)
        self.pending_since = None
        self._ledger.acknowledged(
            Ack(self.name, client_id, message["id"], message["sequence"], text, sent_at, acked_at=now())
        )
        if random.random() < _RETRACTED:
            task = asyncio.create_task(self._retract(message["id"]))
            self._retractions.add(task)
            task.add_done_callback(self._retractions.discard)

    async def _insist_on(self, client_id: str, text: str) -> dict[str, Any]:
        while True:
            answer = await self.insist("chat.send", stream_id=self._stream_id, text=text, client_id=client_id)
            if answer["sent"]:
                return answer["message"]
            # A node counts for itself: what is too fast here may have been said elsewhere.
            await asyncio.sleep(answer["drop"].get("retry_after_ms", 500) / 1000)

    async def _retract(self, message_id: str) -> None:
        await asyncio.sleep(random.uniform(0, _RETRACT_AFTER_S))
        self._ledger.retracting.add(message_id)
        try:
            await self.insist("chat.retract", message_id=message_id)
        except Refused as exc:
            self._ledger.find("lost", f"{message_id} was acknowledged, and to take it back: {exc}")
        else:
            self._ledger.retracted_at[message_id] = now()
