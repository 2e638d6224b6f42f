"""Structured output: JSON schemas, JSON objects and regular expressions, filled from the prompt."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings, strategies

from tests.emulator.conftest import INTEGER, STRING, Chat, joined, tool
from tests.emulator.engine.random_schemas import RandomSchemas
from together_adapters.emulator.engine.regex_generator import generate_match
from together_adapters.emulator.engine.regular_expressions import Regex
from together_adapters.emulator.engine.schema_filler import fill
from together_adapters.emulator.errors import Unsatisfiable

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


SENTENCE = "Otters eat crabs every day."
PASSAGES = "Context:\n[1] Boats have 50 oars.\n\n[2] Otters eat crabs every day.\n\n[3] Beavers build 9 dams.\n\nQuestion: "


@pytest.mark.parametrize(
    ("name", "item", "citations"),
    [
        ("citations", {"type": "integer"}, [2]),
        ("source_ids", {"type": "string"}, ["2"]),
        ("references", {"$ref": "#/$defs/Citation"}, [{"source_id": 2, "quote": SENTENCE}]),
    ],
)
def test_citations_are_of_the_answer(chat: Chat, name: str, item: Any, citations: list[Any]) -> None:
    citation = {
        "type": "object",
        "properties": {"source_id": {"type": "integer"}, "quote": {"type": "string"}},
        "required": ["source_id", "quote"],
    }
    properties = {"answer": {"type": "string"}, name: {"type": "array", "items": item}}
    schema = {"type": "object", "properties": properties, "required": list(properties), "$defs": {"Citation": citation}}
    value = fill_schema(chat, f"{PASSAGES}What do otters eat?", schema)
    assert value == {"answer": "Otters eat crabs every day [2].", name: citations}
    assert fill_schema(chat, f"{PASSAGES}Who reigns in Norway?", schema)[name] == []
    named = PASSAGES.replace("[1]", "Source: a.txt\nContent:").replace("[2]", "Source: b.txt\nContent:")
    assert fill_schema(chat, f"{named}What do otters eat?", schema)[name] == (["b.txt"] if "string" in str(item) else citations)


def test_numbers_are_no_citations_without_passages(chat: Chat) -> None:
    schema = {
        "type": "object",
        "properties": {"references": {"type": "array", "items": {"type": "integer"}}},
        "required": ["references"],
    }
    assert fill_schema(chat, "The order has the references 41 and 52.", schema) == {"references": [41, 52]}


@pytest.mark.parametrize("nested", [True, False])
def test_values_come_from_the_prompt(chat: Chat, nested: bool) -> None:
    value = fill_schema(chat, "Extract: Alice Smith is 30 years old, reach her at alice@x.org", PERSON, nested)
    assert value == {"name": "Alice Smith", "age": 30, "email": "alice@x.org"}


def test_optional_field_without_a_value_is_omitted(chat: Chat) -> None:
    assert fill_schema(chat, "Extract: Bob Stone, age 25", PERSON) == {"name": "Bob Stone", "age": 25}


def test_words_that_ask_are_no_values(chat: Chat) -> None:
    properties = {"item": STRING, "quantity": {"anyOf": [INTEGER, {"type": "null"}], "default": None}}
    schema = {"title": "PaintOrder", "type": "object", "properties": properties, "required": ["item"]}
    assert fill_schema(chat, "We'd like to order 7 tins of blue paint.", schema) == {"item": "tins blue", "quantity": 7}
    assert fill_schema(chat, "I need one order of the item M6.", schema) == {"item": "M6"}


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


def test_verdict_depends_on_the_context(chat: Chat) -> None:
    schema = {
        "type": "object",
        "properties": {"binary_score": {"enum": ["yes", "no"], "description": "whether the document is relevant"}},
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


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"type": "string", "pattern": "["}, "pattern"),
        ({"type": "string", "pattern": r"^\p{L}+$"}, "pattern"),
        ({"type": "string", "pattern": "a{3000}"}, "pattern"),
        ({"type": "array", "contains": {"type": "integer"}, "minContains": 10**9}, "minContains"),
        ({"type": "string", "minLength": 10**9}, "minLength"),
        ({"type": "array", "minItems": 10**9}, "minItems"),
        ({"type": "text"}, "type"),
        ({"enum": "x"}, "enum"),
        ({"enum": []}, "enum"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "false"),
        ({"not": {}}, "not"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "$ref"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "$ref"),
        ({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}, "$ref"),
    ],
)
def test_a_schema_without_an_answer_is_refused(chat: Chat, schema: dict[str, Any], keyword: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        {"response_format": {"type": "json_object", "schema": schema}},
        {"tools": [tool("f", field=schema)], "tool_choice": "required"},
    ]
    for body in bodies:
        answer = chat.post("hi", **body)
        assert answer.status_code == 400
        assert f"`{keyword}`" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "array", "items": {"const": "beta"}}, ["beta"]),
        ({"type": "array", "items": {"anyOf": [{"const": "alpha"}, {"const": "beta"}, {"const": "gamma"}]}}, ["beta", "gamma"]),
        ({"anyOf": [{"const": "alpha"}, {"const": "gamma"}]}, "gamma"),
        ({"anyOf": [{"type": "string", "pattern": "a{3000}"}, {"const": "gamma"}]}, "gamma"),
        (
            {"anyOf": [{"const": "one", "description": "Books a flight"}, {"const": "two", "description": "Reads a letter"}]},
            "two",
        ),
        (
            {"type": "array", "items": {"type": "object", "properties": {"kind": {"const": 3}}, "required": ["kind"]}},
            [{"kind": 3}],
        ),
    ],
)
def test_constants(chat: Chat, schema: dict[str, Any], expected: Any) -> None:
    wrapped = {"type": "object", "properties": {"field": schema}, "required": ["field"]}
    assert fill_schema(chat, "a letter with beta, then gamma", wrapped) == {"field": expected}


def test_quoted_values_follow_formats_and_patterns(chat: Chat) -> None:
    schema = {
        "type": "object",
        "properties": {"day": {"type": "string", "format": "date"}, "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"}},
        "required": ["day", "code"],
    }
    assert fill_schema(chat, "order ABC-12 of 2025-03-04.", schema) == {"day": "2025-03-04", "code": "ABC-12"}


def check_random_schemas(seeds: range) -> None:
    """Every value is valid, and no schema is refused that one of some simple values satisfies."""
    values = RandomSchemas(-1)
    pool = [values.value() for _ in range(100)]
    for seed in seeds:
        schema = RandomSchemas(seed).root()
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        try:
            value = fill(schema, "Ada Berg, aged 44, lives in Oslo. She likes 'red' and 12.5 things.")
        except Unsatisfiable:
            assert not any(map(validator.is_valid, pool)), seed
        else:
            validator.validate(value)


def test_values_are_valid_under_random_schemas() -> None:
    check_random_schemas(range(300))


@pytest.mark.slow
def test_values_are_valid_under_many_random_schemas() -> None:
    check_random_schemas(range(300, 3_300))


def test_streamed_answers_under_a_schema_are_the_same(chat: Chat) -> None:
    for seed in range(15):
        schema = RandomSchemas(seed).root()
        for body in (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
            {"tools": [tool("f", field=schema)], "tool_choice": "required"},
        ):
            whole = chat.post("Ada Berg, aged 44", **body)
            if whole.status_code == 400:
                assert chat.post("Ada Berg, aged 44", stream=True, **body).json() == whole.json()
                continue
            message, stream = whole.json()["choices"][0]["message"], joined(chat.chunks("Ada Berg, aged 44", **body))
            assert stream["text"] == (message["content"] or "")
            calls = [call["function"] for call in message["tool_calls"]]
            assert [{key: call[key] for key in ("name", "arguments")} for call in stream["calls"]] == calls


ATOMS = strategies.sampled_from(
    ("a", "b", "1", r"\d", r"\w", "[a-c]", "[^a]", ".", r"\s", r"\.", r"\D", r"\W", r"\S", "^", "$", r"\b")
)
FORMS = (
    "{0}{1}",
    "(?:{0}|{1})",
    "(?:{0})*",
    "(?:{0})+?",
    "(?:{0}){{2}}",
    "({0})",
    "(?={0}){1}",
    "(?!{0}){1}",
    "(?i:{0})",
    r"(?:({0})\1)",
)


@settings(max_examples=150, database=None)
@given(
    strategies.recursive(
        ATOMS, lambda inner: strategies.builds(str.format, strategies.sampled_from(FORMS), inner, inner), max_leaves=8
    ),
    strategies.text("ab1 .-\nAB", max_size=5),
)
def test_texts_match_random_patterns(pattern: str, text: str) -> None:
    try:
        compiled = re.compile(pattern)
        assert Regex(pattern).matches(text) == bool(compiled.fullmatch(text))
        assert Regex(pattern).is_found(text) == bool(compiled.search(text))
        assert compiled.fullmatch(generate_match(pattern))
    except (re.error, ValueError):  # such as `a^`, which matches nothing
        return


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a|a)*b", "(.*)*(.*)*(.*)*z", r"^(?=.*[A-Z])(?=.*\d).{8,}$"])
def test_patterns_that_backtrack(chat: Chat, pattern: str) -> None:
    prompt = "a" * 50 + "1 " + "x" * 50 + "1"
    assert re.fullmatch(pattern, chat.text(prompt, response_format={"type": "regex", "pattern": pattern}))


@pytest.mark.parametrize("pattern", ["a(?!a)a", "(?>a)b", "x^"])
def test_patterns_without_a_match_are_refused(chat: Chat, pattern: str) -> None:
    assert chat.post("hi", response_format={"type": "regex", "pattern": pattern}).status_code == 400
