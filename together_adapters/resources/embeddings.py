"""Embeddings of any number of texts: one call, as many requests as the service requires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

from together_adapters.errors import APIStatusError, ConfigurationError, ContextLengthError, LongTextWarning, TogetherError
from together_adapters.resources.embedding_limits import InputPlan, LongTexts, far_too_long, names_of, plan_inputs, smaller_batch
from together_adapters.resources.rerank_prompts import estimated_tokens
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, Operation, Parallel, Remember, Response, json_object, request
from together_adapters.transport.model_parser import ModelParser
from together_adapters.types.capabilities import Capabilities, capabilities, is_known, removal_warning
from together_adapters.types.embeddings import EmbeddingResponse
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import Usage
from together_adapters.vectors import Vector, are_finite, has_only_floats, list_of, parse_floats, parse_vector

if TYPE_CHECKING:
    from together_adapters.transport.config import ClientMemory

BATCH_SIZE = 128
BATCH_TOKENS = 100_000
CONCURRENCY = 8
_BYTES_PER_TOKEN = 3
_MAX_TOKENS_PER_CHAR = 4 / _BYTES_PER_TOKEN + 1
"""Maximum estimate for one character."""
_MAX_LIMITS = 256
"""Number of models whose limits a client keeps."""
_TEXTS = frozenset({"object", "id", "model"})
_TEXT_TYPES = frozenset({str, type(None)})
_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_COUNT_TYPES = frozenset({int, type(None)})
_parser = ModelParser(EmbeddingResponse)

Span = tuple[int, int]
Batches = dict[int, dict[str, Any]]
"""Responses by the index of the first text of their request."""


def create(
    *,
    model: str,
    input: str | Sequence[str],
    dimensions: int | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    batch_size: int = BATCH_SIZE,
    max_concurrency: int = CONCURRENCY,
    long_texts: LongTexts = "send",
    **options: Unpack[RequestOptions],
) -> Flow[EmbeddingResponse]:
    """Embeds texts.

    Args:
        model: An embedding model, such as `BAAI/bge-base-en-v1.5`.
        input: One text or any number of texts. They are sent verbatim: add the prefix that some models require. Equal texts are
            sent once.
        dimensions: Length of the embeddings, where the model supports it. Another length in the response is an error.
        encoding_format: `base64` makes responses smaller, where the model supports it. The result is the same.
        batch_size: Maximum number of texts in one request. If the server takes fewer, they are sent again in smaller requests, and
            the client remembers how many the model takes.
        max_concurrency: Maximum number of simultaneous requests.
        long_texts: What to do with texts that are longer than the model reads, by an estimate of their tokens: `send` them, with one
            `LongTextWarning` if one is far too long; raise an `error`; `truncate` them; or `split` them, and embed their parts, of
            which the mean is taken, weighted by tokens, with length 1. The last three need to know the length of the model.

    Returns:
        Embeddings in the order of the inputs; `index` is the position. Without input, no request is sent.

    Raises:
        ConfigurationError: `long_texts` needs the length of a model, which neither the table nor the catalogue knows.
        ContextLengthError: A text is too long, by the estimate with `long_texts="error"`, or by what the server says.
        APIError: A request failed. `completed` has the results of the others, `pending` the indices without a result.
        TypeError: An input is not a string.

    Example:
        ```python
        from together_adapters import Together

        client = Together()  # base_url="http://127.0.0.1:8080/v1" for a server of this machine
        response = client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=["A llama is no camel.", "Rain in Lima"])
        vectors = [entry.embedding for entry in response.data]
        ```
    """
    responses = yield from _embed(input, model, dimensions, encoding_format, batch_size, max_concurrency, long_texts, options)
    return _join(responses, model)


def arrays(
    *,
    model: str,
    input: Sequence[str],
    dimensions: int | None = None,
    encoding_format: Literal["float", "base64"] | None = None,
    batch_size: int = BATCH_SIZE,
    max_concurrency: int = CONCURRENCY,
    long_texts: LongTexts = "send",
    as_lists: bool = False,
    **options: Unpack[RequestOptions],
) -> Flow[list[Vector]]:
    """Embeds texts into arrays or lists, without an object for each text. See `create`."""
    responses = yield from _embed(
        input, model, dimensions, encoding_format, batch_size, max_concurrency, long_texts, options, as_lists=as_lists
    )
    return [row["embedding"] for response in responses for row in response["data"]]


def vectors(**arguments: Any) -> Flow[list[list[float]]]:
    """Embeds texts into plain lists, for the adapters. See `arrays`."""
    return arrays(**arguments, as_lists=True)  # type: ignore[return-value]


def _embed(
    input: str | Sequence[str],
    model: str,
    dimensions: int | None,
    encoding_format: str | None,
    batch_size: int,
    max_concurrency: int,
    long_texts: LongTexts,
    options: Any,
    *,
    as_lists: bool = False,
) -> Flow[list[dict[str, Any]]]:
    """Embeds texts, and returns the responses of all requests in the order of the texts."""
    inputs = texts_of(input)
    if batch_size < 1 or max_concurrency < 1:
        raise ValueError("batch_size and max_concurrency must be at least 1")
    if long_texts not in get_args(LongTexts):
        raise ValueError(f"long_texts must be one of {', '.join(get_args(LongTexts))}, not {long_texts!r}")
    if not inputs:
        return []
    limit = yield from _length_of(model, inputs, long_texts)
    plan = plan_inputs(inputs, long_texts, limit)
    texts = plan.texts
    shared: dict[str, Any] = {"model": model, "dimensions": dimensions, "encoding_format": encoding_format}
    if isinstance(input, str) and len(texts) == 1:
        shared["input"] = texts[0]
    limits = (yield Remember()).input_limits
    finished: Batches = {}
    spans = _spans(texts, (0, len(texts)), min(batch_size, limits.get(model, batch_size)))
    try:
        batches = [_batch(plan, span, shared, options, finished, limits, as_lists) for span in spans]
        tokens = partial(_estimated_tokens, texts)
        yield Operation("embeddings", shared, Parallel(batches, max_concurrency), tokens)
    except TogetherError as error:
        _attach_progress(error, _of_inputs(plan, _in_order(finished)), len(inputs))
        raise
    return _of_inputs(plan, _in_order(finished))


def _length_of(model: str, texts: list[str], long_texts: LongTexts) -> Flow[int | None]:
    """Returns how many tokens a model reads, if that matters; warns once of texts that are far longer."""
    limit = capabilities(model).context_length if is_known(model) else None
    if long_texts == "send":
        if limit is not None and (indices := far_too_long(texts, limit)):
            memory: ClientMemory = yield Remember()
            _warn_once(memory, model, limit, indices)
        return None
    if limit is None:
        from together_adapters.resources.models import info  # few calls need it

        facts = yield from info(model)
        is_default = facts.source != "service" or facts.context_length == Capabilities().context_length
        limit = None if is_default else facts.context_length
    if limit is None:
        raise ConfigurationError(
            f"long_texts={long_texts!r} needs to know how long a text {model} reads, and neither the table of models nor the server's "
            "catalogue says so: split the texts yourself. Nothing was sent"
        )
    return limit


def _warn_once(memory: ClientMemory, model: str, limit: int, indices: list[int]) -> None:
    from together_adapters.transport.config import warn_user  # few calls need it

    key = f"long texts of {model}"
    if key not in memory.warnings:
        memory.warnings.add(key)
        text = (
            f"{model} reads {limit} tokens of a text, and input {names_of(indices)} is far longer: a server may refuse it, or embed the "
            "beginning alone and not say so. Pass long_texts='split', 'truncate' or 'error'"
        )
        warn_user(LongTextWarning(text))


def _of_inputs(plan: InputPlan, responses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns responses with the embeddings of the inputs in place of those of what was sent; the first has all of them."""
    if plan.is_same or not responses or len(responses[0]["data"]) == plan.equal_inputs:
        return responses
    rows = plan.rows([row for response in responses for row in response["data"]])
    return [{**response, "data": [] if index else rows} for index, response in enumerate(responses)]


