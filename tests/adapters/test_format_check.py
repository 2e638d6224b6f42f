"""What follows a response format with certainty; pydantic says what is right."""

from __future__ import annotations

import datetime
import json
import uuid
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter, ValidationError, create_model

from together_adapters.adapters.format_check import follows_format


class Place(BaseModel):
    name: str
    kind: Literal["city", "land"] = "city"
    inside: Place | None = None


class Report(BaseModel):
    place: Place
    degrees: float
    hours: list[int]
    notes: dict[str, str] = {}
    wet: bool | None = None


GOOD: dict[str, Any] = {"place": {"name": "Rome"}, "degrees": 20, "hours": [1, 2]}
VALUES: list[tuple[Any, bool]] = [
    (GOOD, True),
    ({**GOOD, "degrees": 20.5, "notes": {"a": "b"}, "wet": None, "other": 1}, True),
    ({**GOOD, "place": {"name": "Rome", "kind": "city", "inside": {"name": "Italy", "kind": "land"}}}, True),
    ({**GOOD, "hours": [], "wet": True}, True),
    ({**GOOD, "place": {"name": "Rome", "kind": "sea"}}, False),
    ({**GOOD, "place": {"name": "Rome", "inside": {"kind": "land"}}}, False),
    ({**GOOD, "hours": ["one"]}, False),
    ({**GOOD, "notes": {"a": 1}}, False),
    ({**GOOD, "degrees": None}, False),
    ({**GOOD, "degrees": True}, False),
    ({"degrees": 20, "hours": []}, False),
    ([GOOD], False),
    ("Rome", False),
    (None, False),
]


def native(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "report", "schema": schema}}


@pytest.mark.parametrize(("value", "is_right"), VALUES, ids=str)
def test_values(value: Any, is_right: bool) -> None:
    text = json.dumps(value)
    assert follows_format(text, native(Report.model_json_schema())) is is_right
    try:
        Report.model_validate_json(text, strict=True)
    except ValidationError:
        assert not is_right


@pytest.mark.parametrize("text", ["", "It rains.", "```json\n{}\n```", '{"a": NaN}', "{", "{} {}", "[" * 100_000])
def test_texts_that_are_no_json(text: str) -> None:
    assert not follows_format(text, {"type": "json_object"})
    assert not follows_format(text, native({}))


@pytest.mark.parametrize(
    ("response_format", "is_certain"),
    [
        ({"type": "json_object"}, True), ({"type": "json_object", "schema": {"required": ["degrees"]}}, True),
        (native({"additionalProperties": False}), False), (native({"properties": {"degrees": {"type": ["string", "integer"]}}}), True),
        (native({"properties": {"degrees": {"enum": [True, "1"]}}}), False), (native({"properties": {"degrees": {"const": 1}}}), True),
        (native({"allOf": [{"type": "object"}, {"required": ["hours"]}]}), False), (native({"$ref": "#/$defs/a"}), False),
        (native({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), False), (native({"$ref": "https://x/a"}), False),
        (native({"not": {}}), False), (native({"if": {}}), False), (native({"oneOf": [{}]}), True), (native({"oneOf": [{}, {}]}), False),
        (native({"x-order": 1, "format": "weather", "readOnly": True}), True), (native({"minProperties": "1"}), False),
        (native({"properties": {"degrees": {"multipleOf": 0}}}), False), (native({"properties": {"degrees": {"multipleOf": "a"}}}), False),
        (native({"patternProperties": {"^d": {"minimum": 2}}}), False), (native({"patternProperties": {"(": {}}}), False),
        (native({"propertyNames": {"pattern": "^d(?!a)"}}), True), (native({"propertyNames": {"maxLength": 6}}), False),
        (native({"properties": {"degrees": {"$ref": "#"}}}), True), (native(None), False), (native({}), True),
        ({"type": "json_schema"}, False), ({"type": "regex", "pattern": ".*"}, False), ("json", False), (None, False),
    ],
)  # fmt: skip
def test_formats(response_format: Any, is_certain: bool) -> None:
    assert follows_format('{"degrees": 1}', response_format) is is_certain


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(pattern="^[A-Z]")]


BOUNDS = st.integers(-2, 3)
LEAVES = st.one_of(
    st.builds(lambda a, b: Annotated[int, Field(ge=a, lt=b)], BOUNDS, BOUNDS),
    st.builds(lambda a, b: Annotated[float, Field(gt=a, le=b)], BOUNDS, BOUNDS),
    st.builds(lambda a: Annotated[int, Field(multiple_of=a)], st.integers(1, 3)),
    st.builds(lambda a: Annotated[float, Field(multiple_of=a)], st.sampled_from([0.5, 0.1, 2])),
    st.builds(lambda a, b: Annotated[str, Field(min_length=a, max_length=b)], st.integers(0, 3), st.integers(0, 3)),
    st.builds(lambda a: Annotated[str, Field(pattern=a)], st.sampled_from(["^[a-z]+$", r"\d", "^é?.{2}$"])),
    st.sampled_from([
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, uuid.UUID, IPv4Address, AnyUrl, bool, str, int, float,
        Literal["a", 1], Annotated[Cat | Dog, Field(discriminator="kind")],
    ]),
)  # fmt: skip
TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda kind, a, b: Annotated[list[kind], Field(min_length=a, max_length=b)], inner, *[st.integers(0, 2)] * 2),
        st.builds(lambda kind, a: Annotated[dict[str, kind], Field(min_length=a)], inner, st.integers(0, 2)),
        st.builds(lambda one, other: tuple[one, other], inner, inner),
        st.builds(lambda one, other: one | other | None, st.just(datetime.date), inner),
    ),
    max_leaves=4,
)
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 4), st.sampled_from([0.5, 0.1, 0.3, 2.0, 1e300]),
    st.sampled_from([
        "", "a", "é", "ab", "A1", "2026-10-07", "2026-02-30", "2026-10-07T12:00:00Z", "12:00:00", "P1DT2H", "1.2.3.4", "1.2.3",
        "7c9e6679-7425-40de-944b-e07fc1f90ae7", "https://a.b/c", "-1.5", "2.5",
    ]),
    st.sampled_from([{"kind": "cat", "lives": 9}, {"kind": "cat", "lives": 10}, {"kind": "dog", "name": "Rex"}, {"kind": "dog", "name": "x"}]),
)  # fmt: skip
JSON = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("a bb c".split()), inner), max_leaves=5
)


@given(TYPES, JSON)
def test_constraints_are_judged_as_pydantic_does(kind: Any, value: Any) -> None:
    model = create_model("Answer", value=(kind, ...))
    text = json.dumps({"value": value})
    verdict = follows_format(text, native(model.model_json_schema()))
    assert verdict == is_valid(TypeAdapter(model), text)


def is_valid(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_json(text, strict=True)
    except ValidationError:
        return False
    return True
