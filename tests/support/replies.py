"""One reply of every kind and of every look that a kind can have."""

from msgspec import Raw, structs

from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.protocol import (
    Connected,
    Error,
    HistoryRead,
    Publication,
    Refreshed,
    Reply,
    Returned,
    Subscribed,
    Unsubscribed,
)

LOG = Subscribed(recoverable=True, positioned=True, epoch="abcdefgh", offset=9)
PUBLICATIONS = [
    Publication(Raw(b'{"type":"chat.message","text":"ol\xc3\xa9"}'), 8),
    Publication(Raw(b"[9]"), 9),
]

REPLIES = {
    "connect": Reply(id=1, connect=Connected(client="c1", version="csn_rt 0.1.0", ping=25, pong=True)),
    "connect_full": Reply(
        id=1,
        connect=Connected(
            client="c1",
            version="csn_rt 0.1.0",
            expires=True,
            ttl=3600,
            data=Raw(b'{"anonymous":"id.sig"}'),
            ping=25,
            pong=True,
        ),
    ),
    "subscribe": Reply(id=2, subscribe=Subscribed()),
    "subscribe_state": Reply(id=2, subscribe=Subscribed(data=Raw(b'{"type":"viewers","viewers":12}'))),
    "subscribe_log": Reply(id=2, subscribe=LOG),
    "subscribe_new_log": Reply(id=2, subscribe=structs.replace(LOG, offset=0)),
    "subscribe_recovered": Reply(
        id=2,
        subscribe=Subscribed(
            recoverable=True,
            positioned=True,
            epoch="abcdefgh",
            offset=7,
            publications=PUBLICATIONS,
            recovered=True,
            was_recovering=True,
        ),
    ),
    "subscribe_unrecovered": Reply(
        id=2, subscribe=Subscribed(recoverable=True, epoch="abcdefgh", offset=9, was_recovering=True)
    ),
    "unsubscribe": Reply(id=3, unsubscribe=Unsubscribed()),
    "history": Reply(id=4, history=HistoryRead(PUBLICATIONS, "abcdefgh", 9)),
    "history_empty": Reply(id=4, history=HistoryRead([], "", 0)),
    "rpc": Reply(id=5, rpc=Returned(Raw(b'{"sent":true}'))),
    "rpc_null": Reply(id=5, rpc=Returned(Raw(b"null"))),
    "rpc_empty": Reply(id=5, rpc=Returned()),
    "refresh": Reply(id=6, refresh=Refreshed(expires=True, ttl=3600)),
    "refresh_for_ever": Reply(id=6, refresh=Refreshed()),
    "error": Reply(id=7, error=Error.of(ErrorCode.UNKNOWN_CHANNEL)),
    "error_temporary": Reply(id=7, error=Error.of(ErrorCode.INTERNAL)),
    "error_of_operation": Reply(id=7, error=Error(404, 'not_found: no stream "x"')),
}
