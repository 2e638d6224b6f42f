"""Rerank: documents sorted by their relevance to a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, request, response_parser
from together_adapters.types.requests import RequestOptions
from together_adapters.types.rerank import RerankResponse

_parse = response_parser(RerankResponse)


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
        Results sorted by descending score; `index` is the position in `documents`.

    Raises:
        APIError: The service refused the request; most rerank models need a dedicated endpoint.
    """
    params = {
        "model": model,
        "query": query,
        "documents": documents,
        "top_n": top_n,
        "return_documents": return_documents,
        "rank_fields": rank_fields,
    }
    return request("POST", "/v1/rerank", _parse, params, options=options)


class Rerank(Resource[D, R]):
    """`client.rerank`."""

    with_raw_response: Rerank[R, R]
    create = method(create)
