"""Faults inside complete answers: JSON that is broken, odd or not what the API promises."""

from __future__ import annotations

import base64
import codecs
import json
import struct
from collections.abc import Callable
from typing import Any, Final

from tests.soak.faults import (
    CHATS,
    PLAIN,
    Kind,
    Reply,
    Request,
    chat_value,
    embeddings_value,
    http,
    json_reply,
    rerank_value,
    right_text,
    right_value,
    vector,
)

JSON_CALLS: Final = [call for call in PLAIN if call != "content"]
TYPED_CALLS: Final = [
    *CHATS,
    "completion",
    "embed",
    "rerank",
    "batch",
    "langchain-embed",
    "llama-embed",
    "langchain-rerank",
    "llama-rerank",
]
EMBEDS: Final = ["embed", "langchain-embed", "llama-embed"]
RERANKS: Final = ["rerank", "langchain-rerank", "llama-rerank"]
INVALID: Final = "APIResponseValidationError"
DOCUMENTED: Final = "answer|APIError|APIResponseValidationError"  # read where the meaning is clear, else refused


def body_kind(
    name: str, body: bytes | Callable[[Request], bytes], error: str = INVALID, calls: Any = JSON_CALLS, **options: Any
) -> Kind:
    content_type = options.pop("content_type", "application/json")

    def fault(request: Request) -> Reply:
        return [http(body(request) if callable(body) else body, content_type=content_type)]

    return Kind(name=name, fault=fault, error=error, calls=calls, **options)


def text_of(request: Request) -> str:
    return json.dumps(right_value(request), ensure_ascii=False)


BODIES: Final = [
    body_kind("empty-body", b""),
    body_kind("spaces", b" " * 100),
    body_kind("html", b"<!doctype html><title>sign in</title>", content_type="text/html"),
    body_kind("html-as-json", b"<!doctype html><title>sign in</title>"),
    body_kind("plain-text", b"OK", content_type="text/plain"),
    body_kind("json-null", b"null", calls=TYPED_CALLS),
    body_kind("json-number", b"7", calls=TYPED_CALLS),
    body_kind("json-text", b'"text"', calls=TYPED_CALLS),
    body_kind("json-list", b"[1]", calls=TYPED_CALLS),
    body_kind("json-true", b"true", calls=TYPED_CALLS),
    body_kind("cut-json", lambda request: text_of(request).encode()[:-2]),
    body_kind("json-and-more", lambda request: text_of(request).encode() + b"}"),
    body_kind("two-documents", lambda request: text_of(request).encode() * 2),
    body_kind("json-lines", lambda request: b'data: {"choices": []}\n\n'),
    body_kind("deep-nesting", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, weight=0.3),
    body_kind("deep-list", b"[" * 20_000, weight=0.3),
    body_kind("huge-number", b'{"choices": 1' + b"0" * 5_000 + b"}", calls=CHATS),
    body_kind("not-utf8", lambda request: text_of(request).encode("utf-8").replace("ü".encode(), b"\xfc\xff"), DOCUMENTED),
    body_kind("utf-16", lambda request: text_of(request).encode("utf-16"), DOCUMENTED),
    body_kind("latin-1", lambda request: text_of(request).encode("latin-1", "replace"), DOCUMENTED),
    body_kind("byte-order-mark", lambda request: codecs.BOM_UTF8 + text_of(request).encode(), DOCUMENTED),
    body_kind(
        "error-in-success",
        b'{"error": {"message": "overloaded", "type": "server_error"}}',
        "APIError|APIResponseValidationError",
        TYPED_CALLS,
    ),
    body_kind("error-text-in-success", b'{"error": "overloaded"}', "APIError|APIResponseValidationError", TYPED_CALLS),
    body_kind(
        "errors-in-success",
        b'{"data": null, "errors": ["overloaded"]}',
        "APIError|APIResponseValidationError",
        [*CHATS, *RERANKS],
    ),
    body_kind("other-content-type", lambda request: text_of(request).encode(), "", content_type="text/html; charset=latin-1"),
    body_kind("no-content-type", lambda request: text_of(request).encode(), "", content_type=""),
    body_kind("spaces-around", lambda request: b"\r\n\t " + text_of(request).encode() + b"\n" * 500, ""),
    body_kind("escapes", lambda request: json.dumps(right_value(request)).encode(), ""),
    body_kind(
        "unknown-fields", lambda request: json.dumps({**right_value(request), "new": [{"a": None}] * 9}).encode(), "", TYPED_CALLS
    ),
    body_kind("double-keys", lambda request: b'{"choices": [], ' + text_of(request).encode()[1:], "", CHATS),
]


