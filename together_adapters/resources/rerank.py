"""Rerank: documents sorted by their relevance to a query, by a rerank model or by a chat model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, get_args

from together_adapters.errors import InvalidRequestError, ModelNotAvailableError
from together_adapters.resources import rerank_prompts
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Operation, Parallel, Response, request
from together_adapters.transport.config import warn_user
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.capabilities import capabilities, is_known, removal_warning
from together_adapters.types.requests import RequestOptions
from together_adapters.types.rerank import RerankMethod, RerankResponse, RerankResult
from together_adapters.types.response import Usage

if TYPE_CHECKING:
    from together_adapters.resources.chat_rerank import ChatReranker

CONCURRENCY = 8
_parse = ResponseParser(RerankResponse)


def create(
    *,
    model: str,
    query: str,
    documents: Sequence[str] | Sequence[Mapping[str, Any]],
    top_n: int | None = None,
    return_documents: bool | None = None,
    rank_fields: Sequence[str] | None = None,
    method: RerankMethod = "auto",
    score_threshold: float | None = None,
    max_documents: int | None = None,
    max_concurrency: int = CONCURRENCY,
    **options: Unpack[RequestOptions],
) -> Flow[RerankResponse]:
    """Scores documents against a query, with a rerank model or with any chat model.

    Args:
        model: A rerank model, most of which run on a dedicated endpoint, or a chat model.
        query: The search query.
        documents: Texts, or objects whose fields are ranked. Without documents no request is sent.
        top_n: Maximum number of results; None returns all.
        return_documents: Whether to include the document in each result.
        rank_fields: Fields of object documents to rank by; None for all.
        method: `rerank` asks the rerank endpoint. `listwise` lets a chat model sort windows of passages; scores are ranks, from 1.0
            down, and no probabilities. The first 10, or as many as `top_n`, are in the model's order; those behind them only roughly,
            if there are more than fit a window. `pointwise` asks a chat model of each document whether it is relevant; the score is
            the probability of yes. `auto` is `listwise` for chat models of the table of models, otherwise `rerank`.
        score_threshold: Minimum score of a result.
        max_documents: Maximum number of documents in one request; None for the model's limit, and 20 for `listwise`.
        max_concurrency: Maximum number of simultaneous requests.

    Returns:
        Results sorted by descending score, equal ones by `index`, which is the position in `documents` and comes once. `usage` is the
        sum over all requests.

    Raises:
        APIError: The service refused the request; most rerank models need a dedicated endpoint. Of a chat model, the message says
            which documents the request was about.
        APIResponseValidationError: The response names none of the documents, or one that does not exist.
        TypeError: `documents` is one document, or one of them is neither a text nor an object.
        ValueError: The method does not go with the model, or a parameter is out of its range.

    Warns:
        UserWarning: Documents were cut to fit the context of a chat model, a chat model gave no log-probabilities, or scores of
            different requests to a rerank model are compared.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        documents = ["Llamas live in the Andes.", "The train leaves at nine."]
        ranking = client.rerank.create(model="Qwen/Qwen3.5-9B", query="Where do llamas live?", documents=documents, top_n=1)
        print(documents[ranking.results[0].index])
        ```
    """
    documents = documents_of(documents)
    kind = _resolve_method(model, method)
    if not isinstance(query, str):
        raise TypeError(f"query must be a string, not {type(query).__name__}")
    _check(documents, top_n, max_documents, max_concurrency)
    if not documents:
        return RerankResponse(object="rerank", model=model, results=[])
    if kind == "rerank":
        params = {"model": model, "query": query, "return_documents": return_documents, "rank_fields": rank_fields}
        limit = max_documents or capabilities(model).max_documents
        steps = _by_endpoint(params, documents, top_n, limit, max_concurrency, options, is_auto=method == "auto")
        tokens = partial(_estimated_tokens, query, documents)
        ranking: RerankResponse = yield Operation("rerank", params, steps, tokens)
    else:
        from together_adapters.resources.chat_rerank import WINDOW, ChatReranker

        if not query.strip():
            raise ValueError("query must not be empty")
        texts = [rerank_prompts.passage_text(document, rank_fields) for document in documents]
        reranker = ChatReranker(model, query, texts, options)
        is_pointwise = kind == "pointwise"
        window = max_documents or WINDOW
        judge = reranker.pointwise(max_concurrency) if is_pointwise else reranker.listwise(top_n, window)
        estimate = reranker.pointwise_tokens if is_pointwise else partial(reranker.listwise_tokens, top_n, window)
        scores = yield Operation("rerank", {"model": model}, judge, estimate)
        ranking = _ranking(reranker, scores, top_n)
        for result in ranking.results if return_documents else ():
            result.document = {"text": rerank_prompts.returned_text(documents[result.index], rank_fields)}
    if score_threshold is not None:
        ranking.results = [result for result in ranking.results if result.relevance_score >= score_threshold]
    return ranking


def _estimated_tokens(query: str, documents: Sequence[Any]) -> tuple[int, int]:
    """Estimates the tokens of the rerank endpoint, which reads the query with each document."""
    texts = [document if isinstance(document, str) else str(document) for document in documents]
    query_tokens = rerank_prompts.estimated_tokens(query)
    return sum(query_tokens + rerank_prompts.estimated_tokens(text) for text in texts), 0


def _resolve_method(model: str, method: RerankMethod) -> Literal["rerank", "listwise", "pointwise"]:
    if method not in get_args(RerankMethod):
        raise ValueError(f"method must be one of {', '.join(get_args(RerankMethod))}, not {method!r}")
    if method != "auto":
        return method
    kind = capabilities(model).type
    if not is_known(model) or kind == "rerank":
        return "rerank"
    if kind != "chat":
        raise ValueError(f"{model} is a model of type {kind}: rerank takes a rerank model or a chat model")
    return "listwise"


def _check(documents: Sequence[Any], top_n: int | None, max_documents: int | None, max_concurrency: int) -> None:
    """Raises a TypeError or a ValueError for what no method can rank."""
    is_plain = set(map(type, documents)) <= {str, dict}  # which costs less than to test each
    for index, document in enumerate(() if is_plain else documents):
        if not isinstance(document, str | Mapping):
            raise TypeError(f"documents[{index}] must be a text or an object, not {type(document).__name__}")
    limits = {"top_n": top_n, "max_documents": max_documents, "max_concurrency": max_concurrency}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1")


def _by_endpoint(
    params: Mapping[str, Any],
    documents: Sequence[Any],
    top_n: int | None,
    limit: int,
    max_concurrency: int,
    options: Any,
    *,
    is_auto: bool,
) -> Flow[RerankResponse]:
    """Ranks documents by the rerank endpoint, in requests of `limit` documents whose results are merged by score."""
    starts = range(0, len(documents), limit)
    calls = [_call(params, documents[start : start + limit], top_n, options) for start in starts]
    if len(calls) > 1:
        warn_user(f"{len(documents)} documents need {len(calls)} requests: scores of different requests are compared")
    try:
        responses = (yield Parallel(calls, max_concurrency)) if len(calls) > 1 else [(yield calls[0])]
    except (InvalidRequestError, ModelNotAvailableError) as error:
        if is_auto and not is_known(params["model"]) and error.param in (None, "model"):
            from together_adapters.resources.chat_rerank import extend_message

            extend_message(error, f'is {params["model"]} a chat model? Then pass method="listwise" or "pointwise"')
        raise
    return responses[0] if len(responses) == 1 else _merge(responses, starts, top_n)


def _call(params: Mapping[str, Any], documents: Sequence[Any], top_n: int | None, options: Any) -> Call[RerankResponse]:
    body = {**params, "documents": documents, "top_n": top_n and min(top_n, len(documents))}
    return request(
        "POST",
        "/v1/rerank",
        partial(_read, count=len(documents)),
        body,
        options=options,
        warning=removal_warning(params["model"]),
    )


def _read(response: Response, count: int) -> RerankResponse:
    """Reads the ranking of `count` documents. Some engines return it in the order of the documents."""
    ranking = _parse(response)
    indices = [result.index for result in ranking.results]
    scores = [result.relevance_score for result in ranking.results]
    if count and not indices:
        raise ValueError("results: no document is ranked")
    if max(indices, default=0) >= max(count, 1):
        raise ValueError(f"results: index {max(indices)} is not one of the {count} documents that were sent")
    if len(set(indices)) < len(indices):
        raise ValueError("results: an index comes twice")
    if scores != sorted(scores, reverse=True):
        ranking.results.sort(key=lambda result: -result.relevance_score)
    return ranking


def _merge(responses: Sequence[RerankResponse], starts: Sequence[int], top_n: int | None) -> RerankResponse:
    """Merges the rankings of parts of the documents, which begin at `starts`."""
    for start, response in zip(starts, responses, strict=True):
        for result in response.results:
            result.index += start
    results = sorted((result for response in responses for result in response.results), key=_rank)[:top_n]
    usage = Usage.sum(response.usage for response in responses)
    return responses[0].model_copy(update={"results": results, "usage": usage})


def _ranking(reranker: ChatReranker, scores: Sequence[float], top_n: int | None) -> RerankResponse:
    """Returns the scores of a chat model as the response of a rerank model."""
    results = [RerankResult(index=index, relevance_score=score) for index, score in enumerate(scores)]
    return RerankResponse(
        object="rerank",
        id=reranker.response_id,
        model=reranker.model,
        results=sorted(results, key=_rank)[:top_n],
        usage=Usage.sum(reranker.usages),
    )


def _rank(result: RerankResult) -> tuple[float, int]:
    return -result.relevance_score, result.index


def documents_of(documents: Any, name: str = "documents") -> list[Any]:
    """Returns the documents of any iterable; one document, which is iterable itself, is a TypeError."""
    if isinstance(documents, str | bytes | Mapping) or hasattr(documents, "model_dump"):
        raise TypeError(f"{name} must be a list, not one {type(documents).__name__}: put it in a list")
    if not isinstance(documents, Iterable):
        raise TypeError(f"{name} must be a list, not {type(documents).__name__}")
    return list(documents)


class Rerank(Resource[D, R]):
    """`client.rerank`."""

    with_raw_response: Rerank[R, R]
    create = method(create)
