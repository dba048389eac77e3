"""Talking to a session without a socket."""

import json
from typing import Any

from csn_rt.core.effects import Effect, Send
from csn_rt.core.identity import Identity
from csn_rt.core.session import Session
from csn_rt.wire import json_codec
from csn_rt.wire.protocol import Codec
from csn_rt.wire.roles import Role

ANN = Identity(user_id="ann", role=Role.USER)
BOB = Identity(user_id="bob", role=Role.USER)
FIRST_PING_S = 20.0


def frame(*commands: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(command).encode() for command in commands)


def connect(command_id: int = 1, token: str = "ann's token") -> dict[str, Any]:
    return {"id": command_id, "connect": {"token": token}}


def subscribe(command_id: int, channel: str = "catalog", **fields: Any) -> dict[str, Any]:
    return {"id": command_id, "subscribe": {"channel": channel, **fields}}


def unsubscribe(command_id: int, channel: str = "catalog") -> dict[str, Any]:
    return {"id": command_id, "unsubscribe": {"channel": channel}}


def rpc(command_id: int, method: str = "chat.send") -> dict[str, Any]:
    return {"id": command_id, "rpc": {"method": method, "data": {}}}


def opened(now: float = 0.0, codec: Codec = json_codec) -> Session:
    return Session(codec, client_id="c1", first_ping_s=FIRST_PING_S, now=now)


def connected(ttl_s: int | None = None) -> Session:
    """A session that was opened and connected at 0."""
    session = opened()
    session.receive(frame(connect()), 0.0)
    session.connected(ANN, 0.0, ttl_s=ttl_s)
    return session


def said(effects: list[Effect]) -> list[Any]:
    """Every message that is sent, decoded."""
    return [json.loads(effect.data) for effect in effects if isinstance(effect, Send)]


def plain(effects: list[Effect]) -> list[Effect]:
    """Every effect but the messages."""
    return [effect for effect in effects if not isinstance(effect, Send)]
