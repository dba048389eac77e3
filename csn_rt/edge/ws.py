"""One WebSocket: bytes to the session, effects to the world, answers back to the session.

Rule 1: effects are carried out in order and at once; what must wait runs in a task and answers later. What is
        answered at once comes after the effects that were there before.
Rule 2: mutations of one socket run one after another, in the order sent, so that two messages of one person
        keep their order; queries run beside them. Each is answered in time, also if it has waited too long.
Rule 3: a socket that closes does not undo what it asked for: work that has begun is finished, only the
        answer is dropped.
Rule 4: reading stops while the socket cannot be written to, so a peer that does not read its replies holds up
        nobody but itself; one that takes nothing for long is closed by the node.
Rule 5: replies that come together leave in one frame, before any push that follows them.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final, assert_never

import structlog
from starlette.types import Receive

from csn_rt.core.effects import (
    Admit,
    Authenticate,
    Call,
    Close,
    Effect,
    Join,
    Leave,
    ReadHistory,
    Send,
    VerifyRefresh,
)
from csn_rt.core.identity import Identity
from csn_rt.core.session import Session
from csn_rt.core.subscription import Subscription
from csn_rt.edge.auth import TokenExpired, TokenInvalid
from csn_rt.edge.dispatch import Failed, socket_error
from csn_rt.edge.joining import SubscribeRefused
from csn_rt.edge.node import Node
from csn_rt.edge.operations import Operation
from csn_rt.edge.seats import Seats
from csn_rt.edge.turns import ANSWER_S, Turns
from csn_rt.edge.writers import Writer
from csn_rt.errors import Refused, Unavailable
from csn_rt.features.context import Caller, new_id
from csn_rt.wire.codes import CloseCode, ErrorCode
from csn_rt.wire.dialect import Dialect
from csn_rt.wire.protocol import Error

logger = structlog.get_logger(__name__)

MAX_RUNNING: Final = 64
"""What may be under way for one socket before further queries are answered `too many requests`."""


class Connection:
    """The shell around one session, the peer that topics write to, and the guest of its seats."""

    __slots__ = (
        "_effects",
        "_histories",
        "_ip",
        "_is_closed",
        "_may_read",
        "_node",
        "_replies",
        "_running",
        "_seats",
        "_session",
        "_stalled_at",
        "_stalled_bytes",
        "_turns",
        "_user_agent",
        "dialect",
        "writer",
    )

    def __init__(
        self, node: Node, session: Session, dialect: Dialect, writer: Writer, *, ip: str, user_agent: str
    ) -> None:
        self.dialect = dialect
        self.writer = writer
        self._node = node
        self._session = session
        self._ip = ip
        self._user_agent = user_agent
        self._seats = Seats(self, node.door)
        self._effects: list[Effect] | None = None
        """Those that are being carried out."""
        self._replies: list[bytes] = []
        """Not written yet; empty when no effects are being carried out. What may be large ends a frame: a
        subscribe reply is written before its Admit, all others of any size come one by one."""
        self._turns: Turns | None = None
        """Of mutations, once there is one."""
        self._histories: asyncio.Lock | None = None
        """One page is read at a time, once there is one: each may be half a megabyte."""
        self._running = 0
        self._is_closed = False
        self._stalled_at: float | None = None
        self._stalled_bytes = 0
        """What was unsent when it was looked at last."""
        self._may_read: asyncio.Event | None = None
        writer.on_writable = self._catch_up
        self._reschedule()

    @property
    def is_writable(self) -> bool:
        return self.writer.is_writable

    @property
    def unsent_bytes(self) -> int:
        return self.writer.unsent_bytes

    def stalled_s(self, now: float) -> float:
        if self.writer.is_writable:
            return 0.0
        unsent_bytes = self.unsent_bytes
        if self._stalled_at is None or unsent_bytes < self._stalled_bytes:
            self._stalled_at = now
        self._stalled_bytes = unsent_bytes
        return now - self._stalled_at

    async def read(self, receive: Receive) -> None:
        """Carry the socket until it is closed, where messages are fetched and not handed over."""
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text")
                self.received(message["bytes"] if text is None else text)
                if not self.writer.is_writable and not self._is_closed:
                    await self._wait_writable()
        finally:
            self.gone()

    def received(self, message: bytes | str) -> None:
        self._apply(self._session.receive(message, now()))

    def gone(self) -> None:
        """The socket is closed; to say it twice does no harm."""
        self._apply(self._session.socket_closed())
        self._end()

    def tick(self) -> None:
        """The session asked to be looked at about now."""
        self._apply(self._session.tick(now()))

    def disconnect(self, code: CloseCode) -> None:
        self._apply(self._session.disconnect(code))

    # Effects

    def _apply(self, effects: list[Effect]) -> None:
        """Carry them out, and what is answered meanwhile."""
        if self._effects is not None:
            self._effects += effects
            return
        self._effects = effects
        try:
            for effect in effects:  # the list grows
                if self._is_closed:
                    break
                self._carry_out(effect)
        finally:
            self._effects = None
            self._flush()
        self._reschedule()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(data):
                self._replies.append(data)
            case Call():
                self._call(effect)
            case Join():
                self._join(effect)
            case Admit(channel):
                self._flush()
                self._seats.admit(channel)
            case Leave(channel):
                self._seats.leave(channel)
            case Authenticate():
                self._authenticate(effect)
            case VerifyRefresh():
                self._refresh(effect)
            case ReadHistory():
                self._spawn_bounded(self._read_history(effect), effect.command_id)
            case Close():
                self._flush()
                self._close(effect)
            case _:
                assert_never(effect)

    def _flush(self) -> None:
        if self._replies:
            self.writer.write(self.dialect.frame(self.dialect.codec.SEPARATOR.join(self._replies)))
            self._replies = []

    def _reschedule(self) -> None:
        if not self._is_closed:
            self._node.schedule.set(self, self._session.next_due)

    def _close(self, effect: Close) -> None:
        if effect.detail:
            logger.info("socket_closed", code=int(effect.code), detail=effect.detail)
        self.writer.close(effect.code, effect.code.reason)
        self._end()

    def _end(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._seats.leave_all()
        if self._turns is not None:
            self._turns.clear()
        if self._may_read is not None:
            self._may_read.set()
        self._node.forget(self)

    # Channels

    def _join(self, effect: Join) -> None:
        if self._session.identity is not None:
            self._seats.take(self._session.identity, effect)

    def seated(self, join: Join, subscription: Subscription) -> None:
        self._apply(self._session.subscribed(join.command_id, join.channel, subscription))

    def turned_away(self, join: Join, error: ErrorCode) -> None:
        self._apply(self._session.subscribe_failed(join.command_id, join.channel, error))

    def dropped(self, name: str) -> None:
        self._apply(self._session.lost(name, now()))

    def lost(self, name: str) -> None:
        """The topic began anew under the subscriber: it must subscribe again."""
        self._seats.lost(name)
        self.dropped(name)

    def _catch_up(self) -> None:
        """The socket takes bytes again, or is gone."""
        self._stalled_at = None
        if self._may_read is not None:
            self._may_read.set()
        self._seats.catch_up()

    async def _read_history(self, effect: ReadHistory) -> None:
        identity = self._session.identity
        if identity is None:
            return
        if self._histories is None:
            self._histories = asyncio.Lock()
        try:
            async with asyncio.timeout(ANSWER_S), self._histories:
                if not self.writer.is_writable:
                    self._fail(effect.command_id, ErrorCode.TOO_MANY_REQUESTS)
                    return
                page = await self._node.history.read(
                    identity,
                    effect.channel,
                    limit=effect.limit,
                    since=effect.since,
                    is_reverse=effect.is_reverse,
                )
        except SubscribeRefused as exc:
            answer = self._session.failed(effect.command_id, Error.of(exc.error))
        else:
            answer = self._session.history_read(
                effect.command_id, page.publications, epoch=page.epoch, offset=page.offset
            )
        self._apply(answer)

    # Identity

    def _authenticate(self, effect: Authenticate) -> None:
        try:
            identity, data = self._node.welcome(effect.token)
        except TokenExpired:
            answer = self._session.connect_failed(ErrorCode.TOKEN_EXPIRED, now())
        except TokenInvalid as exc:
            logger.info("token_refused", reason=exc.reason)
            answer = self._session.connect_failed(CloseCode.INVALID_TOKEN, now())
        else:
            answer = self._session.connected(identity, now(), ttl_s=_ttl_s(identity), data=data)
        self._apply(answer)

    def _refresh(self, effect: VerifyRefresh) -> None:
        try:
            identity = self._node.verifier.verify(effect.token)
        except TokenExpired:
            answer = self._session.refresh_failed(effect.command_id, ErrorCode.TOKEN_EXPIRED)
        except TokenInvalid as exc:
            logger.info("token_refused", reason=exc.reason)
            answer = self._session.refresh_failed(effect.command_id, CloseCode.INVALID_TOKEN)
        else:
            answer = self._session.refreshed(effect.command_id, identity, now(), ttl_s=_ttl_s(identity))
        self._apply(answer)

    # Operations

    def _call(self, call: Call) -> None:
        operation = self._node.dispatcher.find(call.method)
        if operation is None:
            self._fail(call.command_id, ErrorCode.METHOD_NOT_FOUND)
        elif operation.kind == "query":
            self._spawn_bounded(self._run(operation, call), call.command_id)
        else:
            if self._turns is None:
                self._turns = Turns(
                    do=self._run,
                    failed=lambda command_id: self._fail(command_id, ErrorCode.INTERNAL),
                    start=self._node.run,
                )
            if not self._turns.put(operation, call):
                self._fail(call.command_id, ErrorCode.TOO_MANY_REQUESTS)

    async def _run(self, operation: Operation, call: Call) -> None:
        identity = self._session.identity
        if identity is None:
            return
        caller = Caller(
            identity=identity,
            via="websocket",
            request_id=new_id(),
            ip=self._ip,
            user_agent=self._user_agent,
        )
        try:
            result = await self._node.dispatcher.call(operation, caller, call.data)
        except (Refused, Failed) as exc:
            self._apply(self._session.failed(call.command_id, socket_error(exc)))
        else:
            self._apply(self._session.replied(call.command_id, result))

    # Tasks

    def _spawn_bounded(self, work: Coroutine[Any, Any, None], command_id: int) -> None:
        if self._running >= MAX_RUNNING:
            work.close()
            self._fail(command_id, ErrorCode.TOO_MANY_REQUESTS)
        else:
            self._running += 1
            self._node.run(self._guard(work, command_id))

    async def _guard(self, work: Coroutine[Any, Any, None], command_id: int) -> None:
        """Whatever goes wrong is answered: a command without an answer makes an SDK drop the connection."""
        try:
            await work
        except (Unavailable, TimeoutError):
            self._fail(command_id, ErrorCode.INTERNAL)
        except Exception:
            logger.exception("command_failed")
            self._fail(command_id, ErrorCode.INTERNAL)
        finally:
            self._running -= 1

    def _fail(self, command_id: int, code: ErrorCode) -> None:
        self._apply(self._session.failed(command_id, Error.of(code)))

    async def _wait_writable(self) -> None:
        self._may_read = asyncio.Event()
        await self._may_read.wait()  # ends at the latest when the node closes the stalled socket
        self._may_read = None


def now() -> float:
    """The clock of sessions: monotonic seconds."""
    return time.monotonic()


def _ttl_s(identity: Identity) -> int | None:
    """Whole seconds until the token expires; anonymous ids are not refreshed, they are issued anew."""
    if identity.expires_at is None or identity.is_anonymous:
        return None
    return max(1, identity.expires_at - int(time.time()))
