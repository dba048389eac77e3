"""What is refused at once: malformed requests, what this server does not do, and what cannot be now."""

from csn_rt.core.places import Places
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import MAX_CHANNEL_LENGTH
from csn_rt.wire.protocol import (
    History,
    Presence,
    PresenceStats,
    Publish,
    Refresh,
    Request,
    Rpc,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)


def refusal(request: Request | None, places: Places) -> ErrorCode | None:
    """Why the request is refused; None for one that is to be carried out."""
    match request:
        case Rpc():
            return None  # first, being the most frequent
        case None:
            return ErrorCode.BAD_REQUEST
        case Refresh(token):
            return None if token else ErrorCode.BAD_REQUEST
        case (
            Subscribe() | Unsubscribe() | Publish() | Presence() | PresenceStats() | History() | SubRefresh()
        ):
            return _of_channel_request(request, places) if request.channel else ErrorCode.BAD_REQUEST
    return None


def _of_channel_request(request: Request, places: Places) -> ErrorCode | None:
    match request:
        case Subscribe():
            return _of_subscribe(request) or places.refusal(request.channel)
        case History(since=since, reverse=True) if since is not None and since.offset == 0:
            return ErrorCode.BAD_REQUEST  # nothing lies below the first publication
        case Publish():
            return ErrorCode.PERMISSION_DENIED  # clients call operations; the server publishes
        case Presence() | PresenceStats():
            return ErrorCode.NOT_AVAILABLE
        case SubRefresh(channel):
            # Subscriptions do not expire here, so there is nothing to prolong.
            return ErrorCode.NOT_AVAILABLE if channel in places else ErrorCode.PERMISSION_DENIED
    return None


def _of_subscribe(request: Subscribe) -> ErrorCode | None:
    if len(request.channel) > MAX_CHANNEL_LENGTH or not request.channel.isascii():
        return ErrorCode.BAD_REQUEST
    if request.type != 0:
        return ErrorCode.NOT_AVAILABLE
    return ErrorCode.BAD_REQUEST if bytes(request.tf) not in (b"", b"null") else None
