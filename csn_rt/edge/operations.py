"""The table of operations: the product on one page.

The socket's RPC, the HTTP API, the generated documents and the permission test are all read from it. A handler is a
method `async def verb(self, caller: Caller, params: P) -> R` of a feature; P and R are its wire types, and the first
line of its docstring is the operation's summary.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Literal, get_type_hints

import msgspec

from csn_rt.wire.roles import Role

Kind = Literal["query", "mutation"]


class Operation(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    name: str
    kind: Kind
    least: Role | None
    """The least role that may call it; None: no identity is needed."""
    feature: type
    """The class whose instance the handler is called on."""
    handler: Callable[..., Awaitable[Any]]

    @cached_property
    def params(self) -> type[msgspec.Struct]:
        return get_type_hints(self.handler)["params"]  # type: ignore[no-any-return]

    @cached_property
    def result(self) -> Any:
        return get_type_hints(self.handler)["return"]

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


def queries(feature: type, least: Role | None, **handlers: Callable[..., Awaitable[Any]]) -> Mapping[str, Operation]:
    """Placeholder until the table is written."""
    return {}
