"""The Centrifuge client protocol v2: commands, replies and pushes, the same for every encoding.

A command is one struct with the field of its request set, as on the wire. Only what this server reads is
declared: all else that a client sends (`delta`, `profile`, subscription tokens …) is unknown, and ignored.
Payloads (`data`) are `msgspec.Raw`: bytes that are carried and not looked at.

In a reply, a field without a default is written even when it is zero or empty; one with a default is left out
when it has that value; nothing is ever null. SDKs crash on what is missing as well as on null.
"""

from collections.abc import Callable, Hashable
from typing import Annotated, Final, Protocol

from msgspec import Meta, Raw, Struct

from csn_rt.wire.codes import CloseCode, ErrorCode, UnsubscribeCode

MAX_HISTORY: Final = 300
"""How many publications one reply carries at most (the ecosystem's cap)."""

MAX_COMMANDS: Final = 1_000
"""How many commands one frame carries at most: three times what a session takes at once before it closes for
too many. Each may be a byte or two, and a full frame of them would hold up the node."""

CommandId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# On the wire an offset is a uint64; ours are PostgreSQL's bigint, and JavaScript counts to 2^53.
Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]

NO_PAYLOAD: Final = Raw()

FLAG_REJECT_UNRECOVERED: Final = 2
"""Bit of `Subscribe.flag`: answer error 112 when the position cannot be recovered."""


class Malformed(Exception):
    """A frame that is not a sequence of commands; the message says why."""


# Commands


class StreamPosition(Struct, frozen=True):
    """Where a client stands in a channel. An offset alone is not enough: the numbering may begin anew."""

    offset: Offset = 0
    epoch: str = ""


class Connect(Struct, frozen=True):
    token: str = ""


class Ping(Struct, frozen=True):
    """A client's own ping. No SDK sends it."""


class Subscribe(Struct, frozen=True):
    channel: str = ""
    recover: bool = False
    epoch: str = ""
    offset: Offset = 0
    tf: Raw = NO_PAYLOAD
    """A filter by tags; not supported, so its presence is refused."""
    flag: int = 0
    type: int = 0
    """0 for a stream; maps and shared polls are not supported."""


class Unsubscribe(Struct, frozen=True):
    channel: str = ""


class Publish(Struct, frozen=True):
    channel: str = ""


class Presence(Struct, frozen=True):
    channel: str = ""


class PresenceStats(Struct, frozen=True):
    channel: str = ""


class History(Struct, frozen=True):
    channel: str = ""
    limit: Limit = 0
    """0 for the position only, negative for as many as there are."""
    since: StreamPosition | None = None
    """Exclusive."""
    reverse: bool = False


class Rpc(Struct, frozen=True):
    method: str = ""
    data: Raw = NO_PAYLOAD


class SendMessage(Struct, frozen=True):
    """A message that wants no reply."""


class Refresh(Struct, frozen=True):
    token: str = ""


class SubRefresh(Struct, frozen=True):
    channel: str = ""
    token: str = ""


Request = (
    Connect
    | Ping
    | Subscribe
    | Unsubscribe
    | Publish
    | Presence
    | PresenceStats
    | History
    | Rpc
    | SendMessage
    | Refresh
    | SubRefresh
)


class Command(Struct, frozen=True):
    """What a client sends. With no id and no request it is a pong."""

    id: CommandId = 0
    connect: Connect | None = None
    ping: Ping | None = None
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    publish: Publish | None = None
    presence: Presence | None = None
    presence_stats: PresenceStats | None = None
    history: History | None = None
    rpc: Rpc | None = None
    send: SendMessage | None = None
    refresh: Refresh | None = None
    sub_refresh: SubRefresh | None = None

    @property
    def request(self) -> Request | None:
        """The request that counts: the first that is set, in the protocol's order."""
        return (
            self.connect
            or self.ping
            or self.subscribe
            or self.unsubscribe
            or self.publish
            or self.presence
            or self.presence_stats
            or self.history
            or self.rpc
            or self.send
            or self.refresh
            or self.sub_refresh
        )


# Replies


def payload(data: bytes | None) -> Raw | None:
    """A payload that may be left out: None if there is nothing."""
    return Raw(data) if data else None


class Error(Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    temporary: bool = False
    """Whether the client should try again by itself, with back-off."""

    def __post_init__(self) -> None:
        if not (self.code and self.message):
            raise ValueError("an SDK takes an error without code or message for a success, or crashes on it")

    @classmethod
    def of(cls, code: ErrorCode) -> "Error":
        return cls(code.code, code.message, code.temporary)


class Publication(Struct, frozen=True, omit_defaults=True):
    data: Raw
    offset: int = 0


class Connected(Struct, frozen=True, kw_only=True, omit_defaults=True):
    client: str
    version: str
    expires: bool = False
    ttl: int = 0
    """Seconds; at least 1 if `expires`, for a zero would be left out."""
    data: Raw | None = None
    ping: int
    pong: bool


class Subscribed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    recoverable: bool = False
    epoch: str = ""
    publications: list[Publication] = []
    recovered: bool = False
    offset: int = 0
    positioned: bool = False
    data: Raw | None = None
    was_recovering: bool = False


class Unsubscribed(Struct, frozen=True):
    pass


class HistoryRead(Struct, frozen=True):
    publications: list[Publication]
    epoch: str
    offset: int


class Returned(Struct, frozen=True, omit_defaults=True):
    """What a remote procedure answers."""

    data: Raw | None = None


class Refreshed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    expires: bool = False
    ttl: int = 0


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the command with this id: an error, or the result of its kind even if empty."""

    id: int
    error: Error | None = None
    connect: Connected | None = None
    subscribe: Subscribed | None = None
    unsubscribe: Unsubscribed | None = None
    history: HistoryRead | None = None
    rpc: Returned | None = None
    refresh: Refreshed | None = None


# Encodings


class Codec(Hashable, Protocol):
    """One encoding. Modules fulfil it: `json_codec`, `protobuf_codec`."""

    @property
    def IS_BINARY(self) -> bool:  # noqa: N802 - a constant of the module that fulfils it
        """Whether its messages travel in binary frames."""

    @property
    def PING(self) -> bytes:  # noqa: N802 - the same
        """The push that asks for a pong."""

    @property
    def SEPARATOR(self) -> bytes:  # noqa: N802 - the same
        """What stands between the messages of one frame."""

    def decode(self, frame: bytes | str) -> list[Command]:
        """The commands of a frame, at least one; raises Malformed."""

    def encode_reply(self, reply: Reply) -> bytes: ...

    def publication_encoder(self, channel: str) -> Callable[[bytes, int | None], bytes]:
        """Make the encoder of a channel's publications: (data, offset or None) -> push."""

    def encode_unsubscribe_push(self, channel: str, code: UnsubscribeCode) -> bytes: ...

    def encode_disconnect_push(self, code: CloseCode) -> bytes: ...