def chat_kind(
    name: str, change: Callable[[dict[str, Any]], Any], error: str = DOCUMENTED, calls: Any = CHATS, **options: Any
) -> Kind:
    """Returns a kind whose answer is the right one, changed in place; numbers that JSON does not have are written all the same."""

    def fault(request: Request) -> Reply:
        value = chat_value(request.number)
        change(value)
        return [json_reply(value)]

    return Kind(name=name, fault=fault, error=error, calls=calls, **options)


def fields(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(values)


def choice(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["choices"][0].update(values)


def message(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["choices"][0]["message"].update(values)


def parts(value: dict[str, Any]) -> None:
    text = value["choices"][0]["message"]["content"]
    value["choices"][0]["message"]["content"] = [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]


def half_surrogate(value: dict[str, Any]) -> None:
    value["choices"][0]["message"]["content"] += "\ud83d"


def without_choices(value: dict[str, Any]) -> None:
    del value["choices"]


CALL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

CHAT: Final = [
    chat_kind("choices-null", fields(choices=None)),
    chat_kind("choices-empty", fields(choices=[])),
    chat_kind("choices-missing", without_choices),
    chat_kind("choices-of-null", fields(choices=[None])),
    chat_kind("choices-of-numbers", fields(choices=[1, 2]), "APIError|" + INVALID),
    chat_kind("choices-object", fields(choices={"0": {}}), "APIError|" + INVALID),
    chat_kind("choices-text", fields(choices="x"), "APIError|" + INVALID),
    chat_kind("message-null", choice(message=None)),
    chat_kind("message-text", choice(message="x")),
    chat_kind("message-list", choice(message=[])),
    chat_kind("content-null", message(content=None)),
    chat_kind("content-number", message(content=7)),
    chat_kind("content-parts", parts),
    chat_kind("content-object", message(content={"text": "x"})),
    chat_kind("content-nulls", message(content=[None, {"type": "text"}])),
    chat_kind("content-large", lambda value: None, ""),
    chat_kind("half-surrogate", half_surrogate, "", text=lambda number: right_text(number) + "\ufffd"),
    chat_kind("tool-calls-null", message(tool_calls=None), ""),
    chat_kind("tool-calls-of-null", message(tool_calls=[None])),
    chat_kind("tool-calls-object", message(tool_calls={"0": CALL})),
    chat_kind("tool-calls-text", message(tool_calls="[]")),
    chat_kind("tool-call-empty", message(tool_calls=[{}])),
    chat_kind("tool-call-without-function", message(tool_calls=[{"id": "x", "function": None}])),
    chat_kind("tool-call-name-null", message(tool_calls=[{**CALL, "function": {"name": None, "arguments": None}}])),
    chat_kind("tool-call-arguments-object", message(tool_calls=[{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}])),
    chat_kind("tool-call-arguments-broken", message(tool_calls=[{**CALL, "function": {"name": "f", "arguments": '{"a": "x\n'}}])),
    chat_kind("tool-call-id-number", message(tool_calls=[{**CALL, "id": 7}])),
    chat_kind("tool-call-index-text", message(tool_calls=[{**CALL, "index": "x"}])),
    chat_kind("tool-calls-of-one-id", message(tool_calls=[CALL, CALL])),
    chat_kind("role-null", message(role=None)),
    chat_kind("role-odd", message(role={"a": 1})),
    chat_kind("reasoning-object", message(reasoning={"text": "x"})),
    chat_kind("reasoning-list", message(reasoning_content=["x", None])),
    chat_kind("finish-null", choice(finish_reason=None)),
    chat_kind("finish-number", choice(finish_reason=3)),
    chat_kind("finish-object", choice(finish_reason={"type": "stop"})),
    chat_kind("index-text", choice(index="x")),
    chat_kind("index-huge", choice(index=10**30)),
    chat_kind("seed-huge", choice(seed=15924764223251450000), ""),
    chat_kind("logprobs-odd", choice(logprobs={"tokens": [None], "token_logprobs": [None], "top_logprobs": [7]})),
    chat_kind("logprobs-list", choice(logprobs=[1, None])),
    chat_kind("logprobs-nan", choice(logprobs={"content": [{"token": "a", "logprob": float("nan"), "top_logprobs": None}]})),
    chat_kind("usage-null", fields(usage=None), ""),
    chat_kind("usage-list", fields(usage=[])),
    chat_kind("usage-text", fields(usage="x")),
    chat_kind("usage-nan", fields(usage={"prompt_tokens": float("nan"), "total_tokens": float("inf")})),
    chat_kind("usage-negative", fields(usage={"prompt_tokens": -1, "completion_tokens": 1.5, "total_tokens": "3"})),
    chat_kind(
        "usage-details-odd", fields(usage={"prompt_tokens": 1, "prompt_tokens_details": [], "completion_tokens_details": 5})
    ),
    chat_kind("id-null", fields(id=None, created=None, model=None, object=None), ""),
    chat_kind("id-odd", fields(id={"a": 1}, created="x", model=[], object=7)),
    chat_kind("created-huge", fields(created=10**40)),
]


# Embeddings and rankings.


def rows_kind(name: str, change: Callable[[list[Any]], Any], error: str = INVALID, calls: Any = EMBEDS, **options: Any) -> Kind:
    """Returns a kind whose rows are changed in place, or replaced by what the change returns."""

    def fault(request: Request) -> Reply:
        value = embeddings_value(request)
        changed = change(value["data"])
        return [json_reply(value if changed is None else {**value, "data": changed})]

    return Kind(name=name, fault=fault, error=error, calls=calls, **options)


def row(position: int, /, **values: Any) -> Callable[[list[Any]], None]:
    return lambda rows: rows[position].update(values)


def packed(rows: list[Any]) -> None:
    for entry in rows:
        entry["embedding"] = base64.b64encode(struct.pack("<4f", *entry["embedding"])).decode()


def without_index(rows: list[Any]) -> None:
    for entry in rows:
        del entry["index"]


NAN: Final = float("nan")

EMBEDDINGS: Final = [
    rows_kind("rows-turned", lambda rows: rows.reverse(), ""),
    rows_kind("rows-without-index", without_index, ""),
    rows_kind("rows-packed", packed, ""),
    rows_kind("rows-missing", lambda rows: rows[:-1]),
    rows_kind("rows-extra", lambda rows: [*rows, {**rows[0], "index": len(rows)}]),
    rows_kind("rows-null", lambda rows: [None for _ in rows]),
    rows_kind("rows-none", lambda rows: []),
    rows_kind("rows-object", lambda rows: {"0": rows[0]}),
    rows_kind("rows-text", lambda rows: "rows"),
    rows_kind("row-index-double", row(1, index=0)),
    rows_kind("row-index-out-of-range", row(1, index=9)),
    rows_kind("row-index-negative", row(1, index=-1)),
    rows_kind("row-index-text", row(1, index="x")),
    rows_kind("row-index-list", row(1, index=[])),
    rows_kind("vector-null", row(1, embedding=None)),
    rows_kind("vector-empty", row(1, embedding=[])),
    rows_kind("vector-shorter", row(1, embedding=[0.5])),
    rows_kind("vector-nan", row(1, embedding=[NAN, 0.5, 0.5, 0.5])),
    rows_kind("vector-infinite", row(1, embedding=[float("inf"), 0.5, 0.5, 0.5])),
    rows_kind("vector-of-null", row(1, embedding=[None, 0.5, 0.5, 0.5])),
    rows_kind("vector-of-texts", row(1, embedding=["x", "y", "z", "w"])),
    rows_kind("vector-nested", row(1, embedding=[[0.5, 0.5, 0.5, 0.5]])),
    rows_kind("vector-object", row(1, embedding={"0": 0.5})),
    rows_kind("vector-bad-base64", row(1, embedding="?!")),
    rows_kind("vector-base64-of-3-bytes", row(1, embedding="AAAA")),
    rows_kind("vector-huge", row(1, embedding=[10**400, 0.5, 0.5, 0.5])),
    Kind(
        name="embeddings-usage-odd",
        fault=lambda request: [json_reply({**embeddings_value(request), "usage": {"prompt_tokens": "many"}})],
        error=DOCUMENTED,
        calls=EMBEDS,
    ),
    Kind(name="embeddings-data-null", fault=lambda request: [json_reply({"data": None})], error=INVALID, calls=EMBEDS),
    Kind(
        name="embeddings-large-input", fault=lambda request: too_large(request), calls=["embed-many"], always=True, max_requests=7
    ),
    Kind(
        name="embeddings-one-fails",
        fault=lambda request: one_fails(request),
        error="BadRequestError",
        calls=["embed-many"],
        always=True,
        max_requests=3,
    ),
]


def too_large(request: Request) -> Reply:
    """Refuses requests with more than one text, so that they are sent in halves."""
    if len(request.json["input"]) > 1:
        return [json_reply({"error": "too large"}, status="413 Too Large")]
    rows = [{"index": 0, "embedding": vector(request.number, int(request.json["input"][0]))}]
    return [json_reply({"data": rows})]


def one_fails(request: Request) -> Reply:
    if "2" in request.json["input"]:
        return [json_reply({"error": "no"}, status="400 No")]
    rows = [{"index": index, "embedding": vector(request.number, int(text))} for index, text in enumerate(request.json["input"])]
    return [json_reply({"data": rows})]


def ranks_kind(name: str, change: Callable[[list[Any]], Any], error: str = INVALID, calls: Any = RERANKS, **options: Any) -> Kind:
    def fault(request: Request) -> Reply:
        value = rerank_value(request)
        changed = change(value["results"])
        return [json_reply(value if changed is None else {**value, "results": changed})]

    return Kind(name=name, fault=fault, error=error, calls=calls, **options)


RANKINGS: Final = [
    ranks_kind("ranks-turned", lambda results: results.reverse(), ""),
    ranks_kind("ranks-null", lambda results: [None]),
    ranks_kind("ranks-object", lambda results: {"0": 1}),
    ranks_kind("ranks-text", lambda results: "x"),
    ranks_kind("rank-negative", row(0, index=-1)),
    ranks_kind("rank-double", row(0, index=0)),
    ranks_kind("rank-out-of-range", row(0, index=99)),
    ranks_kind("rank-text", row(0, index="x")),
    ranks_kind("rank-null", row(0, index=None)),
    ranks_kind("score-nan", row(0, relevance_score=NAN)),
    ranks_kind("score-infinite", row(0, relevance_score=float("inf"))),
    ranks_kind("score-null", row(0, relevance_score=None)),
    ranks_kind("score-text", row(0, relevance_score="high")),
    ranks_kind("score-list", row(0, relevance_score=[0.5])),
    ranks_kind("score-missing", lambda results: results[0].pop("relevance_score") and None),
    Kind(name="results-null", fault=lambda request: [json_reply({"results": None})], error=INVALID, calls=RERANKS),
    Kind(name="results-missing", fault=lambda request: [json_reply({"object": "rerank"})], error=INVALID, calls=RERANKS),
]

KINDS: Final = [*BODIES, *CHAT, *EMBEDDINGS, *RANKINGS]
