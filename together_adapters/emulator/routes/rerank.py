"""`POST /v1/rerank`: documents in the order of the words that they share with the query."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, RequestModel, json_route
from together_adapters.emulator.routes.served_models import find_served_model
from together_adapters.emulator.text.similarity import relevance


class _RerankRequest(RequestModel):
    model: str
    query: str = Field(min_length=1)
    documents: list[str] | list[dict[str, Any]] = Field(
        min_length=1, description="an array of strings, or of objects, that is not empty"
    )
    top_n: int | None = Field(None, ge=1)
    return_documents: Any = None
    rank_fields: list[str] | None = None


def _rerank(context: RequestContext) -> dict[str, Any]:
    """Answers a rerank request. Unknown parameters are always refused, as the service's schema demands."""
    model, facts = find_served_model(context, "rerank")
    for name in sorted(context.body.keys() - _RerankRequest.model_fields.keys()):
        raise bad_request(f"Unrecognized request argument supplied: {name}", param=name)
    request = _RerankRequest.read(context)
    if (count := len(request.documents)) > facts.max_documents:
        message = f"documents may contain {facts.max_documents} at most; this request has {count}."
        raise bad_request(message, param="documents")
    texts = [_text(document, request.rank_fields) for document in request.documents]
    tokens = sum(len(text) // 4 + 1 for text in texts) + (len(request.query) // 4 + 1) * len(texts)
    context.charge.admit("rerank", model, facts, tokens)
    answer = context.answer("rerank", {**context.body, "documents": texts})
    scores = answer.media if answer else relevance(request.query, texts)
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))[: request.top_n]
    with_documents = bool(request.return_documents)
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    usage = answer.with_counts(usage) if answer else usage
    context.charge.count(usage)
    return {
        "object": "rerank",
        "id": context.id,
        "model": model,
        "results": [
            {"index": index, "relevance_score": scores[index], "document": {"text": texts[index]} if with_documents else {}}
            for index in order
        ],
        "usage": usage,
    }


def _text(document: str | dict[str, Any], fields: list[str] | None) -> str:
    """Returns a document as the service reads it: an object becomes the JSON text of its selected fields."""
    if isinstance(document, str):
        return document
    selected = document if not fields else {name: document[name] for name in fields if name in document}
    return json.dumps(selected, ensure_ascii=False, separators=(",", ":"))


ROUTES: Any = [json_route("/v1/rerank", _rerank)]
