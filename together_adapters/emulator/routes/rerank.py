"""`POST /v1/rerank`: documents ordered by the words that they share with the query."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from together_adapters.emulator.engine.text_features import bm25, coverage, stems, words
from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.store.catalogue import find_model

_KNOWN: Final = {"model", "query", "documents", "top_n", "return_documents", "rank_fields"}


_READ: Final = 4_000
"""Characters of a text that count; no reranker reads more."""


def rerank(context: RequestContext) -> dict[str, Any]:
    """Answer a rerank request. Unknown keys are always refused, as the service's schema demands."""
    body = context.body
    model, facts = find_model(body)
    for name in sorted(set(body) - _KNOWN):
        raise bad_request(f"Unrecognized request argument supplied: {name}", param=name)
    query = body.get("query")
    if not isinstance(query, str) or not query:
        raise bad_request("query is required and must be a string.", param="query")
    texts = _texts(body, facts.max_documents)
    scores = relevance(query, texts)
    order = sorted(range(len(texts)), key=lambda position: (-scores[position], position))[: _top_n(body, len(texts))]
    used = sum(len(text) // 4 + 1 for text in texts) + (len(query) // 4 + 1) * len(texts)
    return {
        "object": "rerank",
        "id": context.id,
        "model": model,
        "results": [
            {
                "index": position,
                "relevance_score": scores[position],
                "document": {"text": texts[position]} if body.get("return_documents") else {},
            }
            for position in order
        ],
        "usage": {"prompt_tokens": used, "completion_tokens": 0, "total_tokens": used},
    }


def relevance(query: str, texts: list[str]) -> list[float]:
    """Score texts for a query, each between 0 and 1."""
    wanted = stems(query[:_READ]) or words(query[:_READ])
    documents = [stems(text[:_READ]) or words(text[:_READ]) for text in texts]
    scores = []
    for score, document in zip(bm25(wanted, documents), documents, strict=True):
        covered = coverage(wanted, document)
        # Coverage carries the scale, so that scores of different requests compare; BM25 orders texts that cover alike.
        scores.append(round(0.8 * covered + 0.19 * (1 - math.exp(-score / 4)) + 0.005, 6))
    return scores


def _texts(body: dict[str, Any], most: int) -> list[str]:
    documents = body.get("documents")
    if not isinstance(documents, list) or not documents:
        raise bad_request("documents must be an array that is not empty.", param="documents")
    if len(documents) > most:
        raise bad_request(f"documents may hold {most} at most; this request has {len(documents)}.", param="documents")
    fields = body.get("rank_fields")
    if fields is not None and (not isinstance(fields, list) or not all(isinstance(name, str) for name in fields)):
        raise bad_request("rank_fields must be an array of strings.", param="rank_fields")
    if all(isinstance(document, str) for document in documents):
        return documents
    if not all(isinstance(document, dict) for document in documents):
        raise bad_request("documents must be all strings or all objects.", param="documents")
    return [_selected(document, fields) for document in documents]


def _selected(document: dict[str, Any], fields: list[str] | None) -> str:
    """An object document as the service reads and returns it: the JSON text of its chosen fields."""
    chosen = document if not fields else {name: document[name] for name in fields if name in document}
    return json.dumps(chosen, ensure_ascii=False, separators=(",", ":"))


def _top_n(body: dict[str, Any], size: int) -> int:
    asked = body.get("top_n")
    if asked is None:
        return size
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise bad_request("top_n must be a whole number of at least 1.", param="top_n")
    return asked


ROUTES: Any = [json_route("/v1/rerank", rerank)]
