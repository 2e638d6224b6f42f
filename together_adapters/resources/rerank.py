"""Rerank: documents sorted by their relevance to a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Response, request
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.requests import RequestOptions
from together_adapters.types.rerank import RerankResponse

_parse = ResponseParser(RerankResponse)


def create(
    *,
    model: str,
    query: str,
    documents: Sequence[str] | Sequence[Mapping[str, Any]],
    top_n: int | None = None,
    return_documents: bool | None = None,
    rank_fields: Sequence[str] | None = None,
    **options: Unpack[RequestOptions],
) -> Call[RerankResponse]:
    """Scores documents against a query.

    Args:
        model: A rerank model, such as `Salesforce/Llama-Rank-V1`; most run on a dedicated endpoint.
        query: The search query.
        documents: Either texts, or objects whose fields are ranked.
        top_n: Maximum number of results; None returns all.
        return_documents: Whether to include the document in each result.
        rank_fields: Fields of object documents to rank by; None for all.

    Returns:
        Results sorted by descending score; `index` is the position in `documents`, and comes once.

    Raises:
        APIError: The service refused the request; most rerank models need a dedicated endpoint.
        TypeError: `documents` is one document.
    """
    documents = documents_of(documents)
    params = {
        "model": model,
        "query": query,
        "documents": documents,
        "top_n": top_n,
        "return_documents": return_documents,
        "rank_fields": rank_fields,
    }
    return request("POST", "/v1/rerank", partial(_read, count=len(documents)), params, options=options)


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


def documents_of(documents: Any, name: str = "documents") -> list[Any]:
    """Returns the documents of any iterable; one document, which is iterable itself, is a TypeError."""
    if isinstance(documents, str | bytes | Mapping) or hasattr(documents, "model_dump"):
        raise TypeError(f"{name} must be a list, not one {type(documents).__name__}: put it in a list")
    return list(documents)


class Rerank(Resource[D, R]):
    """`client.rerank`."""

    with_raw_response: Rerank[R, R]
    create = method(create)
