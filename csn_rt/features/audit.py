"""The audit log: who changed what, when and why.

Rule 1: an entry is written in the transaction of its deed: neither is ever without the other.
Rule 2: an entry holds the names of the fields that changed, and those fields only, before and after.
Rule 3: an edit that changes nothing is no deed and leaves no entry. What only accompanies every edit
        (version, updated_at, updated_by) does not count as a change.
Rule 4: values of secret fields are never written, only that they changed.
The database refuses to alter or remove an entry.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from csn_rt.db.queries import query
from csn_rt.features.context import Caller, Unit, new_id

_INSERT = query("insert_audit_entry")

_ACCOMPANYING: Final = frozenset({"version", "updated_at", "updated_by"})
_SECRET_WORDS: Final = ("secret", "password", "token", "signature", "api_key", "private_key")
_HIDDEN: Final = "[secret]"

Fields = Mapping[str, Any]


async def record(
    unit: Unit,
    caller: Caller,
    *,
    action: str,
    entity: str,
    entity_id: str,
    before: Fields | None = None,
    after: Fields | None = None,
    reason: str | None = None,
) -> None:
    """Write the deed into the log.

    `before` and `after` are the entity's fields; None: it was not, or is no more. Without either it is a deed
    that changes no fields of its entity, such as a denied attempt.
    """
    changed = changed_fields(before, after)
    if not changed and before is not None and after is not None:
        return
    await _INSERT.run(
        unit.connection,
        new_id(),
        _actor_type(caller),
        caller.user_id,
        caller.identity.name,
        action,
        entity,
        entity_id,
        (after or before or {}).get("version"),
        changed,
        _chosen(before, changed),
        _chosen(after, changed),
        reason,
        caller.request_id,
        caller.ip,
        caller.user_agent,
        caller.via,
    )


def changed_fields(before: Fields | None, after: Fields | None) -> list[str]:
    """Names of the fields whose values differ, sorted; a field that is missing counts as None."""
    old, new = before or {}, after or {}
    return sorted(
        name for name in (old.keys() | new.keys()) - _ACCOMPANYING if old.get(name) != new.get(name)
    )


def _chosen(fields: Fields | None, names: list[str]) -> str | None:
    if fields is None:
        return None
    kept = {name: _HIDDEN if _is_secret(name) else fields.get(name) for name in names}
    return msgspec.json.encode(kept).decode()


def _is_secret(name: str) -> bool:
    return any(word in name for word in _SECRET_WORDS)


def _actor_type(caller: Caller) -> Literal["user", "anonymous", "system"]:
    if caller.via == "internal":
        return "system"
    return "anonymous" if caller.identity.is_anonymous else "user"
