"""What a session wants done.

The shell carries out a list of effects in order, and wholly before it begins with the list of another input.
Whatever carries a `command_id` wants one answer, by a method named beside it, at any later time. An answer
that is too late (the session closed, the join was abandoned) is dropped by the session.
"""

from msgspec import Struct

from csn_rt.wire.codes import CloseCode
from csn_rt.wire.protocol import StreamPosition


class Send(Struct, frozen=True):
    """Write this message. It may share a frame with its neighbours, joined by the codec's SEPARATOR."""

    data: bytes


class Authenticate(Struct, frozen=True):
    """Find out who this is: `connected` or `connect_failed`."""

    command_id: int
    token: str
    """Empty for somebody without a token."""


class Join(Struct, frozen=True):
    """Take a place in the channel, to be held back until Admit: `subscribed` or `subscribe_failed`."""

    command_id: int
    channel: str
    recover: StreamPosition | None
    """Where the client stood, if it wants what it missed since then."""
    rejects_unrecovered: bool
    """If it cannot have that, the client wants an error; the session sees to it."""


class Admit(Struct, frozen=True):
    """The subscribe reply is out: from here on, pushes of the channel may be written."""

    channel: str


class Leave(Struct, frozen=True):
    """Give up the place in the channel, or the attempt to get one; nothing of it is written any more."""

    channel: str


class Call(Struct, frozen=True):
    """Run an operation: `replied` or `failed`."""

    command_id: int
    method: str
    data: bytes
    """JSON as the client wrote it, or empty."""


class ReadHistory(Struct, frozen=True):
    """Read publications of a channel: `history_read` or `failed`."""

    command_id: int
    channel: str
    limit: int
    """0 to MAX_HISTORY; 0 asks for the position only."""
    since: StreamPosition | None
    """Exclusive; in reverse, what lies below it."""
    is_reverse: bool


class VerifyRefresh(Struct, frozen=True):
    """Verify the token that shall prolong the connection: `refreshed` or `refresh_failed`."""

    command_id: int
    token: str


class Close(Struct, frozen=True):
    """Close the socket with the code and its `reason`. Nothing comes after it."""

    code: CloseCode
    detail: str = ""
    """For the log: what was wrong. Never sent."""


Effect = Send | Authenticate | Join | Admit | Leave | Call | ReadHistory | VerifyRefresh | Close
