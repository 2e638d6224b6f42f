"""Rerank: documents sorted by their relevance to a query."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from together_adapters.types.response import ResponseModel, Usage

RerankMethod = Literal["auto", "rerank", "listwise", "pointwise"]
"""How documents are ranked: by the rerank endpoint, or by a chat model; `auto` decides by the model."""


class RerankResult(ResponseModel):
    """One document's score. `index` is its position in the list of documents."""

    index: Annotated[int, Field(strict=True, ge=0)]
    relevance_score: Annotated[
        float, Field(strict=True, allow_inf_nan=False, validation_alias=AliasChoices("relevance_score", "score"))
    ]
    document: dict[str, Any] | str | None = None


class RerankResponse(ResponseModel):
    """Scored documents, sorted by descending score."""

    object: str | None = None
    id: str | None = None
    model: str | None = None
    results: list[RerankResult] = Field(validation_alias=AliasChoices("results", "data"))
    usage: Usage | None = None
