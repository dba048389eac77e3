"""From a name and some bytes to a handler and its answer: the same for the socket and for HTTP.

Rule 1: parameters are checked before anything else is done, and the message names the field that is wrong.
Rule 2: nobody gets past the least role of the table.
Rule 3: every call ends: after `OPERATION_TIMEOUT_S` the caller hears that it could not be done in time.
Rule 4: what is not refused on purpose is a bug: logged once with its traceback, told to nobody.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import structlog

from csn_rt.edge.operations import OPERATIONS, Operation
from csn_rt.errors import BadRequest, Forbidden, Refused, Unauthorized, Unavailable
from csn_rt.features.context import Caller
from csn_rt.telemetry import metrics
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.protocol import Error
from csn_rt.wire.roles import Role

log = structlog.get_logger(__name__)

OPERATION_TIMEOUT_S: Final = 4.5
"""An SDK waits 5 s for a reply and takes silence for a dead connection."""


class Failed(Exception):
    """A bug on our side; it has been logged."""


class Dispatcher:
    """`features` are the instances that the handlers of the table are called on."""

    def __init__(self, features: Iterable[object], operations: Mapping[str, Operation] = OPERATIONS) -> None:
        self._operations = operations
        self._instances = {type(feature): feature for feature in features}
        self._decoders = {
            name: msgspec.json.Decoder(operation.params) for name, operation in operations.items()
        }
        self._encoder = msgspec.json.Encoder()

    def find(self, name: str) -> Operation | None:
        return self._operations.get(name)

    async def call(
        self, operation: Operation, caller: Caller | None, raw: bytes | Mapping[str, Any]
    ) -> bytes:
        """Answer the result as JSON. `raw` is a JSON object, or the parts of a query string.

        Raises Refused for what is refused, and Failed for a bug.
        """
        started = time.perf_counter()
        outcome = "failed"
        try:
            self._check_role(operation, caller)
            params = self._decode(operation, raw)
            async with asyncio.timeout(OPERATION_TIMEOUT_S):
                result = await operation.handler(self._instances[operation.feature], caller, params)
            outcome = "done"
            return self._encoder.encode(result)
        except Refused as exc:
            outcome = exc.code
            raise
        except TimeoutError as exc:
            outcome = Unavailable.code
            log.warning("operation_timed_out", operation=operation.name)
            raise Unavailable("it took too long; try again") from exc
        except Exception as exc:
            log.exception("operation_failed", operation=operation.name)
            raise Failed(operation.name) from exc
        finally:
            metrics.operations.labels(operation.name, outcome).inc()
            metrics.operation_s.labels(operation.name).observe(time.perf_counter() - started)

    def _check_role(self, operation: Operation, caller: Caller | None) -> None:
        if operation.least is None:
            return
        if caller is None:
            raise Unauthorized("an identity is needed: give a token, or get one from auth.anonymous")
        role = caller.identity.role
        if role.is_at_least(operation.least):
            return
        if role is Role.ANONYMOUS:
            raise Forbidden(f"only for somebody who has signed in ({operation.least} or more)")
        raise Forbidden(f"only for {operation.least} or more")

    def _decode(self, operation: Operation, raw: bytes | Mapping[str, Any]) -> msgspec.Struct:
        try:
            if isinstance(raw, bytes):
                return self._decoders[operation.name].decode(raw or b"{}")
            return msgspec.convert(raw, operation.params, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise BadRequest(str(exc)) from exc


def socket_error(exc: Exception) -> Error:
    """The same failure as an error reply: the HTTP status is the code, and the message begins with the
    word."""
    if isinstance(exc, Unavailable):
        return Error(ErrorCode.INTERNAL.code, f"{exc.code}: {exc.message}", temporary=True)
    if isinstance(exc, Refused):
        return Error(exc.status, f"{exc.code}: {exc.message}")
    return Error.of(ErrorCode.INTERNAL)
