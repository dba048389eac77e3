"""The protocol's numbers: errors answer one command, close codes end a socket, unsubscribe codes end a
subscription.

The range of a close code is the contract with the SDKs: below 3500 and 4000-4499 they come back with
back-off, 3500-3999 and 4500-4999 they do not. Every reason is non-empty plain text that is not JSON: an SDK
that sees an empty reason reconnects for ever. Never renumber; only add.
"""

from enum import Enum, IntEnum


class ErrorCode(Enum):
    """An error reply: the command failed, the socket lives. `(code, message, temporary)`."""

    INTERNAL = (100, "internal server error", True)
    UNAUTHORIZED = (101, "unauthorized", False)
    UNKNOWN_CHANNEL = (102, "unknown channel", False)
    PERMISSION_DENIED = (103, "permission denied", False)
    METHOD_NOT_FOUND = (104, "method not found", False)
    ALREADY_SUBSCRIBED = (105, "already subscribed", False)
    LIMIT_EXCEEDED = (106, "limit exceeded", False)
    BAD_REQUEST = (107, "bad request", False)
    NOT_AVAILABLE = (108, "not available", False)
    TOKEN_EXPIRED = (109, "token expired", False)
    EXPIRED = (110, "expired", False)
    TOO_MANY_REQUESTS = (111, "too many requests", True)
    UNRECOVERABLE_POSITION = (112, "unrecoverable position", False)

    def __init__(self, code: int, message: str, temporary: bool) -> None:
        self.code = code
        self.message = message
        self.temporary = temporary


class CloseCode(IntEnum):
    """A close frame's code; its reason is the member's name in words."""

    SHUTDOWN = 3001
    INTERNAL_SERVER_ERROR = 3004
    CONNECTION_EXPIRED = 3005
    SUBSCRIPTION_EXPIRED = 3006
    SLOW = 3008
    WRITE_ERROR = 3009
    INSUFFICIENT_STATE = 3010
    FORCE_RECONNECT = 3011
    NO_PONG = 3012
    TOO_MANY_REQUESTS = 3013
    STATE_INVALIDATED = 3014
    INVALID_TOKEN = 3500
    BAD_REQUEST = 3501
    STALE = 3502
    FORCE_DISCONNECT = 3503
    CONNECTION_LIMIT = 3504
    CHANNEL_LIMIT = 3505
    INAPPROPRIATE_PROTOCOL = 3506
    PERMISSION_DENIED = 3507
    NOT_AVAILABLE = 3508
    TOO_MANY_ERRORS = 3509

    @property
    def reason(self) -> str:
        return self.name.lower().replace("_", " ")

    @property
    def may_reconnect(self) -> bool:
        return self < 3500


class UnsubscribeCode(IntEnum):
    """An unsubscribe push's code: below 2500 the subscription has ended, from 2500 the SDK subscribes again
    at once."""

    SERVER_UNSUBSCRIBE = 2000
    INSUFFICIENT_STATE = 2500
    SUBSCRIPTION_EXPIRED = 2501
    STATE_INVALIDATED = 2502

    @property
    def reason(self) -> str:
        return self.name.lower().replace("_", " ")
