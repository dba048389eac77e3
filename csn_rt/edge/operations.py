"""The table of operations: the product on one page.

The socket's RPC, the HTTP API, the generated documents and the permission test are all read from it. A
handler is a method `async def verb(self, caller: Caller, params: P) -> R` of a feature; P and R are its wire
types, and the first line of its docstring is the operation's summary.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from typing import Any, Final, Literal, get_type_hints

import msgspec

from csn_rt.edge.auth import Auth
from csn_rt.features.chat import Chat
from csn_rt.features.content import Content
from csn_rt.features.progress import Progress
from csn_rt.features.viewers.sessions import Sessions
from csn_rt.features.viewers.streams import Streams
from csn_rt.features.viewers.viewers import Viewers
from csn_rt.wire.roles import Role

Kind = Literal["query", "mutation"]
Handler = Callable[..., Awaitable[Any]]


class Operation(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    name: str
    kind: Kind
    least: Role | None
    """The least role that may call it; None: no identity is needed."""
    feature: type
    """The class whose instance the handler is called on."""
    handler: Handler

    @cached_property
    def params(self) -> type[msgspec.Struct]:
        return get_type_hints(self.handler)["params"]  # type: ignore[no-any-return]

    @cached_property
    def result(self) -> Any:
        return get_type_hints(self.handler)["return"]

    @property
    def is_personal(self) -> bool:
        """Whether it is about the caller himself over several calls, so that a passer-by cannot call it."""
        return self.feature is Sessions or self.handler is Auth.whoami

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


_Row = tuple[str, Kind, Role | None, Handler]


def _table() -> Iterator[Operation]:
    for feature, rows in _ROWS:
        for name, kind, least, handler in rows:
            yield Operation(name=name, kind=kind, least=least, feature=feature, handler=handler)


_ROWS: Final[list[tuple[type, list[_Row]]]] = [
    (
        Auth,
        [
            ("auth.anonymous", "mutation", None, Auth.anonymous),
            ("auth.whoami", "query", Role.ANONYMOUS, Auth.whoami),
        ],
    ),
    (
        Sessions,
        [
            ("session.start", "mutation", Role.ANONYMOUS, Sessions.start),
            ("session.heartbeat", "mutation", Role.ANONYMOUS, Sessions.heartbeat),
            ("session.end", "mutation", Role.ANONYMOUS, Sessions.end),
        ],
    ),
    (
        Viewers,
        [
            ("viewers.get", "query", Role.ANONYMOUS, Viewers.get),
            ("viewers.series", "query", Role.MODERATOR, Viewers.series),
        ],
    ),
    (
        Streams,
        [
            ("stream.start", "mutation", Role.ADMIN, Streams.start),
            ("stream.end", "mutation", Role.ADMIN, Streams.end),
        ],
    ),
    (
        Chat,
        [
            ("chat.send", "mutation", Role.USER, Chat.send),
            ("chat.history", "query", Role.ANONYMOUS, Chat.history),
            ("chat.retract", "mutation", Role.USER, Chat.retract),
        ],
    ),
    (
        Progress,
        [
            ("progress.report", "mutation", Role.USER, Progress.report),
            ("progress.get", "query", Role.USER, Progress.get),
            ("progress.continue_watching", "query", Role.USER, Progress.continue_watching),
            ("progress.remove", "mutation", Role.USER, Progress.remove),
            ("progress.undo_remove", "mutation", Role.USER, Progress.undo_remove),
            ("progress.mark_watched", "mutation", Role.USER, Progress.mark_watched),
            ("progress.mark_unwatched", "mutation", Role.USER, Progress.mark_unwatched),
            ("progress.history", "query", Role.USER, Progress.history),
        ],
    ),
    (
        Content,
        [
            ("content.get", "query", Role.ANONYMOUS, Content.get),
            ("content.list", "query", Role.ANONYMOUS, Content.list),
        ],
    ),
]

OPERATIONS: Final = {operation.name: operation for operation in _table()}
