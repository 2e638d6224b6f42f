"""Capabilities of models: facts in one table, so that no adapter guesses from a model's name.

Source: the vendor's catalogue of serverless, embedding and rerank models and its pages on function calling,
structured outputs and reasoning (docs.together.ai, stored copies of 2025-10 to 2026-08), read on 2026-11-22.
The facts are in `capabilities.json`, where they differ from the defaults of `Capabilities`, with which a model that is not listed
works. Nothing here was verified against the live service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ModelType = Literal["chat", "language", "embedding", "rerank"]
ReasoningStyle = Literal["reasoning", "reasoning_content", "tags"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a model.

    Attributes:
        type: The type of model, which determines its endpoint.
        context_length: Maximum tokens of prompt and completion together.
        tools: Whether it supports tool calls.
        json_schema: Whether it supports `response_format` of type `json_schema`.
        vision: Whether it supports images.
        reasoning: The place of its reasoning: a field of the message, or `tags` at the start of the text; None without reasoning.
        dimensions: Length of an embedding; 0 for other models.
        query_prefix: The prefix that its authors use for a query to embed.
        document_prefix: The prefix that its authors use for a passage to embed.
        max_documents: Maximum number of documents in one rerank request.
    """

    type: ModelType = "chat"
    context_length: int = 32_768
    tools: bool = True
    json_schema: bool = False
    vision: bool = False
    reasoning: ReasoningStyle | None = None
    dimensions: int = 0
    query_prefix: str = ""
    document_prefix: str = ""
    max_documents: int = 1024


MODELS: dict[str, Capabilities] = {
    name: Capabilities(**facts)
    for name, facts in json.loads(Path(__file__).with_name("capabilities.json").read_text("utf-8")).items()
}

DEFAULT_CHAT_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
DEFAULT_EMBEDDING_MODEL = "intfloat/multilingual-e5-large-instruct"
DEFAULT_RERANK_MODEL = "Salesforce/Llama-Rank-V1"

_UNKNOWN = Capabilities()
_BY_LOWER_NAME = {name.lower(): capabilities for name, capabilities in MODELS.items()}


def capabilities(model: str) -> Capabilities:
    """Returns the capabilities of a model, or the defaults if it is not in the table. Letter case does not matter."""
    return _BY_LOWER_NAME.get(model.lower(), _UNKNOWN)


def is_known(model: str) -> bool:
    """Returns whether a model is in the table."""
    return model.lower() in _BY_LOWER_NAME
