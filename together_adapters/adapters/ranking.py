"""Any number of documents ranked, in as many requests as the model needs, as a flow that both drivers perform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from together_adapters.resources.rerank import create
from together_adapters.transport.call import Flow, Parallel

CONCURRENCY = 8
Ranking = list[tuple[int, float]]
"""Positions of documents with their scores, the highest score first."""


def rank(
    *,
    model: str,
    query: str,
    documents: Sequence[str] | Sequence[Mapping[str, Any]],
    batch_size: int,
    top_n: int | None = None,
    rank_fields: Sequence[str] | None = None,
) -> Flow[Ranking]:
    """Rank documents in requests of `batch_size` documents and merge the results by score."""
    starts = range(0, len(documents), batch_size)
    batches = [documents[start : start + batch_size] for start in starts]
    calls = [
        create(model=model, query=query, documents=batch, top_n=top_n and min(top_n, len(batch)), rank_fields=rank_fields)
        for batch in batches
    ]
    responses = (yield Parallel(calls, CONCURRENCY)) if len(calls) != 1 else [(yield calls[0])]
    ranking: Ranking = []
    for start, response in zip(starts, responses, strict=True):
        ranking += [(start + result.index, result.relevance_score) for result in response.results]
    return sorted(ranking, key=lambda result: (-result[1], result[0]))[:top_n]
