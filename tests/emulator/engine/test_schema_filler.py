"""Structured output: JSON schemas, JSON objects and regular expressions, filled from the prompt."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.emulator.conftest import INTEGER, STRING, Chat

PERSON = {
    "type": "object",
    "properties": {"name": STRING, "age": INTEGER, "email": {"type": "string", "format": "email"}},
    "required": ["name", "age"],
}
EVERYTHING = {
    "type": "object",
    "properties": {
        "kind": {"const": "review"},
        "tone": {"enum": ["good", "bad", "mixed"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "nothing": {"type": "null"},
        "when": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{2}$"},
        "tags": {"type": "array", "items": STRING, "minItems": 2, "maxItems": 4, "uniqueItems": True},
        "who": {"$ref": "#/$defs/Person"},
        "both": {"allOf": [{"$ref": "#/$defs/Person"}, {"properties": {"extra": INTEGER}, "required": ["extra"]}]},
        "short": {"type": "string", "maxLength": 3},
        "long": {"type": "string", "minLength": 80},
        "flag": {"type": ["boolean", "null"]},
        "pair": {"type": "array", "prefixItems": [INTEGER, STRING]},
    },
    "required": [
        "kind",
        "tone",
        "score",
        "ratio",
        "note",
        "nothing",
        "when",
        "code",
        "tags",
        "who",
        "both",
        "short",
        "long",
        "flag",
        "pair",
    ],
    "$defs": {"Person": PERSON},
}


def fill_schema(chat: Chat, prompt: str, schema: dict[str, Any], nested: bool = True) -> Any:
    form = {"json_schema": {"name": "x", "schema": schema}} if nested else {"schema": schema}
    return json.loads(chat.text(prompt, response_format={"type": "json_schema", **form}))


@pytest.mark.parametrize("nested", [True, False])
def test_values_come_from_the_prompt(chat: Chat, nested: bool) -> None:
    value = fill_schema(chat, "Extract: Alice Smith is 30 years old, reach her at alice@x.org", PERSON, nested)
    assert value == {"name": "Alice Smith", "age": 30, "email": "alice@x.org"}


def test_optional_field_without_a_value_is_omitted(chat: Chat) -> None:
    assert fill_schema(chat, "Extract: Bob Stone, age 25", PERSON) == {"name": "Bob Stone", "age": 25}


def test_list_of_objects(chat: Chat) -> None:
    schema = {
        "type": "object",
        "properties": {"people": {"type": "array", "items": {"$ref": "#/$defs/P"}}},
        "required": ["people"],
        "$defs": {"P": PERSON},
    }
    value = fill_schema(chat, "Extract people: Alice (30) and Bob Stone (25).", schema)
    assert value == {"people": [{"name": "Alice", "age": 30}, {"name": "Bob Stone", "age": 25}]}


def test_keywords_of_json_schema(chat: Chat) -> None:
    value = fill_schema(chat, "The review by Ada Berg, aged 44, was bad: score 9", EVERYTHING)
    assert set(value) == set(EVERYTHING["properties"])
    assert (value["kind"], value["tone"], value["score"], value["nothing"]) == ("review", "bad", 5, None)
    assert 0 < value["ratio"] < 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", value["when"])
    assert re.fullmatch(r"[A-Z]{3}-\d{2}", value["code"])
    assert 2 <= len(set(value["tags"])) == len(value["tags"]) <= 4
    assert value["who"]["name"] == "Ada Berg"
    assert set(value["both"]) >= {"name", "age", "extra"}
    assert len(value["short"]) <= 3
    assert len(value["long"]) >= 80
    assert isinstance(value["pair"][0], int) and isinstance(value["pair"][1], str)


def test_recursive_schemas(chat: Chat) -> None:
    node = {
        "type": "object",
        "properties": {"value": STRING, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["value", "children"],
    }
    value = fill_schema(chat, "A tree of 'words'", node)
    assert value["value"] == "words"
    endless = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    fill_schema(chat, "hi", endless)


def test_verdict_depends_on_the_context(chat: Chat) -> None:
    schema = {
        "type": "object",
        "properties": {"binary_score": {"type": "string", "description": "Documents are relevant, 'yes' or 'no'"}},
        "required": ["binary_score"],
    }
    prompt = "Retrieved document:\n\n{}\n\nUser question: What do otters eat?"
    assert fill_schema(chat, prompt.format("Otters eat crabs."), schema) == {"binary_score": "yes"}
    assert fill_schema(chat, prompt.format("Kilns are ovens."), schema) == {"binary_score": "no"}


def test_json_object_has_the_keys_in_the_prompt(chat: Chat) -> None:
    prompt = "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON."
    assert list(json.loads(chat.text(prompt, response_format={"type": "json_object"}))) == ["setup", "punchline"]
    prompt = "Ann is 30 years old. Answer in JSON with the keys 'name' and 'age'."
    assert json.loads(chat.text(prompt, response_format={"type": "json_object"})) == {"name": "Ann", "age": 30}
    assert isinstance(json.loads(chat.text("Anything in JSON", response_format={"type": "json_object"})), dict)
    flat = {"type": "json_object", "schema": PERSON}
    assert json.loads(chat.text("Bob, 25", response_format=flat))["age"] == 25


def test_schema_in_the_prompt(chat: Chat) -> None:
    prompt = f"Make a person named Ada Berg, aged 44.\n\nHere's a JSON schema to follow:\n{json.dumps(PERSON)}\n\nOutput a valid JSON object but do not repeat the schema.\n"
    assert json.loads(chat.text(prompt)) == {"name": "Ada Berg", "age": 44}
    template = prompt.replace("{", "{{").replace("}", "}}")
    assert json.loads(chat.text(template)) == {"name": "Ada Berg", "age": 44}


@pytest.mark.parametrize(
    "pattern",
    [
        "(yes|no)",
        "(positive|neutral|negative)",
        r"\d{3}-\d{4}",
        "[A-Z][a-z]+ is [^aeiou]{3,8}",
        r"^(\w+)\s\1$",
        "(a+)+$",
        r"(?P<n>x)(?P=n)?[^\d]*",
        "a{2}|b",
    ],
)
def test_regular_expressions(chat: Chat, pattern: str) -> None:
    text = chat.text("The review is negative.", response_format={"type": "regex", "pattern": pattern})
    assert re.search(f"^(?:{pattern})$", text)
    if "negative" in pattern:
        assert text == "negative"


@pytest.mark.parametrize(
    "form",
    [{"type": "regex", "pattern": "("}, {"type": "regex", "pattern": "a{99999}"}, {"type": "json_schema"}, {"type": "xml"}],
)
def test_invalid_response_formats(chat: Chat, form: dict[str, Any]) -> None:
    answer = chat.post("hi", response_format=form, stream=True)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["type"] == "invalid_request_error"  # JSON, although the request was for a stream
