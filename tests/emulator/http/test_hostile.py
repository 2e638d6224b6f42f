"""Every request gets a fast response in valid UTF-8, and no 5xx."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.emulator.conftest import MODEL, STRING, tool

LONG = "meta-llama/Llama-4-Scout-17B-16E-Instruct"
DEEP = "[" * 3_000 + "]" * 3_000


def ask(content: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def form(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def doubling(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = STRING
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}, "required": ["a", "b"]}
    return schema


ODD = {
    "a": 5, "b": {"type": {}}, "c": {"enum": "x"}, "d": {"$ref": 5}, "e": {"anyOf": {}}, "f": {"type": ["string", 5]}, "g": {"type": "integer", "minimum": "x"},
    "h": {"type": "string", "pattern": "("}, "i": {"type": "string", "minLength": 10**9}, "j": {"type": "array", "minItems": 10**9, "items": {"properties": {"a": True}}},
    "k": {"items": [], "type": "array"}, "l": {"type": "number", "multipleOf": 0}, "m": {"type": "integer", "minimum": 1e308}, "n": {"allOf": [5]}, "o": {"enum": []},
    "p": {"description": 5, "type": "string"}, "q": {"format": {}, "type": "string"}, "r": {"examples": [1], "type": "string"}, "s": None, "t": True,
}  # fmt: skip
MANY = {letter: {"$ref": "#/$defs/A"} for letter in "abcdef"}
BODIES: dict[str, Any] = {
    "deep": DEEP, "deep inside": f'{{"model":"{MODEL}","messages":{DEEP}}}', "nan": '{"model":NaN}', "infinity": '{"model":"a/b","temperature":-Infinity}',
    "huge number": f'{{"model":"a/b","seed":{"9" * 5_000}}}', "bad utf-8": b'{"model":"\xff"}', "empty": "", "text": "hello", "list": "[]", "null": "null",
    "surrogates": r'{"model":"a/b","messages":[{"role":"user","content":"say \ud800 hi"}]}', "surrogate model": r'{"model":"a/\udfff","messages":[{"role":"user","content":"x"}]}',
    "surrogate tool": ask("call it", tools=[tool("f\ud800", "\udfff", **{"\ud800": STRING})], tool_choice="required"),
    "10 MB": ask("word " * 2_000_000), "3 MB long": {**ask("Go on. " * 500_000), "model": LONG}, "dots": {**ask("Context:\n" + "." * 2_000_000 + "\nQuestion: x?"), "model": LONG},
    "blanks": {**ask(" \n" * 1_000_000 + "?"), "model": LONG}, "dashes": {**ask("below:\n" + "-----\n" * 300_000 + "?"), "model": LONG},
    "braces": {**ask("JSON schema below " + '{"a":' * 300_000), "model": LONG}, "marks": {**ask("[1] a\n" * 300_000), "model": LONG}, "tags": {**ask("<document " * 200_000), "model": LONG},
    "names": {**ask("in A. " * 300_000, tools=[tool("f", "x", city=STRING)], tool_choice="required"), "model": LONG}, "many messages": {"model": LONG, "messages": [{"role": "user", "content": "x"}] * 100_000},
    "messages text": {"model": MODEL, "messages": "hi"}, "messages {}": {"model": MODEL, "messages": {}}, "message 1": {"model": MODEL, "messages": [1]}, "no content": ask(None), "content 5": ask(5),
    "content {}": ask({}), "parts": ask([1, None, {"type": "text"}]), "part type": ask([{"type": []}]), "role": {"model": MODEL, "messages": [{"role": [], "content": "x"}]},
    "tools 5": ask(tools=5), "tools [5]": ask(tools=[5]), "tools {}": ask(tools=[{"type": "function", "function": "f"}]), "choice 5": ask(tools=[tool("f")], tool_choice=5), "choice {}": ask(tools=[tool("f")], tool_choice={}),
    "odd schema": ask("call f", tools=[tool("f", "x", **ODD)], tool_choice="required"), "odd required": ask(tools=[{"function": {"name": "f", "parameters": {"properties": [], "required": [1, {}]}}}], tool_choice="required"),
    "calls 5": {"model": MODEL, "messages": [{"role": "assistant", "tool_calls": 5}]}, "format 5": ask(response_format=5), "format []": ask(response_format={"type": []}),
    "cycle": ask(response_format=form({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": MANY, "required": list(MANY)}}})),
    "loop": ask(response_format=form({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}})), "doubling": ask(response_format=form(doubling(10))),
    "wide": ask("hello 5 " * 2_000, response_format=form({"type": "object", "properties": {f"p{at}": {"type": ["string", "integer"]} for at in range(2_000)}, "required": [f"p{at}" for at in range(2_000)]})),
    "long key": ask(response_format=form({"type": "object", "properties": {"k" * 500_000: STRING}})), "evil pattern": ask("a" * 5_000, response_format={"type": "regex", "pattern": "(a+)+$"}),
    "big pattern": ask(response_format={"type": "regex", "pattern": "((((a{99}){99}){99}){99})"}), "deep pattern": ask(response_format={"type": "regex", "pattern": "(" * 500 + "a" + ")" * 500}),
    "max_tokens 0": ask(max_tokens=0), "max_tokens text": ask(max_tokens="5"), "max_tokens huge": ask(max_tokens=10**30), "stop 5": ask(stop=5), "stop empty": ask(stop=[""]), "n": ask(n=1000), "stream": ask(stream="yes"),
    "stream_options": ask(stream=True, stream_options=5), "logprobs": ask(logprobs="a"), "reasoning": ask(reasoning=5), "kwargs": ask(chat_template_kwargs=[]), "temperature": ask(temperature="hot"), "model []": {"model": []},
}  # fmt: skip
ANSWERED = {"surrogates", "surrogate model", "surrogate tool", "3 MB long", "dots", "blanks", "dashes", "braces", "marks", "tags", "names", "odd schema", "odd required", "cycle", "loop", "doubling", "wide",
            "long key", "evil pattern", "stop empty"}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies(http: httpx.Client, name: str) -> None:
    body = BODIES[name]
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    answer = http.post("/chat/completions", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code == 200) is (name in ANSWERED)
    assert answer.status_code < 500
    parsed = json.loads(answer.content.decode("utf-8"))
    if name not in ANSWERED:
        assert parsed["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"input": "x " * 1_500_000}, {"input": ["Instruct: " * 100] * 1_000}, {"input": "\ud800"}, {"input": ["a b c " * 60] * 2_048}, {"input": {}},
        {"input": "a", "dimensions": "x"}, {"model": "a/b", "input": " ".join(f"w{at}" for at in range(20_000))},
    ],
)  # fmt: skip
def test_hostile_embeddings(http: httpx.Client, body: dict[str, Any]) -> None:
    content = json.dumps({"model": "intfloat/multilingual-e5-large-instruct", **body}).encode()
    assert http.post("/embeddings", content=content, headers={"content-type": "application/json"}).status_code < 500


def test_hostile_rerank_and_completions(http: httpx.Client) -> None:
    long = {"model": "Salesforce/Llama-Rank-V1", "query": "word x", "documents": ["word " * 1_000] * 1_024}
    for path, body in (
        ("/rerank", long),
        ("/completions", {"model": MODEL, "prompt": ["a", "b"]}),
        ("/completions", {"model": MODEL, "prompt": {}}),
    ):
        assert http.post(path, json=body).status_code < 500
