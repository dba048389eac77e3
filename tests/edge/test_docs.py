"""The written documents: complete, and up to date."""

import re
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from csn_rt.db.queries import SQL_DIR
from csn_rt.edge.docs import DOCS_DIR, operations_document, refusals_of
from csn_rt.edge.docs_schema import schema_document
from csn_rt.edge.docs_types import fields_of, structs_in, vocabularies_in
from csn_rt.edge.operations import OPERATIONS, Operation
from csn_rt.wire.progress import ProgressReport
from csn_rt.wire.types import Id, Limit, Milliseconds, Params
from tests.support.operations import TABLE

SCHEMA = (SQL_DIR / "schema.sql").read_text(encoding="utf-8")
ALL = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.mark.parametrize(
    ("name", "text"), [("operations.md", operations_document()), ("schema.md", schema_document(SCHEMA))]
)
def test_a_document_is_up_to_date(name: str, text: str):
    assert text == (DOCS_DIR / name).read_text(encoding="utf-8"), "run: python -m csn_rt.edge.docs"


@ALL
def test_an_operation_is_documented_with_every_parameter_and_its_answer(operation: Operation):
    section = operations_document([operation])

    assert f"### {operation.name}\n\n{operation.summary}\n" in section
    for field in fields_of(operation.params):
        assert f"| `{field.name}` | {field.type} |" in section
    answer = section.partition(f"### {operation.result.__name__}\n")[2]
    for field in fields_of(operation.result):
        assert f"| `{field.name}` | " in answer


@ALL
def test_every_parameter_says_what_it_means_unless_it_is_an_id(operation: Operation):
    for field in fields_of(operation.params):
        assert field.meaning or field.type in ("id", "id or null") or "list of ids" in field.type


def test_every_link_leads_somewhere():
    text = operations_document()
    headings = {heading.lower() for heading in re.findall(r"^###? (\S+)$", text, re.MULTILINE)}

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_every_table_view_and_column_is_in_the_schema_document():
    text = schema_document(SCHEMA)
    tables = re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)", SCHEMA, re.MULTILINE)
    comments = re.findall(r"^COMMENT ON COLUMN (\w+)\.\"?(\w+)\"? IS", SCHEMA, re.MULTILINE)

    assert len(tables) > 10
    for table in tables:
        assert f"\n### {table}\n" in text
    for table, column in comments:
        if table in tables:
            section = text.partition(f"### {table}\n")[2].partition("\n### ")[0]
            assert f"`{column}`" in section


def test_a_column_is_told_with_type_default_and_meaning():
    text = schema_document(SCHEMA)

    assert "| `head` | bigint | `0` | Offset of the newest event" in text
    assert "| `at` | timestamptz | `now()` | Start of the transaction that told it" in text
    assert "| `publish_at` | timestamptz, may be null |  | When a scheduled item" in text


class Colours(msgspec.Struct):
    name: str


class Sample(Params, frozen=True, kw_only=True):
    plain: str
    bounded: Annotated[str, Meta(max_length=9)]
    both: Annotated[int, Meta(ge=2, le=5)]
    long: Milliseconds
    limit: Limit = 50
    ids: Annotated[list[Id], Meta(max_length=3)]
    kind: Literal["b", "a"] | None = None
    colours: list[Colours] | None = None


def test_types_are_told_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("csn_rt.edge.docs_types._own", lambda _struct: [])
    told = {field.name: (field.type, field.is_required, field.default) for field in fields_of(Sample)}

    assert told == {
        "plain": ("text", True, ""),
        "bounded": ("text, at most 9 characters", True, ""),
        "both": ("integer, 2 to 5", True, ""),
        "long": ("integer", True, ""),
        "limit": ("integer, 1 to 100", False, "50"),
        "ids": ("list of ids, at most 3 items", True, ""),
        "kind": ("`a` or `b` or null", False, ""),
        "colours": ("list of [Colours](#colours) or null", False, ""),
    }
    assert [Colours] == list(structs_in(Sample))


def test_words_with_a_meaning_are_told():
    (events,) = vocabularies_in(ProgressReport)

    assert ("PlaybackEvent", "What made the player report.") == (events.name, events.summary)
    assert "stop        the player was closed" in events.words
    assert "See [PlaybackEvent](#playbackevent)." in [field.meaning for field in fields_of(ProgressReport)]


def test_refusals_come_from_the_handler():
    found = {(refusal.status, refusal.code) for refusal in refusals_of(OPERATIONS["stream.start"])}

    assert {(404, "not_found"), (409, "already_live")} == found
    assert [] == refusals_of(TABLE["thing.save"])
