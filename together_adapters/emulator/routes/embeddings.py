"""`POST /v1/embeddings`: texts that share words have similar vectors."""

from __future__ import annotations

import base64
import struct
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from together_adapters.emulator.errors import ApiError, bad_request, unprocessable
from together_adapters.emulator.http.engine_calls import EmbeddingCall
from together_adapters.emulator.http.responses import JSON_TYPE, compact
from together_adapters.emulator.http.routing import RequestContext, RequestModel, json_route
from together_adapters.emulator.routes.served_models import find_served_model
from together_adapters.emulator.text.features import cache_short_texts, count_tokens
from together_adapters.emulator.text.vectors import vector

_DEFAULT_DIMENSIONS: Final = 768
_MAX_DIMENSIONS: Final = 8192
_MAX_INPUTS: Final = 2048
_MAX_CHARACTERS: Final = 3_000_000
_CACHE_SIZE: Final = 2048


class _EmbeddingRequest(RequestModel):
    input: str | Annotated[list[str], Field(min_length=1, max_length=_MAX_INPUTS)] = Field(
        description=f"a string or an array of 1 to {_MAX_INPUTS} strings; token ids are not supported"
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Any = None
    user: Any = None


def embed(context: RequestContext) -> Response | EmbeddingCall:
    """Answers an embedding request."""
    model, facts = find_served_model(context, "embedding")
    behaviour = context.behaviour
    request = _EmbeddingRequest.read(context)
    _refuse_unsupported(context, request)
    texts = [request.input] if isinstance(request.input, str) else request.input
    if sum(map(len, texts)) > _MAX_CHARACTERS:
        raise ApiError(413, f"input may contain {_MAX_CHARACTERS} characters at most in one request.", param="input")
    size = request.dimensions or facts.dimensions or _DEFAULT_DIMENSIONS
    is_base64 = request.encoding_format == "base64"
    if is_base64 and (refusal := context.state.record.refusal("base64", unprocessable("encoding_format", "encoding_format"))):
        raise refusal
    is_base64 = is_base64 and context.state.record.base64
    encode = _base64 if is_base64 else _floats
    counts = [count_tokens(text) for text in texts]
    if behaviour.embedding_overflow == "error" and facts.type == "embedding":
        # The smaller of two estimates: a text that the real tokenizer accepts must not be refused.
        longest = max(min(count, len(" ".join(text.split())) // 4) for count, text in zip(counts, texts, strict=True))
        if longest > facts.context_length:
            raise bad_request(
                f"Input validation error: an `inputs` text has about {longest} tokens; "
                f"the context length of this model is {facts.context_length}."
            )
    total = sum(counts)
    context.charge.admit("embeddings", model, facts, total)
    used = {"prompt_tokens": total, "total_tokens": total}
    numbers = _encode_base64 if is_base64 else _encode_floats
    if answer := context.answer("embeddings", {**context.body, "input": texts}):
        return _response(context, model, [_encode(vector, is_base64) for vector in answer.media], answer.with_counts(used))
    if "embeddings" in context.state.remote:

        def write(vectors: list[list[float]], tokens: int | None) -> Response:
            counts = used if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
            return _response(context, model, [numbers(vector) for vector in vectors], counts)

        return EmbeddingCall(context, write)
    return _response(context, model, [encode(text, size) for text in texts], used)


def _response(context: RequestContext, model: str, vectors: list[bytes], counts: dict[str, int]) -> Response:
    """Returns a response of encoded vectors, and counts their tokens."""
    rows = [b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector) for index, vector in enumerate(vectors)]
    if context.behaviour.shuffle_embeddings:
        rows = rows[1::2] + rows[::2]
    context.charge.count(counts)
    usage = counts if context.behaviour.embedding_usage else None
    body = b'{"object":"list","id":%b,"model":%b,"data":[%b],"usage":%b}' % (
        compact(context.id), compact(model), b",".join(rows), compact(usage),
    )  # fmt: skip
    return Response(body, media_type=JSON_TYPE)


def _refuse_unsupported(context: RequestContext, request: _EmbeddingRequest) -> None:
    for name in ("user",) if context.behaviour.dimensions else ("user", "dimensions"):
        if getattr(request, name) is not None:
            raise bad_request(f"Unrecognized request argument supplied: {name}", param=name)
    size = request.dimensions
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MAX_DIMENSIONS):
        raise unprocessable(f"dimensions must be a whole number from 1 to {_MAX_DIMENSIONS}", param="dimensions")


def _encode(vector: list[float], as_base64: bool) -> bytes:
    """Encodes a vector that a test has set, without rounding its numbers."""
    return b'"' + base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)) + b'"' if as_base64 else compact(vector)


@lru_cache(maxsize=16)
def _format(size: int) -> str:
    return "[" + ",".join(["%.7g"] * size) + "]"


def _encode_floats(vector: list[float]) -> bytes:
    """Encodes a vector as JSON in one formatting step: a general encoder takes longer than the embedding itself."""
    return (_format(len(vector)) % tuple(vector)).encode()


def _encode_base64(vector: list[float]) -> bytes:
    return b'"' + base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)) + b'"'


@cache_short_texts(_CACHE_SIZE)
def _floats(text: str, size: int) -> bytes:
    return _encode_floats(vector(text, size))


@cache_short_texts(_CACHE_SIZE)
def _base64(text: str, size: int) -> bytes:
    return _encode_base64(vector(text, size))


ROUTES: Any = [json_route("/v1/embeddings", embed)]
