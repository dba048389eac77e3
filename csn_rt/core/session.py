"""One client connection, without I/O.

    OPEN ──connect──▶ AUTHENTICATING ──connected──▶ CONNECTED
                            │                           │
                     connect_failed                     │     CLOSED is reached from everywhere
                            ▼                           ▼
                         FAILED ───a little later──▶ CLOSED

Rule 1:  every input is a method, every output a returned effect, and time comes in as `now`.
Rule 2:  Close is last, and late answers are dropped. A farewell push stands before it, for one SDK loses the
         code of a close frame. Before both, every Join has had one Leave, save after `subscribe_failed`.
Rule 3:  commands are begun in the order in which they came. While a connect is authenticated, or while an
         unsubscribe waits for a subscribe, those behind are held; too many of them end the connection.
Rule 4:  before connect nothing but connect, and its reply is the first. After a failed connect the rest is
         ignored, and the connection ends a little later if the client does not end it.
Rule 5:  every command with an id has one reply, which carries its result even if that is empty. A command
         without an id (save `send` and pong), or with the id of one that still waits, ends the connection.
Rule 6:  no push of a channel before its subscribe reply: Admit follows it. None after its unsubscribe reply
         or push: Leave stands before them.
Rule 7:  what cannot be decoded ends the connection. What can, and may not be, is answered with an error.
Rule 8:  unsubscribe is never refused: SDKs reconnect if it is.
Rule 9:  commands beyond the pace are answered with an error that lets the client try again; a flood ends the
         connection.
Rule 10: so do too many pushes that make a client subscribe again at once; one that reconnects does wait.
Rule 11: each state has one deadline, and a close code of its own. Pings are the keepalive's.
Rule 12: a refresh is for the same person. An expired one ends the connection and is not answered with an
         error: SDKs come back with a new token after the one, and give up for good at the other.
"""

from collections.abc import Sequence
from enum import Enum

from csn_rt import __version__
from csn_rt.core import deadline, effects
from csn_rt.core.effects import Effect
from csn_rt.core.held import Held
from csn_rt.core.identity import Identity
from csn_rt.core.keepalive import PING_S, Keepalive
from csn_rt.core.pace import Pace, Verdict
from csn_rt.core.places import Places
from csn_rt.core.refusals import refusal
from csn_rt.core.subscription import Subscription, publications_of
from csn_rt.wire import protocol
from csn_rt.wire.codes import CloseCode, ErrorCode, UnsubscribeCode
from csn_rt.wire.protocol import Codec, Command, Error, Reply


