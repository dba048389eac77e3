"""sql/schema.sql as a page to read: every table with the meaning of its columns, its keys and indexes."""

import re
from collections.abc import Iterator

import msgspec

_HEADING = """\
# The tables

<!-- Written by `python -m csn_rt.edge.docs` from the comments in sql/schema.sql; change the migrations, not
this page. -->

PostgreSQL holds the truth; `csn-rt migrate` makes it what this page says. Times are in UTC, `_ms` are
milliseconds, ids are UUIDv7 made by the program, except user ids, which are whatever the token's `sub` says.
"""

_TABLE = re.compile(r"^CREATE TABLE (\w+) \(\n(.*?)\n\)(.*?);$", re.MULTILINE | re.DOTALL)
_VIEW = re.compile(r"^CREATE VIEW (\w+) AS$", re.MULTILINE)
_COLUMN = re.compile(r'^    "?(\w+)"? (.+?),?$')
_COMMENT = re.compile(
    r"^COMMENT ON (TABLE|VIEW|COLUMN|FUNCTION|TYPE) (.+?) IS '((?:[^']|'')*)';$", re.MULTILINE
)
_CONSTRAINT = re.compile(r"^ALTER TABLE ONLY (\w+)\n    ADD CONSTRAINT \w+ (.+);$", re.MULTILINE)
_INDEX = re.compile(r"^CREATE (UNIQUE )?INDEX (\w+) ON (?:ONLY )?(\w+) USING (\w+) (.+);$", re.MULTILINE)
_NOT_NULL = re.compile(r"(?: CONSTRAINT \w+)? NOT NULL$")
_DEFAULT = re.compile(r" DEFAULT (.+)$")
_CAST = re.compile(r"::[a-z ]+(?:\[\])?")


class _Column(msgspec.Struct, frozen=True):
    name: str
    type: str
    default: str
    may_be_null: bool


def schema_document(schema: str) -> str:
    comments = dict(_comments(schema))
    parts = [_HEADING, "## Tables\n"]
    parts.extend(_table_text(schema, comments, match) for match in _TABLE.finditer(schema))
    parts.append("## Views\n")
    parts.extend(_view_text(comments, name) for name in _VIEW.findall(schema))
    parts.append("## Functions and types\n")
    parts.append(
        "\n".join(
            f"- `{name}`: {text}" for (kind, name), text in comments.items() if kind in ("FUNCTION", "TYPE")
        )
    )
    return "\n".join(parts) + "\n"


def _comments(schema: str) -> Iterator[tuple[tuple[str, str], str]]:
    for kind, name, text in _COMMENT.findall(schema):
        yield (kind, name.replace('"', "")), text.replace("''", "'")


def _table_text(schema: str, comments: dict[tuple[str, str], str], table: re.Match[str]) -> str:
    name = table[1]
    lines = [f"### {name}\n", f"{comments['TABLE', name]}\n"]
    if "PARTITION BY" in table[3]:
        lines.append(f"Partitioned: `{table[3].strip()}`.\n")
    lines.append("| column | type | default | meaning |\n|---|---|---|---|")
    for column in _columns(table[2]):
        kind = f"{column.type}{', may be null' if column.may_be_null else ''}"
        default = f"`{column.default}`" if column.default else ""
        meaning = _cell(comments["COLUMN", f"{name}.{column.name}"])
        lines.append(f"| `{column.name}` | {kind} | {default} | {meaning} |")
    keys = [*_keys(schema, name), *_indexes(schema, name)]
    return "\n".join([*lines, "", *keys]).rstrip() + "\n"


def _view_text(comments: dict[tuple[str, str], str], name: str) -> str:
    lines = [f"### {name}\n", f"{comments['VIEW', name]}\n"]
    columns: dict[str, list[str]] = {}
    for (kind, column), text in comments.items():
        if kind == "COLUMN" and column.startswith(f"{name}."):
            columns.setdefault(text, []).append(f"`{column.partition('.')[2]}`")
    lines.extend(f"- {', '.join(names)}: {_cell(text)}" for text, names in columns.items())
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _columns(body: str) -> Iterator[_Column]:
    for line in body.splitlines():
        match = _COLUMN.match(line)
        if match is None or match[1] == "CONSTRAINT":
            continue
        kind = _NOT_NULL.sub("", match[2])
        default = _DEFAULT.search(kind)
        yield _Column(
            name=match[1],
            type=_DEFAULT.sub("", kind).replace("timestamp with time zone", "timestamptz"),
            default=_CAST.sub("", default[1]) if default else "",
            may_be_null=_NOT_NULL.search(match[2]) is None,
        )


def _keys(schema: str, table: str) -> Iterator[str]:
    for owner, definition in _CONSTRAINT.findall(schema):
        if owner == table:
            yield f"- {definition[:1]}{definition[1:].replace('PRIMARY KEY', 'primary key')}"


def _indexes(schema: str, table: str) -> Iterator[str]:
    for unique, name, owner, method, definition in _INDEX.findall(schema):
        if owner == table:
            kind = f"{'unique ' if unique else ''}{'' if method == 'btree' else method + ' '}index"
            yield f"- {kind} `{name}` on `{_CAST.sub('', definition)}`"
