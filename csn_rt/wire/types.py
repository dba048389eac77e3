"""Types that many wire structs share, with their bounds."""

from typing import Annotated

import msgspec
from msgspec import Meta

Id = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        max_length=36,  # `$` alone would let a line break at the end pass
        description="A UUID in lower case.",
        examples=["0190a6e2-7c1e-7b3a-9f51-3c8d2b1f0a77"],
    ),
]
UserId = Annotated[str, Meta(min_length=1, max_length=200, description="The `sub` of the person's token.")]
Milliseconds = Annotated[
    int, Meta(ge=0, le=2**53 - 1, description="A length of time or a position, in milliseconds.")
]
Limit = Annotated[int, Meta(ge=1, le=100, description="How many items to answer at most.")]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an operation takes. Unknown fields are refused by name."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation answers."""


class Nothing(Params, frozen=True, kw_only=True):
    """An operation without parameters."""
