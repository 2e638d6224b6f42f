"""Embeddings of any number of texts: one call to the user, as many requests as the service needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Unpack

from together_adapters.errors import APIStatusError, TogetherError
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Parallel, Response, json_object, request
from together_adapters.types.embeddings import KNOWN, EmbeddingResponse, all_floats, floats
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import Usage

BATCH_SIZE = 128
BATCH_TOKENS = 100_000
CONCURRENCY = 8
_BYTES_PER_TOKEN = 3
_MOST_TOKENS = 4 / _BYTES_PER_TOKEN + 1
"""Tokens that a character is at most estimated as."""
_TOO_LARGE = (413, 422)

Span = tuple[int, int]
Answers = dict[int, dict[str, Any]]
"""What was answered, by the place of a request's first text."""


def create(
    *,
    model: str,
    input: str | Sequence[str],
    dimensions: int | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    batch_size: int = BATCH_SIZE,
    max_concurrency: int = CONCURRENCY,
    **options: Unpack[RequestOptions],
) -> Flow[EmbeddingResponse]:
    """Embed texts.

    Args:
        model: An embedding model, such as `intfloat/multilingual-e5-large-instruct`.
        input: One text or any number of them. They travel verbatim; models that want a prefix get it from the caller.
        dimensions: Length of the embeddings, where the model can choose; sent only when given.
        encoding_format: `base64` travels lighter where the model honours it; the answer reads the same.
        batch_size: Most texts in one request.
        max_concurrency: Most requests at the same time.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        Embeddings in the order of the inputs, with `index` their position. No request is sent for no input.

    Raises:
        APIError: A request failed for good. `completed` holds what others brought, `pending` the positions that are missing.
        TypeError: The input is not text.
    """
    answers = yield from _embed(input, model, dimensions, encoding_format, batch_size, max_concurrency, options)
    return _join(answers, model)


def vectors(
    *,
    model: str,
    input: Sequence[str],
    dimensions: int | None = None,
    batch_size: int = BATCH_SIZE,
    max_concurrency: int = CONCURRENCY,
    **options: Unpack[RequestOptions],
) -> Flow[list[list[float]]]:
    """Embed texts into plain lists: what the adapters need, without an object for each text. See `create`."""
    answers = yield from _embed(input, model, dimensions, None, batch_size, max_concurrency, options)
    return [row["embedding"] for answer in answers for row in answer["data"]]


def _embed(
    input: str | Sequence[str],
    model: str,
    dimensions: int | None,
    encoding_format: str | None,
    batch_size: int,
    max_concurrency: int,
    options: Any,
) -> Flow[list[dict[str, Any]]]:
    """Embed texts, and return the answers of all requests in the order of the texts."""
    texts = _texts(input)
    if batch_size < 1 or max_concurrency < 1:
        raise ValueError("batch_size and max_concurrency must be at least 1")
    fixed: dict[str, Any] = {"model": model, "dimensions": dimensions, "encoding_format": encoding_format}
    if isinstance(input, str):
        fixed["input"] = input
    finished: Answers = {}
    spans = _spans(texts, batch_size)
    try:
        yield Parallel([_batch(texts, span, fixed, options, finished) for span in spans], max_concurrency)
    except TogetherError as error:
        _tell_progress(error, _in_order(finished), len(texts))
        raise
    return _in_order(finished)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    if set(map(type, texts)) <= {str}:
        return texts
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"input[{place}] must be a string, not {type(text).__name__}: the service takes no token ids")
    return texts


def _spans(texts: list[str], batch_size: int) -> list[Span]:
    """Cut the texts into requests bounded by count and by estimated tokens."""
    spans: list[Span] = []
    begin = 0
    while begin < len(texts):
        end = min(begin + batch_size, len(texts))
        if sum(map(len, texts[begin:end])) * _MOST_TOKENS > BATCH_TOKENS:
            end = _fitting(texts, begin, end)
        spans.append((begin, end))
        begin = end
    return spans


def _fitting(texts: list[str], begin: int, end: int) -> int:
    """Return where a request must end for its tokens, estimated by bytes, to fit; it has one text at least."""
    tokens = 0
    for place in range(begin, end):
        tokens += len(texts[place].encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1
        if tokens > BATCH_TOKENS and place > begin:
            return place
    return end


def _batch(texts: list[str], span: Span, fixed: dict[str, Any], options: Any, finished: Answers) -> Flow[None]:
    """Embed the texts of one request, in halves where the service finds it too large."""
    begin, end = span
    try:
        finished[begin] = yield _call({"input": texts[begin:end], **fixed}, options, span)
    except APIStatusError as error:
        if error.status_code not in _TOO_LARGE or end - begin < 2:
            raise
        middle = (begin + end) // 2
        yield from _batch(texts, (begin, middle), fixed, options, finished)
        yield from _batch(texts, (middle, end), fixed, options, finished)


def _call(params: dict[str, Any], options: Any, span: Span) -> Call[dict[str, Any]]:
    return request("POST", "/v1/embeddings", partial(_read, span=span), params, options=options)


def _read(response: Response, span: Span) -> dict[str, Any]:
    """Read a batch, order it by index and number it within the whole; a service may answer in any order."""
    answered = json_object(response)
    rows = answered["data"] = _rows(answered)
    begin, end = span
    places = [place if row.get("index") is None else row["index"] for place, row in enumerate(rows)]
    expected = list(range(end - begin))
    if places != expected:
        if sorted(places) != expected:
            raise ValueError(f"{end - begin} embeddings were asked for (inputs {begin} to {end - 1}), it holds {places[:20]}")
        answered["data"] = rows = [rows[places.index(place)] for place in expected]
    if not all_floats(response.content, answered):
        for row in rows:
            row["embedding"] = floats(row["embedding"])
    for place, row in enumerate(rows, begin):
        row["index"] = place
    return answered


def _rows(answered: dict[str, Any]) -> list[dict[str, Any]]:
    rows: Any = answered.get("data") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "embedding" in row for row in rows):
        raise ValueError("it holds something in data that is no embedding")
    return rows


def _in_order(finished: Answers) -> list[dict[str, Any]]:
    return [finished[begin] for begin in sorted(finished)]


def _join(answers: list[dict[str, Any]], model: str) -> EmbeddingResponse:
    """Make one answer of all."""
    joined = answers[0] if answers else {"object": "list", "model": model, "data": []}
    if len(answers) > 1:
        rows = [row for answer in answers for row in answer["data"]]
        usages = [Usage.model_validate(answer["usage"]) for answer in answers if answer.get("usage") is not None]
        about = {name: joined.get(name) for name in ("object", "id", "model")}
        joined = {**about, "data": rows, "usage": _sum(usages) if usages else None}
    return EmbeddingResponse.model_validate(joined, context=KNOWN)


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens or 0 for usage in usages),
        total_tokens=sum(usage.total_tokens or 0 for usage in usages),
    )


def _tell_progress(error: TogetherError, answers: list[dict[str, Any]], total: int) -> None:
    """Let the error carry what was finished, so that nothing need be paid twice."""
    error.completed = _join(answers, "")
    done = {item.index for item in error.completed.data}
    error.pending = [place for place in range(total) if place not in done]
    if done:
        error.add_note(f"{len(done)} of {total} inputs were embedded: see .completed and .pending")


class Embeddings(Resource[D, R]):
    """`client.embeddings`."""

    with_raw_response: Embeddings[R, R]
    create = method(create)
