"""Embeddings of any number of texts: one call to the user, as many requests as the service needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

from together_adapters.errors import APIResponseValidationError, APIStatusError, TogetherError
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Parallel, answer, request
from together_adapters.types.answer import Usage
from together_adapters.types.embeddings import Embedding, EmbeddingResponse
from together_adapters.types.requests import RequestOptions

BATCH_SIZE = 128
BATCH_TOKENS = 100_000
CONCURRENCY = 8
_BYTES_PER_TOKEN = 3
_TOO_LARGE = (413, 422)
_parse = answer(EmbeddingResponse)

Span = tuple[int, int]


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
    texts = _texts(input)
    if batch_size < 1 or max_concurrency < 1:
        raise ValueError("batch_size and max_concurrency must be at least 1")
    fixed: dict[str, Any] = {"model": model, "dimensions": dimensions, "encoding_format": encoding_format}
    if isinstance(input, str):
        fixed["input"] = input
    finished: dict[int, EmbeddingResponse] = {}
    spans = list(_spans(texts, batch_size))
    try:
        yield Parallel([_batch(texts, span, fixed, options, finished) for span in spans], max_concurrency)
    except TogetherError as error:
        _tell_progress(error, finished, len(texts))
        raise
    return _join(finished, model)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"input[{place}] must be a string, not {type(text).__name__}: the service takes no token ids")
    return texts


def _spans(texts: list[str], batch_size: int) -> list[Span]:
    """Cut the texts into requests bounded by count and by estimated tokens."""
    spans: list[Span] = []
    begin = tokens = 0
    for place, text in enumerate(texts):
        size = (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) // _BYTES_PER_TOKEN + 1
        if place > begin and (place - begin == batch_size or tokens + size > BATCH_TOKENS):
            spans.append((begin, place))
            begin, tokens = place, 0
        tokens += size
    return [*spans, (begin, len(texts))] if texts else []


def _batch(
    texts: list[str], span: Span, fixed: dict[str, Any], options: Any, finished: dict[int, EmbeddingResponse]
) -> Flow[None]:
    """Embed the texts of one request, in halves where the service finds it too large."""
    begin, end = span
    try:
        response = yield _call({"input": texts[begin:end], **fixed}, options)
    except APIStatusError as error:
        if error.status_code not in _TOO_LARGE or end - begin < 2:
            raise
        middle = (begin + end) // 2
        yield from _batch(texts, (begin, middle), fixed, options, finished)
        yield from _batch(texts, (middle, end), fixed, options, finished)
    else:
        finished[begin] = _placed(response, span)


def _call(params: dict[str, Any], options: Any) -> Call[EmbeddingResponse]:
    return request("POST", "/v1/embeddings", _parse, params, options=options)


def _placed(response: EmbeddingResponse, span: Span) -> EmbeddingResponse:
    """Order a batch by index and number it within the whole; a service may answer in any order."""
    begin, end = span
    data = response.data
    places = [place if item.index is None else item.index for place, item in enumerate(data)]
    if sorted(places) != list(range(end - begin)):
        raise APIResponseValidationError(
            f"{end - begin} embeddings were asked for (inputs {begin} to {end - 1}), but the answer holds {places[:20]}"
        )
    ordered: list[Embedding] = [item for _, item in sorted(zip(places, data, strict=True), key=lambda pair: pair[0])]
    for place, item in enumerate(ordered, begin):
        if item.index != place:
            item.index = place
    response.data = ordered
    return response


def _join(finished: dict[int, EmbeddingResponse], model: str) -> EmbeddingResponse:
    """Make one answer of the batches."""
    parts = [finished[begin] for begin in sorted(finished)]
    if len(parts) == 1:
        return parts[0]
    first = parts[0] if parts else EmbeddingResponse(object="list", model=model)
    reported = [part.usage for part in parts if part.usage is not None]
    return EmbeddingResponse(
        object=first.object,
        id=first.id,
        model=first.model,
        data=[item for part in parts for item in part.data],
        usage=_sum(reported) if reported else None,
    )


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens or 0 for usage in usages),
        total_tokens=sum(usage.total_tokens or 0 for usage in usages),
    )


def _tell_progress(error: TogetherError, finished: dict[int, EmbeddingResponse], total: int) -> None:
    """Let the error carry what was finished, so that nothing need be paid twice."""
    error.completed = _join(finished, "")
    done = {item.index for item in error.completed.data}
    error.pending = [place for place in range(total) if place not in done]
    if done:
        error.add_note(f"{len(done)} of {total} inputs were embedded: see .completed and .pending")


class Embeddings(Resource[D, R]):
    """`client.embeddings`."""

    create = method(create)

    @property
    def with_raw_response(self) -> Embeddings[R, R]:
        """The same methods, answering with status and headers as well."""
        return Embeddings(self._driver.raw)
