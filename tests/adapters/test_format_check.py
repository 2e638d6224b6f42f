"""What follows a response format with certainty; pydantic says what is right."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

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


class Bounded(BaseModel):
    degrees: Annotated[int, Field(ge=0)]


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
        (native(Bounded.model_json_schema()), False), (native({"oneOf": [{}]}), False), (native(None), False), (native({}), True),
        ({"type": "json_schema"}, False), ({"type": "regex", "pattern": ".*"}, False), ("json", False), (None, False),
    ],
)  # fmt: skip
def test_formats(response_format: Any, is_certain: bool) -> None:
    assert follows_format('{"degrees": 1}', response_format) is is_certain
