"""From a query string to parameters."""

from typing import Annotated

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from csn_rt.edge.query_string import list_fields, parse_pairs
from csn_rt.errors import BadRequest
from csn_rt.wire.types import Id, Params


class Mixed(Params, frozen=True, kw_only=True):
    one: str
    many: list[str]
    bounded: Annotated[list[int], Meta(max_length=3)]
    maybe: list[Id] | None = None
    unset: list[Id] | UnsetType = UNSET
    several: tuple[int, ...] = ()
    distinct: frozenset[str] = frozenset()
    renamed: list[str] = msgspec.field(name="other", default_factory=list)


def test_fields_of_several_values_are_known_by_their_name_on_the_wire():
    assert {"many", "bounded", "maybe", "unset", "several", "distinct", "other"} == list_fields(Mixed)


@pytest.mark.parametrize(
    "pairs",
    [
        [("many", "a,b,c")],
        [("many", "a"), ("many", "b"), ("many", "c")],
        [("many", "a"), ("one", "1"), ("many", "b,c")],
        [("many", ",a,,b,c,")],
    ],
)
def test_a_list_comes_with_commas_or_repeated(pairs: list[tuple[str, str]]):
    assert ["a", "b", "c"] == parse_pairs(pairs, frozenset({"many"}))["many"]


def test_an_empty_list_is_a_list():
    assert {"many": []} == parse_pairs([("many", "")], frozenset({"many"}))


def test_a_comma_in_a_single_value_belongs_to_it():
    assert {"one": "a,b"} == parse_pairs([("one", "a,b")], frozenset({"many"}))


def test_a_single_value_given_twice_is_refused_by_name():
    with pytest.raises(BadRequest, match="`one`"):
        parse_pairs([("one", "a"), ("one", "a")], frozenset())
