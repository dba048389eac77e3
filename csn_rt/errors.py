"""Two kinds of failure, each with a number that says what to do next.

    Refused       this command fails, the socket stays; the status is the HTTP status, over the socket too
    Disconnect    the socket ends; the range of its code says whether to come back

Everything else is a bug, logged with its traceback and answered as an internal error. An adapter translates
at its border: the pool turns a lost database into Unavailable, no handler does.
"""

from typing import Any

from csn_rt.wire.codes import CloseCode


class Refused(Exception):
    """A command that cannot be done as it is. `details` go into the answer beside code and message."""

    status = 400
    code = "bad_request"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class BadRequest(Refused):
    """The input is not what the operation takes; the message names the field."""


class Unauthorized(Refused):
    """No identity, or one that could not be verified."""

    status = 401
    code = "unauthorized"


class Forbidden(Refused):
    """A known identity that may not do this."""

    status = 403
    code = "forbidden"


class NotFound(Refused):
    status = 404
    code = "not_found"


class Conflict(Refused):
    """The thing is not in the state that this needs; `code` says how, e.g. `already_live`."""

    status = 409
    code = "conflict"


class TooMany(Refused):
    status = 429
    code = "too_many_requests"


class Unavailable(Refused):
    """Something behind us is away; nothing was half-done, and a retry with the same key is safe."""

    status = 503
    code = "unavailable"


class Disconnect(Exception):
    """The socket ends with this code."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.reason)
        self.code = code
