"""Chat: what is sent, what is answered, and what everyone in the room is told."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from csn_rt.wire.events import Event
from csn_rt.wire.roles import Role
from csn_rt.wire.types import Id, Limit, Milliseconds, Params, Result

DropCode = Literal[
    "banned",
    "timed_out",
    "slow_mode",
    "rate_limited",
    "duplicate",
    "held",
    "blocked_term",
    "chat_frozen",
    "chat_ended",
    "mode_not_met",
    "text_invalid",
]

ChatSequence = Annotated[
    int,
    Meta(
        ge=1,
        le=2**53 - 1,
        description="A message's place in its stream: the offset of its event on the chat channel.",
    ),
]
ClientId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        # The last part is for `$`, which in some dialects also matches before a line break at the end.
        pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)",
        description="The sender's own key of a message: a retry with the same key is the same message.",
    ),
]


class ChatUser(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message's author as he was when he sent it."""

    id: str
    name: str
    role: Role
    avatar_url: str | None = None


class ChatMessage(Event, frozen=True, kw_only=True, tag="chat.message"):
    """Something was said. Answers and history show a message in the same shape as it is pushed in."""

    id: str
    stream_id: str
    sequence: int
    """Its place in the stream, and the offset of this event."""
    user: ChatUser
    text: str
    """Plain text: show it as it is, never as HTML."""
    sent_at: datetime
    client_id: str | None = None


class ChatDeleted(Event, frozen=True, kw_only=True, tag="chat.deleted"):
    """A message is no longer to be shown."""

    id: str
    stream_id: str


class ChatSend(Params, frozen=True, kw_only=True):
    stream_id: Id
    text: str
    """1 to 500 code points after white space at the ends is removed."""
    client_id: ClientId


class Drop(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a message was not said."""

    code: DropCode
    message: str
    retry_after_ms: Milliseconds | None = None
    """When the same message may be tried again; absent where waiting does not help."""


class ChatSent(Result, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of `message` and `drop`."""

    sent: bool
    message: ChatMessage | None = None
    drop: Drop | None = None


class ChatHistory(Params, frozen=True, kw_only=True):
    stream_id: Id
    before: ChatSequence | None = None
    """Only messages that come before this sequence."""
    limit: Limit = 50


class ChatPage(Result, frozen=True, kw_only=True):
    items: list[ChatMessage]
    """Newest first."""
    next: int | None
    """`before` of the page with older messages; null: there are none."""


class ChatRetract(Params, frozen=True, kw_only=True):
    message_id: Id


class ChatRetracted(Result, frozen=True, kw_only=True):
    id: str
    stream_id: str
    state: Literal["deleted"]
