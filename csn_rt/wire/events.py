"""What is pushed. Every event is an object with `type`; the areas keep theirs beside their operations."""

from collections.abc import Hashable

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all pushed events; a subclass names itself with `tag`, e.g. `tag="chat.deleted"`."""


class _About(msgspec.Struct, frozen=True):
    """The fields by which events name what they are about."""

    type: str
    id: str | None = None
    content_id: str | None = None
    message_id: str | None = None
    stream_id: str | None = None


_decode_about = msgspec.json.Decoder(_About).decode


def entity_of(event: bytes) -> Hashable:
    """The type of an encoded event and what it is about: on a state channel a newer one replaces an older."""
    return _decode_about(event)
