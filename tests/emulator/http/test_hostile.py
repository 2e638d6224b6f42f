"""Every request gets a fast response in valid UTF-8, and no 5xx."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.emulator.conftest import MODEL, STRING, tool

pytestmark = pytest.mark.long

LONG = "deepseek-ai/DeepSeek-V4.1-Flash"
DEEP = "[" * 3_000 + "]" * 3_000


def chat_body(content: Any = "hi", **more: Any) -> dict[str, Any]:
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
    "deep": DEEP, "deep inside": f'{{"model":"{MODEL}","messages":{DEEP}}}', "nan": '{"model":NaN}', "infinity": '{"model":"openai/gpt-oss-120b","temperature":-Infinity}',
    "huge number": f'{{"model":"openai/gpt-oss-120b","seed":{"9" * 5_000}}}', "bad utf-8": b'{"model":"\xff"}', "empty": "", "text": "hello", "list": "[]", "null": "null",
    "surrogates": r'{"model":"openai/gpt-oss-120b","messages":[{"role":"user","content":"say \ud800 hi"}]}', "surrogate model": r'{"model":"a/\udfff","messages":[{"role":"user","content":"x"}]}',
    "surrogate tool": chat_body("call it", tools=[tool("f\ud800", "\udfff", **{"\ud800": STRING})], tool_choice="required"),
    "10 MB": chat_body("word " * 2_000_000), "3 MB long": {**chat_body("Go on. " * 500_000), "model": LONG}, "dots": {**chat_body("Context:\n" + "." * 2_000_000 + "\nQuestion: x?"), "model": LONG},
    "blanks": {**chat_body(" \n" * 1_000_000 + "?"), "model": LONG}, "dashes": {**chat_body("below:\n" + "-----\n" * 300_000 + "?"), "model": LONG},
    "braces": {**chat_body("JSON schema below " + '{"a":' * 300_000), "model": LONG}, "marks": {**chat_body("[1] a\n" * 300_000), "model": LONG}, "tags": {**chat_body("<document " * 200_000), "model": LONG},
    "names": {**chat_body("in A. " * 300_000, tools=[tool("f", "x", city=STRING)], tool_choice="required"), "model": LONG}, "many messages": {"model": LONG, "messages": [{"role": "user", "content": "x"}] * 100_000},
    "messages text": {"model": MODEL, "messages": "hi"}, "messages {}": {"model": MODEL, "messages": {}}, "message 1": {"model": MODEL, "messages": [1]}, "no content": chat_body(None), "content 5": chat_body(5),
    "content {}": chat_body({}), "parts": chat_body([1, None, {"type": "text"}]), "part type": chat_body([{"type": []}]), "role": {"model": MODEL, "messages": [{"role": [], "content": "x"}]},
    "tools 5": chat_body(tools=5), "tools [5]": chat_body(tools=[5]), "tools {}": chat_body(tools=[{"type": "function", "function": "f"}]), "choice 5": chat_body(tools=[tool("f")], tool_choice=5), "choice {}": chat_body(tools=[tool("f")], tool_choice={}),
    "odd schema": chat_body("call f", tools=[tool("f", "x", **ODD)], tool_choice="required"), "odd required": chat_body(tools=[{"function": {"name": "f", "parameters": {"properties": [], "required": [1, {}]}}}], tool_choice="required"),
    "calls 5": {"model": MODEL, "messages": [{"role": "assistant", "tool_calls": 5}]}, "format 5": chat_body(response_format=5), "format []": chat_body(response_format={"type": []}),
    "cycle": chat_body(response_format=form({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": MANY, "required": list(MANY)}}})),
    "loop": chat_body(response_format=form({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}})), "doubling": chat_body(response_format=form(doubling(10))),
    "wide": chat_body("hello 5 " * 2_000, response_format=form({"type": "object", "properties": {f"p{at}": {"type": ["string", "integer"]} for at in range(2_000)}, "required": [f"p{at}" for at in range(2_000)]})),
    "long key": chat_body(response_format=form({"type": "object", "properties": {"k" * 500_000: STRING}})), "evil pattern": chat_body("a" * 5_000, response_format={"type": "regex", "pattern": "(a+)+$"}),
    "big pattern": chat_body(response_format={"type": "regex", "pattern": "((((a{99}){99}){99}){99})"}), "deep pattern": chat_body(response_format={"type": "regex", "pattern": "(" * 500 + "a" + ")" * 500}),
    "max_tokens 0": chat_body(max_tokens=0), "max_tokens text": chat_body(max_tokens="5"), "max_tokens huge": chat_body(max_tokens=10**30), "stop 5": chat_body(stop=5), "stop empty": chat_body(stop=[""]), "n": chat_body(n=1000), "stream": chat_body(stream="yes"),
    "stream_options": chat_body(stream=True, stream_options=5), "logprobs": chat_body(logprobs="a"), "reasoning": chat_body(reasoning=5), "kwargs": chat_body(chat_template_kwargs=[]), "temperature": chat_body(temperature="hot"), "model []": {"model": []},
}  # fmt: skip
ACCEPTED_BODIES = {"3 MB long", "dots", "blanks", "dashes", "braces", "marks", "tags", "names", "doubling", "wide",
            "long key", "evil pattern", "stop empty"}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies(http: httpx.Client, name: str) -> None:
    body = BODIES[name]
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    answer = http.post("/chat/completions", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code == 200) is (name in ACCEPTED_BODIES)
    assert answer.status_code < 500
    parsed = json.loads(answer.content.decode("utf-8"))
    if name not in ACCEPTED_BODIES:
        assert parsed["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"input": "x " * 1_500_000}, {"input": ["Instruct: " * 100] * 1_000}, {"input": "\ud800"}, {"input": ["a b c " * 60] * 2_048}, {"input": {}},
        {"input": "a", "dimensions": "x"}, {"model": "togethercomputer/m2-bert-80M-32k-retrieval", "input": " ".join(f"w{at}" for at in range(20_000))},
    ],
)  # fmt: skip
def test_hostile_embeddings(http: httpx.Client, body: dict[str, Any]) -> None:
    content = json.dumps({"model": "BAAI/bge-base-en-v1.5", **body}).encode()
    assert http.post("/embeddings", content=content, headers={"content-type": "application/json"}).status_code < 500


def test_hostile_rerank_and_completions(http: httpx.Client) -> None:
    long = {"model": "Salesforce/Llama-Rank-V1", "query": "word x", "documents": ["word " * 1_000] * 1_024}
    for path, body in (
        ("/rerank", long),
        ("/completions", {"model": MODEL, "prompt": ["a", "b"]}),
        ("/completions", {"model": MODEL, "prompt": {}}),
    ):
        assert http.post(path, json=body).status_code < 500
