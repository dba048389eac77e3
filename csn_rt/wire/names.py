"""Names that cross a boundary, spelled once: channels.

A channel's text is made by the functions below and read by `parse_channel`; nowhere else in the program does
the text of a channel name occur.
"""

import re
from enum import Enum
from typing import Final, NewType

import msgspec

Channel = NewType("Channel", str)

CATALOG: Final = Channel("catalog")
ADMIN: Final = Channel("admin")

MAX_CHANNEL_LENGTH: Final = 255
"""Longer names are refused before they are parsed (the ecosystem's limit)."""


class Area(Enum):
    """What a channel is about; one member per row of the channel table."""

    STREAM_CHAT = "stream-chat"
    STREAM_MOD = "stream-mod"
    STREAM_VIEWERS = "stream-viewers"
    STREAM_VIEWERS_STAFF = "stream-viewers-staff"
    """What moderators get instead; only known inside, no client can name it."""
    USER = "user"
    CATALOG = "catalog"
    ADMIN = "admin"

    @property
    def is_log(self) -> bool:
        """Whether every event is kept in `channel_log` and can be recovered by offset."""
        return self in _LOG_AREAS

    @property
    def has_head(self) -> bool:
        """Whether events are numbered 1, 2, 3 … in `channels`, so that a lost one shows as a gap."""
        return self not in _HEADLESS_AREAS


_LOG_AREAS = frozenset({Area.STREAM_CHAT, Area.STREAM_MOD, Area.CATALOG, Area.ADMIN})
_HEADLESS_AREAS = frozenset({Area.STREAM_VIEWERS, Area.STREAM_VIEWERS_STAFF})


class Address(msgspec.Struct, frozen=True):
    """A channel name taken apart: its area and, where there is one, the stream's or user's id."""

    area: Area
    subject: str = ""


def stream_chat(stream_id: str) -> Channel:
    return Channel(f"stream:{stream_id}:chat")


def stream_mod(stream_id: str) -> Channel:
    return Channel(f"stream:{stream_id}:mod")


def stream_viewers(stream_id: str) -> Channel:
    return Channel(f"stream:{stream_id}:viewers")


def stream_viewers_staff(stream_id: str) -> Channel:
    """The moderators' variant of the viewers channel: told between nodes, not a name for clients."""
    return Channel(f"stream:{stream_id}:viewers{_STAFF}")


def public_name(channel: Channel) -> str:
    """The name under which clients subscribed to it."""
    return channel.removesuffix(_STAFF)


def user(user_id: str) -> Channel:
    return Channel(f"user:{user_id}")


_STAFF = "#staff"
_STREAM = re.compile(r"stream:([0-9a-f-]{36}):(chat|mod|viewers)")
_STREAM_AREAS = {"chat": Area.STREAM_CHAT, "mod": Area.STREAM_MOD, "viewers": Area.STREAM_VIEWERS}
_USER_PREFIX = "user:"


def parse_channel(text: str) -> Address | None:
    """Take a channel name apart; None if no such channel can exist."""
    if text == CATALOG:
        return Address(Area.CATALOG)
    if text == ADMIN:
        return Address(Area.ADMIN)
    if text.startswith(_USER_PREFIX) and len(text) > len(_USER_PREFIX):
        return Address(Area.USER, text[len(_USER_PREFIX) :])
    match = _STREAM.fullmatch(text)
    return Address(_STREAM_AREAS[match[2]], match[1]) if match else None
