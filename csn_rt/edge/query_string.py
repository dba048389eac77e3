"""From a query string to parameters: `?stream_ids=a,b&limit=10`, or `?stream_ids=a&stream_ids=b`."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from csn_rt.errors import BadRequest

_LISTS = inspect.ListType | inspect.SetType | inspect.FrozenSetType | inspect.VarTupleType


def list_fields(params: type[msgspec.Struct]) -> frozenset[str]:
    """Names of the parameters that take several values."""
    described = inspect.type_info(params)
    if not isinstance(described, inspect.StructType):
        raise TypeError(f"{params} is no struct")
    return frozenset(field.encode_name for field in described.fields if _is_list(field.type))


def parse_pairs(pairs: Iterable[tuple[str, str]], lists: frozenset[str]) -> Mapping[str, Any]:
    """Every value is still text, or a list of texts; one that is given twice by mistake is refused."""
    parsed: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            parsed.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in parsed:
            raise BadRequest(f"`{name}` is given twice")
        else:
            parsed[name] = value
    return parsed


def _is_list(described: inspect.Type) -> bool:
    if isinstance(described, inspect.Metadata):
        return _is_list(described.type)
    if isinstance(described, inspect.UnionType):
        return any(_is_list(member) for member in described.types)
    return isinstance(described, _LISTS)