def _estimated_tokens(texts: list[str]) -> tuple[int, int]:
    return sum(map(estimated_tokens, texts)), 0


def texts_of(input: Any) -> list[str]:
    """Returns one text, or those of any iterable, as a list; what is no text is a TypeError."""
    if not isinstance(input, Iterable) or isinstance(input, Mapping):
        raise TypeError(f"input must be a string or a list of strings, not {type(input).__name__}")
    texts = [input] if isinstance(input, str) else list(input)
    if set(map(type, texts)) <= {str}:
        return texts
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"input[{index}] must be a string, not {type(text).__name__}: the service takes no token ids")
    return texts


def single_text(text: Any) -> str:
    """Returns the one text of an embedding; anything else is a TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"the text to embed must be a string, not {type(text).__name__}")
    return text


def text_list(texts: Any) -> list[str]:
    """Returns the texts of any iterable, for an embedding of each; one text is a TypeError."""
    if isinstance(texts, str):
        raise TypeError("texts must be a list, not one str: put it in a list")
    return texts_of(texts)


def _spans(texts: list[str], span: Span, batch_size: int) -> list[Span]:
    """Splits some of the texts into requests with a limited count and a limited estimate of tokens."""
    spans: list[Span] = []
    begin, last = span
    while begin < last:
        end = min(begin + batch_size, last)
        if sum(map(len, texts[begin:end])) * _MAX_TOKENS_PER_CHAR > BATCH_TOKENS:
            end = _span_end(texts, begin, end)
        spans.append((begin, end))
        begin = end
    return spans


def _span_end(texts: list[str], begin: int, end: int) -> int:
    """Returns the end of a request within the limit of tokens, estimated by bytes; it has at least one text."""
    tokens = 0
    for index in range(begin, end):
        tokens += len(texts[index].encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1
        if tokens > BATCH_TOKENS and index > begin:
            return index
    return end


def _batch(
    plan: InputPlan,
    span: Span,
    shared: dict[str, Any],
    options: Any,
    finished: Batches,
    limits: dict[str, int],
    as_lists: bool,
) -> Flow[None]:
    """Embeds the texts of one request, in several if the server takes fewer texts at once."""
    begin, end = span
    texts = plan.texts
    model = shared["model"]
    limit = limits.get(model, end - begin)
    if limit >= end - begin:
        try:
            params = {"input": texts[begin:end], **shared}
            inputs = plan.equal_inputs if end - begin == len(texts) else None
            read = partial(_read, span=span, dimensions=shared["dimensions"], inputs=inputs, as_lists=as_lists)
            warning = removal_warning(model)
            finished[begin] = yield request("POST", "/v1/embeddings", read, params, options=options, warning=warning)
            return
        except APIStatusError as error:
            smaller = smaller_batch(error, end - begin)
            if smaller is None:
                _name_suspects(error, plan, span)
                raise
            limit, holds_for_any = smaller
            if holds_for_any and (model in limits or len(limits) < _MAX_LIMITS):
                limits[model] = limit
    for part in _spans(texts, span, limit):
        yield from _batch(plan, part, shared, options, finished, limits, as_lists)


def _name_suspects(error: APIStatusError, plan: InputPlan, span: Span) -> None:
    """Notes which texts of a refused request may be the reason: servers name the index within the request, or none."""
    texts, indices = plan.texts, range(*span)
    if isinstance(error, ContextLengthError):
        longest = max(indices, key=lambda index: len(texts[index]))
        error.add_note(f"input {plan.indices(longest)[0]} is the longest of this request, with {len(texts[longest])} characters")
    elif error.status_code in (400, 422) and (empty := [index for index in indices if not texts[index].strip()]):
        inputs = sorted(input for index in empty for input in plan.indices(index))
        error.add_note(f"empty inputs of this request, which some servers refuse: {', '.join(map(str, inputs[:10]))}")


def _read(
    response: Response, span: Span, dimensions: int | None, inputs: int | None = None, *, as_lists: bool = False
) -> dict[str, Any]:
    """Reads a response, sorts it by index, and renumbers it within the whole input; a service may return any order.

    One that was recorded may have an embedding for each of so many `inputs`, although equal ones are sent once.
    """
    body = parse_floats(response.content)
    is_parsed = body is not None
    if body is None or body.get("error"):
        body = json_object(response)
    rows = _rows(body)
    begin, end = span
    if inputs is not None and inputs == len(rows):
        end = begin + inputs
    indices = [index if (position := row.get("index")) is None else position for index, row in enumerate(rows)]
    expected = list(range(end - begin))
    if indices != expected:
        if sorted(indices) != expected:
            expectation = f"{end - begin} embeddings were requested (inputs {begin} to {end - 1})"
            raise ValueError(f"{expectation}, but the response has the indices {indices[:20]}")
        rows = [rows[indices.index(index)] for index in expected]
    if not (is_parsed or has_only_floats(response.content, body)):
        for row in rows:
            row["embedding"] = parse_vector(row["embedding"])
    _check_vectors([row["embedding"] for row in rows], begin, dimensions)
    for index, row in enumerate(rows, begin):
        row["index"] = index
        if as_lists:
            row["embedding"] = list_of(row["embedding"])
    return {**_fields({name: value for name, value in body.items() if name != "data"}), "data": rows}


def _fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a response but `data`, with the types of the model, which they nearly always have."""
    texts = {name: value for name, value in fields.items() if name != "usage"}
    usage = fields.get("usage")
    has_plain_texts = texts.keys() <= _TEXTS and set(map(type, texts.values())) <= _TEXT_TYPES
    has_counts = type(usage) is dict and usage.keys() <= _COUNTS and set(map(type, usage.values())) <= _COUNT_TYPES
    if has_plain_texts and (has_counts or usage is None):
        return fields
    return _parser.parse_document(fields).model_dump(exclude_unset=True)


