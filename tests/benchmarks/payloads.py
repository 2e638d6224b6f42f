"""What is asked and what is answered, made once: bodies in the shapes the service sends, of sizes that tell costs apart."""

from __future__ import annotations

import json
import random
import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

MODEL: Final = "deepseek-ai/DeepSeek-V4.1-Flash"
EMBEDDING_MODEL: Final = "BAAI/bge-base-en-v1.5"
RERANK_MODEL: Final = "acme/ranker"
KEY: Final = "sk-benchmark-0123456789abcdef"

QUESTION: Final = "What is deep learning, and when is it the wrong tool?"
SENTENCE: Final = "Deep learning is a kind of machine learning that stacks simple layers into a deep one. "
CHUNKS: Final = 500
PACED_CHUNKS: Final = 150
RERANKED: Final = 100
DOCUMENT_MARK: Final = "document "
"""In every short document exactly once, so that the server counts the inputs of a request without parsing it."""

HEADERS: Final = {
    "date": "Tue, 11 Feb 2025 10:15:45 GMT",
    "connection": "keep-alive",
    "cache-control": "no-cache, no-transform",
    "cf-ray": "9103945bbdd36f8a-CDG",
    "retry-after": "2",
    "server": "cloudflare",
    "strict-transport-security": "max-age=15552000; includeSubDomains",
    "vary": "Accept-Encoding",
    "x-inference-version": "v2",
    "x-ratelimit": "false",
    "x-ratelimit-limit": "75",
    "x-ratelimit-limit-tokens": "16666",
    "x-ratelimit-remaining": "149",
    "x-ratelimit-remaining-tokens": "15971",
    "x-ratelimit-reset": "2",
}
"""The headers of a recorded answer."""

RATE_HEADERS: Final = {
    **{f"x_{kind}_{form}": str(count) for kind, count in (("ratelimit", 1_000_000), ("tokenlimit", 1_000_000_000)) for form in
       ("limit", "remaining", "limit_dynamic", "remaining_dynamic")},
    "x_ratelimit_reset": "2",
    "x_ratelimit_reset_dynamic": "2",
}  # fmt: skip
"""Those of rate limits that agree with each other and leave enough."""

_USAGE: Final = {"prompt_tokens": 31, "completion_tokens": 500, "total_tokens": 531}
_ABOUT: Final = {"id": "9103945bbdd36f8a", "created": 1739268945, "model": MODEL}


def text(size: int) -> str:
    """Return prose of `size` characters."""
    return (SENTENCE * (size // len(SENTENCE) + 1))[:size]


def chat_body(prompt: str = QUESTION) -> dict[str, Any]:
    """Return the body of a chat request."""
    system = {"role": "system", "content": "You are a helpful assistant."}
    return {"model": MODEL, "messages": [system, {"role": "user", "content": prompt}]}


def chat_reply(size: int) -> bytes:
    """Return a whole answer with a text of `size` characters."""
    message = {"role": "assistant", "content": text(size), "tool_calls": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None, "seed": 977986247412336500}
    return _bytes({**_ABOUT, "object": "chat.completion", "prompt": [], "choices": [choice], "usage": _USAGE})


def pieces(count: int) -> list[str]:
    """Return what the chunks of a stream say."""
    words = SENTENCE.split()
    return [("" if index == 0 else " ") + words[index % len(words)] for index in range(count)]


def events(count: int) -> list[bytes]:
    """Return the events of a stream of `count` chunks: the last one ends it and brings the usage, then the end marker."""
    parts = pieces(count)
    events = [_bytes(_chunk(part, last=index == count - 1)) for index, part in enumerate(parts)]
    return [b"data: " + data + b"\n\n" for data in [*events, b"[DONE]"]]


def _chunk(part: str, *, last: bool) -> dict[str, Any]:
    delta = {"token_id": 34564, "role": "assistant", "content": part, "tool_calls": None}
    choice = {
        "index": 0,
        "text": part,
        "logprobs": None,
        "finish_reason": "stop" if last else None,
        "seed": None,
        "delta": delta,
    }
    return {**_ABOUT, "object": "chat.completion.chunk", "choices": [choice], "usage": _USAGE if last else None}


def documents(count: int) -> list[str]:
    """Return short documents."""
    return [f"{DOCUMENT_MARK}{index}: {SENTENCE}" for index in range(count)]


def embedding_rows(count: int, dimensions: int, *, as_base64: bool = False) -> list[bytes]:
    """Return the JSON of `count` embeddings, each with its index."""
    source = random.Random(7)
    vectors = [[round(source.gauss(0, 0.05), 9) for _ in range(dimensions)] for _ in range(count)]
    values = [b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() for vector in vectors] if as_base64 else vectors
    return [_bytes({"object": "embedding", "embedding": value, "index": index}) for index, value in enumerate(values)]


def embedding_reply(rows: Sequence[bytes]) -> bytes:
    """Return the answer that holds the given embeddings."""
    head = f'{{"id":"oGs6Zt9-62bZhn","object":"list","model":"{EMBEDDING_MODEL}","data":['.encode()
    return head + b",".join(rows) + b'],"usage":{"prompt_tokens":31,"total_tokens":31}}'


def rerank_body() -> dict[str, Any]:
    """Return the body of a rerank request."""
    return {"model": RERANK_MODEL, "query": QUESTION, "documents": documents(RERANKED)}


def rerank_reply() -> bytes:
    """Return scores for every document, the best first."""
    source = random.Random(7)
    results = [{"index": index, "relevance_score": source.random(), "document": {}} for index in range(RERANKED)]
    results.sort(key=lambda result: -float(str(result["relevance_score"])))
    return _bytes({"id": "oGs6Zt9", "object": "rerank", "model": RERANK_MODEL, "results": results, "usage": _USAGE})


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
