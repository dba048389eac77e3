"""Values for any parameter type: what fits, and what fits and is nasty."""

import random
from typing import Any

import msgspec
from msgspec import inspect

_MOMENTS = [
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "2026-05-01T12:00:00.123456Z",
    "2026-05-01T12:00:00+14:00",
    "9999-12-31T23:59:59Z",
]
_TEXTS = [
    "",
    "a",
    "\0",
    "a\0b",
    "x\n",
    "';--",
    "%",
    "\\",
    "\u202e",
    "e" + "\u0301" * 20,
    "\U0001f3d2",
    "null",
]


class Samples:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def params(self, params: type[msgspec.Struct]) -> dict[str, Any]:
        """Every field that must be there, and some of the others."""
        described = inspect.type_info(params)
        assert isinstance(described, inspect.StructType)
        return {
            field.encode_name: self.value(field.type)
            for field in described.fields
            if field.required or self._random.random() < 0.6
        }

    def value(self, described: inspect.Type) -> Any:
        match described:
            case inspect.Metadata(type=inner):
                return self.value(inner)
            case inspect.UnionType(types=types):
                return self.value(self._random.choice(types))
            case inspect.ListType(item_type=item, max_length=most):
                return [self.value(item) for _ in range(self._random.randint(0, min(3, most or 3)))]
            case inspect.StrType():
                return self._text(described.pattern or "", described.min_length or 0, described.max_length)
            case inspect.IntType():
                return self._number(described.ge, described.le)
        return self._random.choice(_choices(described))

    def _number(self, least: int | None, most: int | None) -> int:
        low, high = -(2**63) if least is None else least, 2**63 - 1 if most is None else most
        return self._random.choice([low, high, max(low, min(high, 1)), self._random.randint(low, high)])

    def _text(self, pattern: str, least: int, most: int | None) -> str:
        if "[0-9a-f]{8}" in pattern:
            return _uuid(self._random)
        if pattern.startswith("^[a-z0-9]"):
            return self._random.choice(["a", "a-b", "gulls-at-foxes"])
        text = self._random.choice([*_TEXTS, "x" * (most or 5000)])
        if "\\x00-\\x1f" in pattern:
            text = text.replace("\0", "").replace("\n", "")
        return text.ljust(least, "y")[: most or 5000]


def _uuid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _choices(described: inspect.Type) -> list[Any]:
    match described:
        case inspect.LiteralType(values=values):
            return list(values)
        case inspect.EnumType(cls=members):
            return [member.value for member in members]
        case inspect.NoneType():
            return [None]
        case inspect.BoolType():
            return [False, True]
        case inspect.DateTimeType():
            return _MOMENTS
    raise NotImplementedError(described)