class State(Enum):
    OPEN = "open"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class Session:
    __slots__ = (
        "_awaited",
        "_client_id",
        "_codec",
        "_connect_id",
        "_deadline",
        "_effects",
        "_first_ping_s",
        "_held",
        "_keepalive",
        "_pace",
        "_pending",
        "_places",
        "identity",
        "state",
    )

    def __init__(self, codec: Codec, *, client_id: str, first_ping_s: float, now: float) -> None:
        """`first_ping_s`: from connecting to the first ping; random, 12.5 to 25, to spread load."""
        self.state = State.OPEN
        self.identity: Identity | None = None
        """Who this is, once connected; a refresh may change it."""
        self._codec = codec
        self._client_id = client_id
        self._first_ping_s = first_ping_s
        self._connect_id = 0
        self._deadline = deadline.to_connect(now)
        self._keepalive: Keepalive | None = None
        self._pace = Pace(now)
        self._places = Places()
        self._pending: set[int] = set()
        """The ids of commands that came and have no reply yet."""
        self._held = Held()
        self._awaited: str | None = None  # the channel whose join an unsubscribe waits for
        self._effects: list[Effect] = []
        """What the input at hand has brought about so far; empty between inputs."""

    @property
    def next_due(self) -> float:
        """When `tick` must be called next; infinity once closed. Any input may change it."""
        return min(self._deadline.at, self._keepalive.next_due) if self._keepalive else self._deadline.at

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    # What the client does

    def receive(self, frame: bytes | str, now: float) -> list[Effect]:
        if self.is_closed or self.state is State.FAILED:
            return []
        try:
            commands = self._codec.decode(frame)
        except protocol.Malformed as error:
            return self._closed(CloseCode.BAD_REQUEST, str(error))
        weight = len(frame)
        for command in commands:
            if self._take_up(command, now):
                self._held.put(command, weight)
                weight = 0
            if self.is_closed:
                return self._done()
        self._go_on()
        if self._held.is_too_much:
            self._close(CloseCode.TOO_MANY_REQUESTS, "too many commands wait")
        return self._done()

    def socket_closed(self) -> list[Effect]:
        """The socket is gone: every channel is left, and that is the end, without a Close."""
        self._end()
        return self._done()

    # What time does

    def tick(self, now: float) -> list[Effect]:
        if now >= self._deadline.at:
            return self._closed(self._deadline.code)
        if self._keepalive is None:
            return []
        if self._keepalive.is_lost(now):
            return self._closed(CloseCode.NO_PONG)
        return [effects.Send(self._codec.PING)] if self._keepalive.take_ping(now) else []

    # What the shell answers

    def connected(
        self, identity: Identity, now: float, *, ttl_s: int | None, data: bytes | None = None
    ) -> list[Effect]:
        """`ttl_s`: whole seconds until `identity.expires_at`; None if it does not expire."""
        if self.state is not State.AUTHENTICATING:
            return []
        self.state = State.CONNECTED
        self.identity = identity
        self._deadline = deadline.to_refresh(ttl_s, now)
        self._keepalive = Keepalive(now + self._first_ping_s)
        result = protocol.Connected(
            client=self._client_id,
            version=f"csn_rt {__version__}",
            expires=ttl_s is not None,
            ttl=deadline.told(ttl_s),
            data=protocol.payload(data),
            ping=int(PING_S),
            pong=True,
        )
        self._reply(Reply(id=self._connect_id, connect=result))
        self._go_on()
        return self._done()

    def connect_failed(self, code: ErrorCode | CloseCode, now: float) -> list[Effect]:
        """The token is not good, or this is not the time.

        An ErrorCode (expired token, overload) is told to the client, which goes by itself or is closed a
        little later. A CloseCode ends the connection at once.
        """
        if self.state is not State.AUTHENTICATING:
            return []
        if isinstance(code, CloseCode):
            return self._closed(code)
        self._deadline = deadline.to_go(code, now)
        return self.failed(self._connect_id, Error.of(code))

    def subscribed(self, command_id: int, channel: str, subscription: Subscription) -> list[Effect]:
        join = self._places.answered(command_id, channel)
        if join is None:
            return []
        result = subscription.result(join.recover)
        if join.rejects_unrecovered and result.was_recovering and not result.recovered:
            self._leave(channel)
            self._fail(command_id, ErrorCode.UNRECOVERABLE_POSITION)
        else:
            self._places.settle(channel)
            self._reply(Reply(id=command_id, subscribe=result))
            self._effects.append(effects.Admit(channel))
        self._release(channel)
        return self._done()

    def subscribe_failed(self, command_id: int, channel: str, code: ErrorCode) -> list[Effect]:
        """The place was not taken, or is given up already: there is no Leave."""
        if self._places.answered(command_id, channel) is None:
            return []
        self._places.discard(channel)
        self._fail(command_id, code)
        self._release(channel)
        return self._done()

    def replied(self, command_id: int, data: bytes) -> list[Effect]:
        """`data` is JSON, or empty where there is nothing to say."""
        return self._answered(Reply(id=command_id, rpc=protocol.Returned(protocol.payload(data))))

    def history_read(
        self, command_id: int, publications: Sequence[tuple[int, bytes]], *, epoch: str, offset: int
    ) -> list[Effect]:
        """`offset` is the channel's top."""
        result = protocol.HistoryRead(publications_of(publications), epoch, offset)
        return self._answered(Reply(id=command_id, history=result))

    def failed(self, command_id: int, error: Error) -> list[Effect]:
        """The command could not be done, whichever it was; a channel that it was to join is left."""
        if command_id not in self._pending:
            return []
        if self.state is State.AUTHENTICATING:
            self.state = State.FAILED
            self._held.clear()
        self._reply(Reply(id=command_id, error=error))
        if (channel := self._places.joined_by(command_id)) is not None:
            self._leave(channel)
            self._release(channel)
        return self._done()

    def refreshed(
        self, command_id: int, identity: Identity, now: float, *, ttl_s: int | None
    ) -> list[Effect]:
        """The token is good; whose it is, is seen here."""
        if command_id not in self._pending or self.identity is None:
            return []
        if identity.person != self.identity.person:
            return self._closed(CloseCode.INVALID_TOKEN, "refreshed with the token of somebody else")
        self.identity = identity
        self._deadline = deadline.to_refresh(ttl_s, now)
        result = protocol.Refreshed(expires=ttl_s is not None, ttl=deadline.told(ttl_s))
        return self._answered(Reply(id=command_id, refresh=result))

    def refresh_failed(self, command_id: int, code: ErrorCode | CloseCode) -> list[Effect]:
        """The token is not good, or this is not the time; a temporary error makes the client try again."""
        if command_id not in self._pending:
            return []
        if isinstance(code, CloseCode):
            return self._closed(code)
        if code in (ErrorCode.TOKEN_EXPIRED, ErrorCode.EXPIRED):
            return self._closed(CloseCode.CONNECTION_EXPIRED)
        return self.failed(command_id, Error.of(code))

    # What the server decides

    def unsubscribe(self, channel: str, code: UnsubscribeCode, now: float) -> list[Effect]:
        """End a subscription, or the attempt at one; nothing happens where there is neither."""
        if channel not in self._places:
            return []
        join = self._places.joining(channel)
        comes_again = code >= UnsubscribeCode.INSUFFICIENT_STATE
        if join is None and comes_again and not self._pace.may_resubscribe(now):
            return self._closed(CloseCode.INSUFFICIENT_STATE, "subscribes again and again")
        self._leave(channel)
        if join is None:
            self._effects.append(effects.Send(self._codec.encode_unsubscribe_push(channel, code)))
        else:
            self._fail(join.command_id, ErrorCode.INTERNAL if comes_again else ErrorCode.PERMISSION_DENIED)
            self._release(channel)
        return self._done()

    def lost(self, channel: str, now: float) -> list[Effect]:
        """What comes next for a subscription is not held any more; a join under way is a newer one."""
        is_meant = self._places.is_settled(channel)
        return self.unsubscribe(channel, UnsubscribeCode.INSUFFICIENT_STATE, now) if is_meant else []

    def disconnect(self, code: CloseCode) -> list[Effect]:
        """End the connection: SHUTDOWN to drain, SLOW, FORCE_DISCONNECT and so on."""
        return self._closed(code)

    # Commands

    def _take_up(self, command: Command, now: float) -> bool:
        """Do what must not wait for a command's turn; answers whether it shall get one."""
        verdict = self._pace.judge_command(now)
        is_within = verdict is Verdict.WITHIN
        if verdict is Verdict.FLOOD or not (is_within or self.state is State.CONNECTED):
            self._close(CloseCode.TOO_MANY_REQUESTS, "too many commands")
            return False
        request = command.request
        if request is None and not command.id:
            if self._keepalive is not None:
                self._keepalive.pong()
            return False
        if isinstance(request, protocol.SendMessage) or not command.id:
            return is_within
        if command.id in self._pending:
            self._close(CloseCode.BAD_REQUEST, f"the id {command.id} is in use")
            return False
        self._pending.add(command.id)
        if is_within or isinstance(request, protocol.Unsubscribe):
            return True
        self._fail(command.id, ErrorCode.TOO_MANY_REQUESTS)
        return False

    def _go_on(self) -> None:
        """Begin what is held, in order, up to where something must be waited for."""
        while len(self._held) and self.state is not State.AUTHENTICATING and self._awaited is None:
            command = self._held.take()
            if self.state is State.OPEN:
                self._begin_connect(command)
            else:
                self._begin(command)

    def _begin_connect(self, command: Command) -> None:
        request = command.request
        if not isinstance(request, protocol.Connect) or not command.id:
            self._close(CloseCode.BAD_REQUEST, "the first command is not connect")
            return
        self.state = State.AUTHENTICATING
        self._deadline = deadline.to_authenticate(self._deadline)
        self._connect_id = command.id
        self._effects.append(effects.Authenticate(command.id, request.token))

    def _begin(self, command: Command) -> None:
        request = command.request
        if isinstance(request, protocol.SendMessage):
            return
        if isinstance(request, protocol.Connect | protocol.Ping) or not command.id:
            self._close(CloseCode.BAD_REQUEST, "a second connect, a ping or a command without id")
        elif (error := refusal(request, self._places)) is not None:
            self._fail(command.id, error)
        else:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command.request:
            case protocol.Rpc(method, data):
                self._effects.append(effects.Call(command.id, method, bytes(data)))
            case protocol.Subscribe() as request:
                self._effects.append(self._places.begin(command.id, request))
            case protocol.Unsubscribe(channel):
                self._unsubscribe(command, channel)
            case protocol.History(channel, limit, since, reverse):
                limit = min(limit, protocol.MAX_HISTORY) if limit >= 0 else protocol.MAX_HISTORY
                self._effects.append(effects.ReadHistory(command.id, channel, limit, since, reverse))
            case protocol.Refresh(token):
                self._effects.append(effects.VerifyRefresh(command.id, token))

    def _unsubscribe(self, command: Command, channel: str) -> None:
        if self._places.joining(channel) is not None:
            self._awaited = channel
            self._held.put_back(command)
            return
        self._leave(channel)
        self._reply(Reply(id=command.id, unsubscribe=protocol.Unsubscribed()))

    def _release(self, channel: str) -> None:
        """A join has come to its end: what waited for it goes on."""
        if self._awaited == channel:
            self._awaited = None
            self._go_on()

    # Effects

    def _done(self) -> list[Effect]:
        done, self._effects = self._effects, []
        return done

    def _leave(self, channel: str) -> None:
        if self._places.discard(channel):
            self._effects.append(effects.Leave(channel))

    def _reply(self, reply: Reply) -> None:
        self._pending.discard(reply.id)
        self._effects.append(effects.Send(self._codec.encode_reply(reply)))

    def _fail(self, command_id: int, code: ErrorCode) -> None:
        self._reply(Reply(id=command_id, error=Error.of(code)))

    def _answered(self, reply: Reply) -> list[Effect]:
        if reply.id in self._pending:
            self._reply(reply)
        return self._done()

    def _closed(self, code: CloseCode, detail: str = "") -> list[Effect]:
        self._close(code, detail)
        return self._done()

    def _close(self, code: CloseCode, detail: str = "") -> None:
        if not self.is_closed:
            self._end()
            farewell = self._codec.encode_disconnect_push(code)
            self._effects += [effects.Send(farewell), effects.Close(code, detail)]

    def _end(self) -> None:
        self.state = State.CLOSED
        for channel in list(self._places):
            self._leave(channel)
        self._pending.clear()
        self._held.clear()
        self._awaited = None
        self._keepalive = None
        self._deadline = deadline.NEVER
