"""What is pushed. Every event is an object with `type`; the areas keep theirs beside their operations."""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of all pushed events; a subclass names itself with `tag`, e.g. `tag="chat.deleted"`."""
