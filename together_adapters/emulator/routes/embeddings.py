"""`POST /v1/embeddings`: vectors that share a direction where texts share words."""

from __future__ import annotations

import base64
import struct
from functools import lru_cache
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.engine.text_features import count_tokens, vector
from together_adapters.emulator.http.errors import ApiError, bad_request, unprocessable
from together_adapters.emulator.http.faults import JSON_TYPE
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import compact
from together_adapters.emulator.store.catalogue import find_model

DEFAULT_DIMENSIONS: Final = 768
MOST_DIMENSIONS: Final = 8192
MOST_INPUTS: Final = 2048
MOST_CHARACTERS: Final = 3_000_000
_REMEMBERED: Final = 2048
_KNOWN: Final = {"model", "input", "encoding_format", "dimensions", "user"}


def embed(context: RequestContext) -> Response:
    """Answer an embedding request."""
    model, facts = find_model(context.body)
    texts = _inputs(context)
    size = _dimensions(context, facts.dimensions or DEFAULT_DIMENSIONS)
    encode = _base64 if context.body.get("encoding_format") == "base64" else _floats
    counts = [count_tokens(text) for text in texts]
    if context.behaviour.embedding_overflow == "error" and facts.type == "embedding":
        # The smaller of two estimates: nothing that the real tokenizer would let through may be refused.
        longest = max(min(count, len(" ".join(text.split())) // 4) for count, text in zip(counts, texts, strict=True))
        if longest > facts.context_length:
            raise bad_request(
                f"Input validation error: an `inputs` text has about {longest} tokens; this model reads {facts.context_length}."
            )
    rows = [b'{"object":"embedding","index":%d,"embedding":%b}' % (index, encode(text, size)) for index, text in enumerate(texts)]
    if context.behaviour.shuffle_embeddings:
        rows = rows[1::2] + rows[::2]
    total = sum(counts)
    usage = {"prompt_tokens": total, "total_tokens": total} if context.behaviour.embedding_usage else None
    body = b'{"object":"list","id":%b,"model":%b,"data":[%b],"usage":%b}' % (
        compact(context.id), compact(model), b",".join(rows), compact(usage),
    )  # fmt: skip
    return Response(body, media_type=JSON_TYPE)


def _inputs(context: RequestContext) -> list[str]:
    body = context.body
    refused = ("user",) if context.behaviour.dimensions else ("user", "dimensions")
    if context.behaviour.strict:
        refused = (*refused, *sorted(set(body) - _KNOWN))
    for name in refused:
        if body.get(name) is not None:
            raise bad_request(f"Unrecognized request argument supplied: {name}", param=name)
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise bad_request("encoding_format is float or base64.", param="encoding_format")
    given = body.get("input")
    if given is None:
        raise bad_request("input is required.", param="input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise bad_request("input must be a string or an array of strings; token ids are not supported.", param="input")
    if not 1 <= len(texts) <= MOST_INPUTS:
        raise bad_request(f"input must hold 1 to {MOST_INPUTS} texts; this request has {len(texts)}.", param="input")
    if sum(map(len, texts)) > MOST_CHARACTERS:
        raise ApiError(413, f"input may hold {MOST_CHARACTERS} characters at most in one request.", param="input")
    return texts


def _dimensions(context: RequestContext, usual: int) -> int:
    asked = context.body.get("dimensions")
    if asked is None:
        return usual
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= MOST_DIMENSIONS:
        raise unprocessable(f"dimensions must be a whole number from 1 to {MOST_DIMENSIONS}", param="dimensions")
    return asked


@lru_cache(maxsize=16)
def _format(size: int) -> str:
    return "[" + ",".join(["%.7g"] * size) + "]"


@lru_cache(maxsize=_REMEMBERED)
def _floats(text: str, size: int) -> bytes:
    """Write a vector as JSON, in one formatting step: a general encoder takes longer than the embedding itself."""
    return (_format(size) % tuple(vector(text, size))).encode()


@lru_cache(maxsize=_REMEMBERED)
def _base64(text: str, size: int) -> bytes:
    return b'"' + base64.b64encode(struct.pack(f"<{size}f", *vector(text, size))) + b'"'


ROUTES: Any = [json_route("/v1/embeddings", embed)]
