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
    """The capabilities of a model."""

    type: ModelType = "chat"  # determines its endpoint
    context_length: int = 32_768  # maximum tokens of prompt and completion together
    tools: bool = True  # whether it supports tool calls
    json_schema: bool = False  # whether it supports `response_format` of type `json_schema`
    vision: bool = False  # whether it supports images
    reasoning: ReasoningStyle | None = (
        None  # the place of its reasoning: a field of the message, or tags at the start of the text
    )
    dimensions: int = 0  # length of an embedding
    query_prefix: str = ""  # that its authors use for a query to embed
    document_prefix: str = ""  # that its authors use for a passage to embed
    max_documents: int = 1024  # in one rerank request


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
