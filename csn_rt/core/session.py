"""One client connection, without I/O."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from csn_rt.core.effects import Effect
from csn_rt.core.identity import Identity
from csn_rt.wire.codes import CloseCode, ErrorCode, UnsubscribeCode
from csn_rt.wire.protocol import Codec, Error

AUTHENTICATION_S: Final = 10.0


class Subscription(Struct, frozen=True, kw_only=True):
    """What the shell found when it joined a channel."""

    is_recoverable: bool = False
    """Whether the client shall remember its position and come back with it; then epoch and offset count."""
    is_positioned: bool = False
    epoch: str = ""
    offset: int = 0
    """The channel's top, from where on pushes will come."""
    publications: Sequence[tuple[int, bytes]] = ()
    """All that was missed, oldest first: (offset, data)."""
    is_recovered: bool = False
    """Whether `publications` are really all that was missed."""
    data: bytes | None = None
    """The snapshot of a state channel, as JSON."""


class Session:
    """Inputs are methods; each answers the effects to be carried out. `now` is monotonic, in seconds."""

    __slots__ = ()

    def __init__(self, codec: Codec, *, client_id: str, first_ping_s: float, now: float) -> None:
        """`first_ping_s`: how long after connecting the first ping comes; random, 12.5 to 25, to spread load."""
        raise NotImplementedError

    @property
    def identity(self) -> Identity | None:
        """Who this is; None before `connected`."""
        raise NotImplementedError

    @property
    def next_due(self) -> float:
        """When `tick` must be called next; infinity once closed. It changes with every input."""
        raise NotImplementedError

    # What the client does

    def receive(self, frame: bytes | str, now: float) -> list[Effect]:
        raise NotImplementedError

    def socket_closed(self) -> list[Effect]:
        """The socket is gone: leaves every channel, and that is the end; there is no Close."""
        raise NotImplementedError

    # What time does

    def tick(self, now: float) -> list[Effect]:
        raise NotImplementedError

    # What the shell answers

    def connected(
        self, identity: Identity, now: float, *, ttl_s: int | None, data: bytes | None = None
    ) -> list[Effect]:
        """`ttl_s`: whole seconds until `identity.expires_at`; None if it does not expire."""
        raise NotImplementedError

    def connect_failed(self, code: ErrorCode | CloseCode, now: float) -> list[Effect]:
        """The token is not good, or this is not the time.

        An ErrorCode (expired token, overload) is told to the client, which goes by itself or is closed a little
        later; a CloseCode ends the connection at once.
        """
        raise NotImplementedError

    def subscribed(
        self, command_id: int, channel: str, subscription: Subscription, now: float
    ) -> list[Effect]:
        raise NotImplementedError

    def subscribe_failed(self, command_id: int, channel: str, code: ErrorCode) -> list[Effect]:
        """The place was not taken, or is given up already: there is no Leave."""
        raise NotImplementedError

    def replied(self, command_id: int, data: bytes) -> list[Effect]:
        """`data` is JSON, or empty where there is nothing to say."""
        raise NotImplementedError

    def failed(self, command_id: int, error: Error) -> list[Effect]:
        """A Call or ReadHistory could not be done; `Error.of(ErrorCode.…)` for the protocol's own errors."""
        raise NotImplementedError

    def history_read(
        self, command_id: int, publications: Sequence[tuple[int, bytes]], *, epoch: str, offset: int
    ) -> list[Effect]:
        """`offset` is the channel's top."""
        raise NotImplementedError

    def refreshed(
        self, command_id: int, identity: Identity, now: float, *, ttl_s: int | None
    ) -> list[Effect]:
        """The token is good; if it is somebody else's, the connection ends."""
        raise NotImplementedError

    def refresh_failed(self, command_id: int, code: ErrorCode | CloseCode) -> list[Effect]:
        """The token is not good, or this is not the time.

        TOKEN_EXPIRED ends the connection so that the client comes back with a new token; a temporary ErrorCode
        makes it try again.
        """
        raise NotImplementedError

    # What the server decides

    def unsubscribe(self, channel: str, code: UnsubscribeCode, now: float) -> list[Effect]:
        """End a subscription; nothing happens where there is none.

        From 2500 on clients subscribe again at once, so too many of these end the connection instead.
        """
        raise NotImplementedError

    def disconnect(self, code: CloseCode) -> list[Effect]:
        """End the connection: SHUTDOWN to drain, SLOW, FORCE_DISCONNECT and so on."""
        raise NotImplementedError
