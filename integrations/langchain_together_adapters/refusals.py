"""Refusals of a model: content blocks where langchain-core knows them (1.7.5 and later), and the error of structured output."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import KNOWN_BLOCK_TYPES, ContentBlock
from langchain_core.outputs import Generation

from langchain_together_adapters.errors import RefusedError, as_model_error

HAS_BLOCKS = "refusal" in KNOWN_BLOCK_TYPES
_INDEX = "lc_rf_0"  # by its prefix, langchain-core merges blocks of one index


def refusal_blocks(text: str, *, in_stream: bool = False) -> list[dict[str, Any]]:
    """Return the content blocks of a refusal; none where langchain-core does not know them."""
    if not (HAS_BLOCKS and text):
        return []
    return [{"type": "refusal", "refusal": text, "index": _INDEX} if in_stream else {"type": "refusal", "refusal": text}]


def raise_if_refused(result: list[Generation]) -> None:
    """Raise where the model refused, or where a content filter has stopped it, because there is no value to parse."""
    message = getattr(result[0], "message", None) if result else None
    if not isinstance(message, AIMessage):
        return
    refusal = _refusal(message)
    if refusal is None and message.response_metadata.get("finish_reason") == "content_filter":
        refusal = "Model output was stopped by a content filter"
    if refusal is not None:
        error = as_model_error(RefusedError)(refusal or "Model refused to produce the requested output")
        cast(RefusedError, error).raw_message = message
        raise error


def _refusal(message: AIMessage) -> str | None:
    if refusal := message.additional_kwargs.get("refusal"):
        return str(refusal)
    blocks = () if isinstance(message.content, str) else message.content
    return next(
        (block.get("refusal") or "" for block in blocks if isinstance(block, dict) and block.get("type") == "refusal"), None
    )


def _blocks(message: AIMessage) -> list[ContentBlock]:
    """Return the content blocks of a message that is a refusal; langchain-core's own way is right for all others."""
    refusal = message.additional_kwargs.get("refusal")
    if not refusal:
        raise NotImplementedError  # with which langchain-core takes its own way
    metadata = {name: value for name, value in message.response_metadata.items() if name != "model_provider"}
    blocks: list[Any] = message.model_copy(update={"response_metadata": metadata}).content_blocks
    if not any(block["type"] == "refusal" for block in blocks):
        blocks = [*blocks, *refusal_blocks(str(refusal))]
    return blocks


def register(provider: str) -> None:
    """Make `content_blocks` of a provider's messages include refusals."""
    if HAS_BLOCKS:
        register_translator(provider, _blocks, _blocks)
