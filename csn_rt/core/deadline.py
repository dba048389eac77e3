"""How long each state of a connection may last, and the close code that says it was too long."""

from math import inf
from typing import Final

from msgspec import Struct

from csn_rt.wire.codes import CloseCode, ErrorCode

# From the opened socket to the connect reply. SDKs send connect at once and give up after 5 s (Dart: 10 s).
CONNECT_S: Final = 10.0
# How long a client whose connect failed may stay. SDKs leave as soon as they have read the error.
FAILED_S: Final = 5.0
# SDKs begin to refresh when the token expires, not before; a getToken and a round trip must fit in.
EXPIRED_GRACE_S: Final = 25.0
# What a client is told of a token that lives longer (68 years): the field is a uint32.
MAX_TOLD_S: Final = 2**31 - 1

_AFTER_FAILED_CONNECT = {
    ErrorCode.TOKEN_EXPIRED: CloseCode.CONNECTION_EXPIRED,
    ErrorCode.INTERNAL: CloseCode.INTERNAL_SERVER_ERROR,
    ErrorCode.TOO_MANY_REQUESTS: CloseCode.TOO_MANY_REQUESTS,
}


class Deadline(Struct, frozen=True):
    at: float
    code: CloseCode


NEVER: Final = Deadline(inf, CloseCode.FORCE_DISCONNECT)


def to_connect(now: float) -> Deadline:
    return Deadline(now + CONNECT_S, CloseCode.STALE)


def to_authenticate(opened: Deadline) -> Deadline:
    """The client has done its part in time: from here on it is we who are late, and it may come back."""
    return Deadline(opened.at, CloseCode.INTERNAL_SERVER_ERROR)


def to_go(error: ErrorCode, now: float) -> Deadline:
    """For a client that was told why its connect failed. If the error is for good, so is the close."""
    return Deadline(now + FAILED_S, _AFTER_FAILED_CONNECT.get(error, CloseCode.PERMISSION_DENIED))


def to_refresh(ttl_s: int | None, now: float) -> Deadline:
    """For a token that expires so many seconds from now, or never."""
    return NEVER if ttl_s is None else Deadline(now + ttl_s + EXPIRED_GRACE_S, CloseCode.CONNECTION_EXPIRED)


def told(ttl_s: int | None) -> int:
    """What a client is told of its token's life: never zero, which is left out, if it expires."""
    return 0 if ttl_s is None else max(1, min(ttl_s, MAX_TOLD_S))
