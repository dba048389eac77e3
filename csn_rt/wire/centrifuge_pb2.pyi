from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar

from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class Command(_message.Message):
    __slots__ = (
        "connect",
        "history",
        "id",
        "ping",
        "presence",
        "presence_stats",
        "publish",
        "refresh",
        "rpc",
        "send",
        "sub_refresh",
        "subscribe",
        "unsubscribe",
    )
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_STATS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    SUB_REFRESH_FIELD_NUMBER: _ClassVar[int]
    id: int
    connect: ConnectRequest
    subscribe: SubscribeRequest
    unsubscribe: UnsubscribeRequest
    publish: PublishRequest
    presence: PresenceRequest
    presence_stats: PresenceStatsRequest
    history: HistoryRequest
    ping: PingRequest
    send: SendRequest
    rpc: RPCRequest
    refresh: RefreshRequest
    sub_refresh: SubRefreshRequest
    def __init__(
        self,
        id: int | None = ...,
        connect: ConnectRequest | _Mapping | None = ...,
        subscribe: SubscribeRequest | _Mapping | None = ...,
        unsubscribe: UnsubscribeRequest | _Mapping | None = ...,
        publish: PublishRequest | _Mapping | None = ...,
        presence: PresenceRequest | _Mapping | None = ...,
        presence_stats: PresenceStatsRequest | _Mapping | None = ...,
        history: HistoryRequest | _Mapping | None = ...,
        ping: PingRequest | _Mapping | None = ...,
        send: SendRequest | _Mapping | None = ...,
        rpc: RPCRequest | _Mapping | None = ...,
        refresh: RefreshRequest | _Mapping | None = ...,
        sub_refresh: SubRefreshRequest | _Mapping | None = ...,
    ) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: str | None = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("channel", "epoch", "flag", "offset", "recover", "tf", "type")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    RECOVER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TF_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    recover: bool
    epoch: str
    offset: int
    tf: FilterNode
    flag: int
    type: int
    def __init__(
        self,
        channel: str | None = ...,
        recover: bool | None = ...,
        epoch: str | None = ...,
        offset: int | None = ...,
        tf: FilterNode | _Mapping | None = ...,
        flag: int | None = ...,
        type: int | None = ...,
    ) -> None: ...

class FilterNode(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnsubscribeRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: str | None = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: str | None = ...) -> None: ...

class PresenceRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: str | None = ...) -> None: ...

class PresenceStatsRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: str
    def __init__(self, channel: str | None = ...) -> None: ...

class StreamPosition(_message.Message):
    __slots__ = ("epoch", "offset")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    offset: int
    epoch: str
    def __init__(self, offset: int | None = ..., epoch: str | None = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("channel", "limit", "reverse", "since")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REVERSE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    limit: int
    since: StreamPosition
    reverse: bool
    def __init__(
        self,
        channel: str | None = ...,
        limit: int | None = ...,
        since: StreamPosition | _Mapping | None = ...,
        reverse: bool | None = ...,
    ) -> None: ...

class PingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RPCRequest(_message.Message):
    __slots__ = ("data", "method")
    DATA_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    method: str
    def __init__(self, data: bytes | None = ..., method: str | None = ...) -> None: ...

class RefreshRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: str | None = ...) -> None: ...

class SubRefreshRequest(_message.Message):
    __slots__ = ("channel", "token")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    channel: str
    token: str
    def __init__(self, channel: str | None = ..., token: str | None = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("connect", "error", "history", "id", "push", "refresh", "rpc", "subscribe", "unsubscribe")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    CONNECT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: Error
    push: Push
    connect: ConnectResult
    subscribe: SubscribeResult
    unsubscribe: UnsubscribeResult
    history: HistoryResult
    rpc: RPCResult
    refresh: RefreshResult
    def __init__(
        self,
        id: int | None = ...,
        error: Error | _Mapping | None = ...,
        push: Push | _Mapping | None = ...,
        connect: ConnectResult | _Mapping | None = ...,
        subscribe: SubscribeResult | _Mapping | None = ...,
        unsubscribe: UnsubscribeResult | _Mapping | None = ...,
        history: HistoryResult | _Mapping | None = ...,
        rpc: RPCResult | _Mapping | None = ...,
        refresh: RefreshResult | _Mapping | None = ...,
    ) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "temporary")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TEMPORARY_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    temporary: bool
    def __init__(
        self, code: int | None = ..., message: str | None = ..., temporary: bool | None = ...
    ) -> None: ...

class ConnectResult(_message.Message):
    __slots__ = ("client", "data", "expires", "ping", "pong", "ttl", "version")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    client: str
    version: str
    expires: bool
    ttl: int
    data: bytes
    ping: int
    pong: bool
    def __init__(
        self,
        client: str | None = ...,
        version: str | None = ...,
        expires: bool | None = ...,
        ttl: int | None = ...,
        data: bytes | None = ...,
        ping: int | None = ...,
        pong: bool | None = ...,
    ) -> None: ...

class SubscribeResult(_message.Message):
    __slots__ = (
        "data",
        "epoch",
        "offset",
        "positioned",
        "publications",
        "recoverable",
        "recovered",
        "was_recovering",
    )
    RECOVERABLE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    POSITIONED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    WAS_RECOVERING_FIELD_NUMBER: _ClassVar[int]
    recoverable: bool
    epoch: str
    publications: _containers.RepeatedCompositeFieldContainer[Publication]
    recovered: bool
    offset: int
    positioned: bool
    data: bytes
    was_recovering: bool
    def __init__(
        self,
        recoverable: bool | None = ...,
        epoch: str | None = ...,
        publications: _Iterable[Publication | _Mapping] | None = ...,
        recovered: bool | None = ...,
        offset: int | None = ...,
        positioned: bool | None = ...,
        data: bytes | None = ...,
        was_recovering: bool | None = ...,
    ) -> None: ...

class UnsubscribeResult(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HistoryResult(_message.Message):
    __slots__ = ("epoch", "offset", "publications")
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    publications: _containers.RepeatedCompositeFieldContainer[Publication]
    epoch: str
    offset: int
    def __init__(
        self,
        publications: _Iterable[Publication | _Mapping] | None = ...,
        epoch: str | None = ...,
        offset: int | None = ...,
    ) -> None: ...

class RPCResult(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: bytes | None = ...) -> None: ...

class RefreshResult(_message.Message):
    __slots__ = ("expires", "ttl")
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    expires: bool
    ttl: int
    def __init__(self, expires: bool | None = ..., ttl: int | None = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("channel", "disconnect", "pub", "unsubscribe")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PUB_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    channel: str
    pub: Publication
    unsubscribe: Unsubscribe
    disconnect: Disconnect
    def __init__(
        self,
        channel: str | None = ...,
        pub: Publication | _Mapping | None = ...,
        unsubscribe: Unsubscribe | _Mapping | None = ...,
        disconnect: Disconnect | _Mapping | None = ...,
    ) -> None: ...

class Publication(_message.Message):
    __slots__ = ("data", "offset")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    def __init__(self, data: bytes | None = ..., offset: int | None = ...) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    def __init__(self, code: int | None = ..., reason: str | None = ...) -> None: ...

class Disconnect(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    def __init__(self, code: int | None = ..., reason: str | None = ...) -> None: ...