def _check_vectors(vectors: list[Vector], begin: int, dimensions: int | None) -> None:
    """Raises a ValueError for vectors that are empty, of different or wrong lengths, or have values that are no numbers."""
    length = len(vectors[0]) if vectors else 0
    if dimensions is not None and vectors and length != dimensions:
        raise ValueError(f"dimensions={dimensions} was ignored, the embeddings have {length}: leave it out for this model")
    if length and set(map(len, vectors)) == {length} and are_finite(vectors):
        return
    for index, vector in enumerate(vectors, begin):
        if not vector or len(vector) != length:
            raise ValueError(f"the embedding of input {index} has {len(vector)} dimensions, that of input {begin} {length}")
        if not are_finite([vector]):
            raise ValueError(f"the embedding of input {index} has NaN or infinity")


def _rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    rows: Any = body.get("data") or []
    if not isinstance(rows, list):
        raise ValueError("data is not a list")
    for position, row in enumerate(rows):
        if type(row) is not dict or "embedding" not in row or type(row.get("object")) not in _TEXT_TYPES:
            raise ValueError(f"data[{position}] is not an embedding")
    return rows


def _in_order(finished: Batches) -> list[dict[str, Any]]:
    return [finished[begin] for begin in sorted(finished)]


def _join(responses: list[dict[str, Any]], model: str) -> EmbeddingResponse:
    """Merges responses into one."""
    merged = responses[0] if responses else {"object": "list", "model": model, "data": []}
    if len(responses) > 1:
        rows = [row for response in responses for row in response["data"]]
        usages = [Usage.model_validate(response["usage"]) for response in responses if response.get("usage") is not None]
        total = Usage(
            prompt_tokens=sum(usage.prompt_tokens or 0 for usage in usages),
            total_tokens=sum(usage.total_tokens or 0 for usage in usages),
        )
        fields = {name: merged.get(name) for name in ("object", "id", "model")}
        merged = {**fields, "data": rows, "usage": total if usages else None}
    return EmbeddingResponse.of_rows(merged)


def _attach_progress(error: TogetherError, responses: list[dict[str, Any]], total: int) -> None:
    """Attaches the finished results to an error, so that they need not be paid for again."""
    error.completed = _join(responses, "")
    done = {item.index for item in error.completed.data}
    error.pending = [index for index in range(total) if index not in done]
    if done:
        error.add_note(f"{len(done)} of {total} inputs were embedded: see .completed and .pending")


class Embeddings(Resource[D, R]):
    """`client.embeddings`."""

    with_raw_response: Embeddings[R, R]
    create = method(create)
