"""`python -m csn_rt.edge.docs` writes docs/operations.md and docs/schema.md from what they describe.

The first comes from the table of operations, the types of the wire and the handlers' docstrings; the second
from the comments in sql/schema.sql. A test asserts that both are up to date.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from inspect import getdoc
from itertools import groupby
from typing import Final

import msgspec

from csn_rt import errors
from csn_rt.db.queries import SQL_DIR
from csn_rt.edge.docs_schema import schema_document
from csn_rt.edge.docs_types import FieldText, Vocabulary, fields_of, structs_in, vocabularies_in
from csn_rt.edge.operations import OPERATIONS, Operation
from csn_rt.errors import Refused

DOCS_DIR: Final = SQL_DIR.parent / "docs"

_REFUSAL = re.compile(r"^Raises (\w+)(?: (\w+))?: (.+)$", re.MULTILINE)

_INTRODUCTION: Final = """\
# Operations

<!-- Written by `python -m csn_rt.edge.docs`; change the code, not this page. -->

Every operation can be called in two ways, with the same parameters, answers and rules:

- over the WebSocket, as `rpc` with the operation's name as method and the parameters as data;
- over HTTP: mutations as `POST /v1/<operation>` with a JSON object, queries as `GET /v1/<operation>?…` with a
  query string, where a list is written with commas (`stream_ids=a,b`) or by repeating its name. The token
  goes into the header: `Authorization: Bearer <token>`.

```sh
curl 'http://127.0.0.1:8000/v1/content.list?kind=live'
curl -H "Authorization: Bearer $TOKEN" -d '{"stream_id": "…", "text": "Goal!", "client_id": "1"}' \\
  http://127.0.0.1:8000/v1/chat.send
```

An *id* is a UUID in lower case; a *time* is written as RFC 3339 in UTC (`2026-05-01T12:00:00Z`); names that
end in `_ms` are milliseconds. Parameters that are not listed are refused. Fields may be added to answers at
any time: ignore those you do not know.

*Least role*: `anonymous` < `user` < `moderator` < `admin`. Over HTTP, queries for `anonymous` need no token,
unless they are about the caller; for everything else an anonymous caller sends the token that
`auth.anonymous` gave him.

## Errors

Over HTTP a failure has the status shown and the body `{"error": {"code", "message", …}}`. Over the socket it
is an error reply whose code is that same number and whose message begins with the code word: `404`,
`"not_found: there is no such stream"`. What an operation refuses beyond this table is listed with it.

| status | code | when |
|---|---|---|
| 400 | `bad_request` | the parameters are not what the operation takes; the message names the one |
| 401 | `unauthorized` | a token is needed and was not given, or is not valid |
| 401 | `token_expired` | the token was good once: fetch a new one (over the socket: 109) |
| 403 | `forbidden` | the caller's role is too low |
| 404 | `not_found` | there is no such operation (over the socket: 104) |
| 405 | `method_not_allowed` | HTTP only: a query is GET, a mutation is POST |
| 408 | `too_slow` | HTTP only: the body did not come within 10 s |
| 413 | `too_large` | HTTP only: the body has more than 256 KiB |
| 500 | `internal` | a bug on our side; it is in our log (over the socket: 100, temporary) |
| 503 | `unavailable` | what is behind us is away; nothing was half-done (over the socket: 100, temporary) |
"""


class Refusal(msgspec.Struct, frozen=True):
    """What an operation refuses by itself."""

    status: int
    code: str
    when: str


def refusals_of(operation: Operation) -> list[Refusal]:
    """The `Raises` lines of the handler's docstring."""
    found = []
    for name, code, when in _REFUSAL.findall(getdoc(operation.handler) or ""):
        refused: type[Refused] = getattr(errors, name)
        found.append(Refusal(refused.status, code or refused.code, when))
    return found


def operations_document(operations: Iterable[Operation] = OPERATIONS.values()) -> str:
    table = list(operations)
    parts = [_INTRODUCTION]
    for area, members in groupby(table, key=lambda operation: operation.name.partition(".")[0]):
        parts.append(f"## {area}\n")
        parts.extend(_operation_text(operation) for operation in members)
    parts.append("## Types\n")
    parts.extend(_types_text(table))
    return "\n".join(parts)


def _operation_text(operation: Operation) -> str:
    verb = "GET" if operation.kind == "query" else "POST"
    paragraphs = [
        text for text in (getdoc(operation.handler) or "").split("\n\n") if not text.startswith("Raises ")
    ]
    fields = fields_of(operation.params)
    least = f"least role: {operation.least}" if operation.least else "needs no token"
    refusals = refusals_of(operation)
    lines = [
        f"### {operation.name}\n",
        *(f"{text}\n" for text in paragraphs),
        f"`{verb} /v1/{operation.name}` · {operation.kind} · {least}\n",
        *(["No parameters.\n"] if not fields else _parameters(operation.params, fields)),
        f"Answers [{operation.result.__name__}](#{operation.result.__name__.lower()}).\n",
        *(["Refused besides:\n"] if refusals else []),
        *(f"- {refusal.status} `{refusal.code}`: {refusal.when}" for refusal in refusals),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _parameters(params: type[msgspec.Struct], fields: list[FieldText]) -> Iterator[str]:
    if own := _own_doc(params):
        yield f"{own}\n"
    yield "| parameter | type | needed | meaning |\n|---|---|---|---|"
    for field in fields:
        needed = "yes" if field.is_required else f"default `{field.default}`" if field.default else "no"
        yield f"| `{field.name}` | {_cell(field.type)} | {needed} | {_cell(field.meaning)} |"
    yield ""


def _types_text(table: list[Operation]) -> Iterator[str]:
    answers = [operation.result for operation in table]
    nested = [struct for root in (*answers, *(each.params for each in table)) for struct in structs_in(root)]
    structs = sorted({*answers, *nested}, key=lambda struct: struct.__name__)
    for struct in structs:
        yield _struct_text(struct)
    params = [operation.params for operation in table]
    words = {each.name: each for struct in (*structs, *params) for each in vocabularies_in(struct)}
    for name in sorted(words):
        yield _vocabulary_text(words[name])


def _struct_text(struct: type[msgspec.Struct]) -> str:
    lines = [f"### {struct.__name__}\n"]
    if own := _own_doc(struct):
        lines.append(f"{own}\n")
    tag = struct.__struct_config__.tag
    lines.append("| field | type | meaning |\n|---|---|---|")
    if tag is not None:
        lines.append(f"| `{struct.__struct_config__.tag_field}` | `{tag}` | |")
    is_short = struct.__struct_config__.omit_defaults
    for field in fields_of(struct):
        meaning = field.meaning
        if is_short and not field.is_required and "bsent" not in meaning:
            meaning = f"{meaning} Absent if there is none.".strip()
        lines.append(f"| `{field.name}` | {_cell(field.type)} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _vocabulary_text(words: Vocabulary) -> str:
    return f"### {words.name}\n\n{words.summary}\n\n```\n{words.words}\n```\n"


def _own_doc(struct: type[msgspec.Struct]) -> str:
    return getdoc(struct) or "" if struct.__doc__ else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    schema = (SQL_DIR / "schema.sql").read_text(encoding="utf-8")
    for name, text in (("operations.md", operations_document()), ("schema.md", schema_document(schema))):
        path = DOCS_DIR / name
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path} is written\n")


if __name__ == "__main__":
    main()
