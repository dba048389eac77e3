"""The wire's types in words: what a field is, its bounds, its default and its meaning.

A meaning is the text below the field in the source, or else the description in its type.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import inspect as types

from csn_rt import wire
from csn_rt.wire.types import Id

_LARGEST = 2**53 - 1
"""A bound that only says "a number that JavaScript can hold"."""
_UUID = "[0-9a-f]{8}-"
_ID_DESCRIPTION = next(meta.description for meta in get_args(Id)[1:])
_NO_DEFAULT = (None, msgspec.NODEFAULT, msgspec.UNSET)


class FieldText(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    type: str
    is_required: bool
    default: str
    """As JSON; empty: there is none, or null."""
    meaning: str


class Vocabulary(msgspec.Struct, frozen=True):
    """A named set of words, with what each means."""

    name: str
    summary: str
    words: str


def fields_of(struct: type[msgspec.Struct]) -> list[FieldText]:
    return [_field_text(struct, field) for field in _fields(struct)]


def structs_in(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The structs that its fields are made of, in order, each with its own after it."""
    for field in _fields(struct):
        for found in _structs(field.type):
            yield found
            yield from structs_in(found)


def vocabularies_in(struct: type[msgspec.Struct]) -> list[Vocabulary]:
    """The named sets of words that its own fields are written with."""
    names = [name for field in _fields(struct) for name in _vocabulary_names(struct, field.name)]
    return [_vocabularies()[name] for name in names]


def _fields(struct: type[msgspec.Struct]) -> tuple[types.Field, ...]:
    described = types.type_info(struct)
    if not isinstance(described, types.StructType):
        raise TypeError(f"{struct} is no struct")
    return described.fields


def _field_text(struct: type[msgspec.Struct], field: types.Field) -> FieldText:
    meaning = next((found.meaning for cls in _own(struct) if (found := _source(cls).get(field.name))), "")
    default = field.default
    meaning = meaning or _description(field.type)
    links = [f"See [{name}](#{name.lower()})." for name in _vocabulary_names(struct, field.name)]
    return FieldText(
        name=field.encode_name,
        type=type_text(field.type),
        is_required=field.required,
        default="" if default in _NO_DEFAULT else msgspec.json.encode(default).decode(),
        meaning=" ".join(filter(None, [meaning, *links])),
    )


def type_text(described: types.Type) -> str:
    match described:
        case types.Metadata(type=inner):
            text = type_text(inner)
        case types.UnionType(types=members):
            text = " or ".join(type_text(member) for member in members)
        case types.LiteralType() | types.EnumType():
            text = " or ".join(f"`{word}`" for word in _words(described))
        case types.StrType():
            is_id = _UUID in (described.pattern or "")
            bounds = described.min_length, described.max_length
            text = "id" if is_id else _bounded("text", *bounds, " characters")
        case types.IntType():
            text = _bounded("integer", described.ge, described.le, "")
        case types.ListType(item_type=item):
            bounds = described.min_length, described.max_length
            name = "ids" if type_text(item) == "id" else type_text(item)
            text = _bounded(f"list of {name}", *bounds, " items")
        case types.StructType(cls=cls):
            text = f"[{cls.__name__}](#{cls.__name__.lower()})"
        case _:
            text = _PLAIN[type(described)]
    return text


def _words(described: types.LiteralType | types.EnumType) -> list[Any]:
    if isinstance(described, types.LiteralType):
        return list(described.values)
    return [member.value for member in described.cls]


_PLAIN: dict[type[types.Type], str] = {
    types.FloatType: "number",
    types.BoolType: "true or false",
    types.NoneType: "null",
    types.DateTimeType: "time",
}


def _bounded(name: str, least: int | None, most: int | None, unit: str) -> str:
    most = None if most == _LARGEST else most
    if least and most is not None:
        return f"{name}, {least} to {most}{unit}"
    if most is not None:
        return f"{name}, at most {most}{unit}"
    return f"{name}, at least {least}{unit}" if least else name


def _description(described: types.Type) -> str:
    if isinstance(described, types.UnionType):
        return next(filter(None, map(_description, described.types)), "")
    schema = (described.extra_json_schema or {}) if isinstance(described, types.Metadata) else {}
    description = str(schema.get("description", ""))
    return "" if description == _ID_DESCRIPTION else description  # what an id is, is said once


def _structs(described: types.Type) -> Iterator[type[msgspec.Struct]]:
    match described:
        case types.Metadata(type=inner) | types.ListType(item_type=inner):
            yield from _structs(inner)
        case types.UnionType(types=members):
            for member in members:
                yield from _structs(member)
        case types.StructType(cls=cls):
            yield cls


# What the source says and the types do not.


class _FieldSource(msgspec.Struct, frozen=True):
    meaning: str
    names: tuple[str, ...]
    """The names that its annotation is written with."""


def _own(struct: type[msgspec.Struct]) -> list[type[Any]]:
    """The class and those that it inherits fields from."""
    return [cls for cls in struct.__mro__ if cls.__module__.startswith(wire.__name__)]


def _source(cls: type[Any]) -> dict[str, _FieldSource]:
    """The fields that the class itself adds."""
    return _sources(cls.__module__)[cls.__name__]


def _vocabulary_names(struct: type[msgspec.Struct], field_name: str) -> list[str]:
    sources = (_source(cls).get(field_name) for cls in _own(struct))
    return [name for source in sources if source for name in source.names if name in _vocabularies()]


@cache
def _sources(module: str) -> dict[str, dict[str, _FieldSource]]:
    """Of every class of the module."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {node.name: dict(_field_sources(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _field_sources(cls: ast.ClassDef) -> Iterator[tuple[str, _FieldSource]]:
    for node, text in _documented(cls.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, _FieldSource(text or "", tuple(_names(node.annotation)))


@cache
def _vocabularies() -> dict[str, Vocabulary]:
    """The `Name = Literal[…]` of the wire that have a text below them: a summary, and a list of the words."""
    found = {}
    for module in pkgutil.iter_modules(wire.__path__, f"{wire.__name__}."):
        tree = ast.parse(inspect.getsource(importlib.import_module(module.name)))
        for node, text in _documented(tree.body):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and text:
                summary, _, words = text.partition("\n\n")
                if words:
                    name = node.targets[0].id
                    found[name] = Vocabulary(name, summary, inspect.cleandoc(words))
    return found


def _documented(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, str | None]]:
    """Each statement with the text that stands below it."""
    for node, following in zip(body, [*body[1:], None], strict=True):
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node, inspect.cleandoc(text)
            case _:
                yield node, None


def _names(annotation: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(annotation) if isinstance(node, ast.Name))
