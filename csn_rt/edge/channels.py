"""Who may subscribe to what."""

from typing import Final

import msgspec

from csn_rt.core.identity import Identity
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import Address, Area
from csn_rt.wire.roles import Role


class ChannelRule(msgspec.Struct, frozen=True):
    least: Role
    summary: str
    """What is pushed, for the documents."""


CHANNELS: Final = {
    Area.STREAM_CHAT: ChannelRule(
        Role.ANONYMOUS, "the chat of a stream: messages, and what became of them, in order"
    ),
    Area.STREAM_VIEWERS: ChannelRule(Role.ANONYMOUS, "the state of a stream and how many people watch it"),
    Area.USER: ChannelRule(Role.ANONYMOUS, "what concerns one person: watch progress on the other devices"),
    Area.CATALOG: ChannelRule(Role.ANONYMOUS, "what was published, and which streams started and ended"),
}


def refusal(identity: Identity, address: Address | None) -> ErrorCode | None:
    """Why this identity may not subscribe there; None if it may."""
    rule = CHANNELS.get(address.area) if address else None
    if address is None or rule is None:
        return ErrorCode.UNKNOWN_CHANNEL
    if not identity.role.is_at_least(rule.least):
        return ErrorCode.PERMISSION_DENIED
    if address.area is Area.USER and address.subject != identity.user_id:
        return ErrorCode.PERMISSION_DENIED
    return None
