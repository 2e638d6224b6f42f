"""Capabilities of models: facts in one table, so that no adapter guesses from a model's name.

Source: the vendor's catalogue of serverless, embedding and rerank models and its pages on function calling,
structured outputs and reasoning (docs.together.ai, stored copies of 2025-10 to 2026-08), read on 2026-11-22.
A model that is not listed works with the defaults of `Capabilities`. Nothing here was verified against the live service.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

ModelType = Literal["chat", "language", "embedding", "rerank"]
ReasoningStyle = Literal["reasoning", "reasoning_content", "tags"]

_E5_TASK = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
_BGE_TASK = "Represent this sentence for searching relevant passages: "


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


_CHAT = Capabilities(json_schema=True)
_NO_TOOLS = Capabilities(tools=False)
_EMBEDDING = Capabilities(type="embedding", tools=False)
_RERANK = Capabilities(type="rerank", tools=False)
_LANGUAGE = Capabilities(type="language", tools=False)


def _chat(context_length: int, *, vision: bool = False, reasoning: ReasoningStyle | None = None) -> Capabilities:
    return replace(_CHAT, context_length=context_length, vision=vision, reasoning=reasoning)


def _embedding(context_length: int, dimensions: int, query_prefix: str = "") -> Capabilities:
    return replace(_EMBEDDING, context_length=context_length, dimensions=dimensions, query_prefix=query_prefix)


MODELS: dict[str, Capabilities] = {
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": _chat(131_072),
    "meta-llama/Llama-3.3-70B-Instruct-Turbo-Free": _chat(131_072),
    "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo": _chat(131_072),
    "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo": _chat(131_072),
    "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo": _chat(130_815),
    "meta-llama/Llama-3.2-3B-Instruct-Turbo": _chat(131_072),
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8": _chat(1_048_576, vision=True),
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": _chat(1_048_576, vision=True),
    "meta-llama/Meta-Llama-3-8B-Instruct-Lite": replace(_NO_TOOLS, context_length=8_192),
    "Qwen/Qwen2.5-7B-Instruct-Turbo": _chat(32_768),
    "Qwen/Qwen2.5-72B-Instruct-Turbo": _chat(32_768),
    "Qwen/Qwen2.5-VL-72B-Instruct": replace(_chat(32_768, vision=True), tools=False),
    "Qwen/Qwen2.5-Coder-32B-Instruct": replace(_NO_TOOLS, context_length=32_768),
    "Qwen/QwQ-32B": replace(_chat(32_768, reasoning="tags"), tools=False),
    "Qwen/Qwen3-235B-A22B-Instruct-2507-tput": _chat(262_144),
    "Qwen/Qwen3-235B-A22B-Thinking-2507": _chat(262_144, reasoning="reasoning"),
    "Qwen/Qwen3-235B-A22B-fp8-tput": _chat(40_960, reasoning="reasoning"),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8": _chat(256_000),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": _chat(262_144),
    "Qwen/Qwen3-Next-80B-A3B-Thinking": _chat(262_144, reasoning="reasoning"),
    "Qwen/Qwen3.5-9B": _chat(262_144, vision=True, reasoning="reasoning"),
    "deepseek-ai/DeepSeek-V3": _chat(163_839),
    "deepseek-ai/DeepSeek-V3.1": _chat(128_000, reasoning="reasoning"),
    "deepseek-ai/DeepSeek-R1": _chat(163_839, reasoning="tags"),
    "deepseek-ai/DeepSeek-R1-0528-tput": _chat(163_839, reasoning="tags"),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B": replace(_chat(131_072, reasoning="tags"), tools=False),
    "moonshotai/Kimi-K2-Instruct": _chat(128_000),
    "moonshotai/Kimi-K2-Instruct-0905": _chat(262_144),
    "moonshotai/Kimi-K2.5": _chat(262_144, vision=True, reasoning="reasoning"),
    "moonshotai/Kimi-K3": _chat(262_144, vision=True, reasoning="reasoning_content"),
    "openai/gpt-oss-20b": _chat(128_000, reasoning="reasoning"),
    "openai/gpt-oss-120b": _chat(128_000, reasoning="reasoning"),
    "zai-org/GLM-4.5-Air-FP8": _chat(131_072, reasoning="reasoning"),
    "mistralai/Mistral-Small-24B-Instruct-2501": _chat(32_768),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": replace(_NO_TOOLS, context_length=32_768),
    "mistralai/Mistral-7B-Instruct-v0.3": replace(_NO_TOOLS, context_length=32_768),
    "google/gemma-3n-E4B-it": replace(_NO_TOOLS, context_length=32_768),
    "mistralai/Mixtral-8x7B-v0.1": replace(_LANGUAGE, context_length=32_768),
    "meta-llama/Llama-2-70b-hf": replace(_LANGUAGE, context_length=4_096),
    "intfloat/multilingual-e5-large-instruct": _embedding(514, 1024, _E5_TASK),
    "BAAI/bge-large-en-v1.5": _embedding(512, 1024, _BGE_TASK),
    "BAAI/bge-base-en-v1.5": _embedding(512, 768, _BGE_TASK),
    "Alibaba-NLP/gte-modernbert-base": _embedding(8_192, 768),
    "togethercomputer/m2-bert-80M-8k-retrieval": _embedding(8_192, 768),
    "togethercomputer/m2-bert-80M-32k-retrieval": _embedding(32_768, 768),
    "WhereIsAI/UAE-Large-V1": _embedding(512, 1024, _BGE_TASK),
    "Salesforce/Llama-Rank-V1": replace(_RERANK, context_length=8_192),
    "mixedbread-ai/Mxbai-Rerank-Large-V2": replace(_RERANK, context_length=32_768),
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
