"""Token counts without a tokenizer: an estimate, because each model has a tokenizer of its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from langchain_together_adapters.tools import wire_tools

_BYTES_PER_TOKEN = 4


def estimated_ids(text: str) -> list[int]:
    """Return one number for every four bytes of a text, an estimate of its tokens. The numbers are not token ids."""
    data = text.encode("utf-8", "surrogatepass")
    return [int.from_bytes(data[start : start + _BYTES_PER_TOKEN]) for start in range(0, len(data), _BYTES_PER_TOKEN)]


def estimated_count(messages: Sequence[BaseMessage], tools: Sequence[Any] | None) -> int:
    """Return an estimate of the tokens of a conversation and its tools."""
    text = "".join(str(message.content) for message in messages)
    size = len(text.encode("utf-8", "surrogatepass"))
    # Characters outside ASCII take more bytes, and more tokens.
    per_token = _BYTES_PER_TOKEN * len(text) / size if size else _BYTES_PER_TOKEN
    wire: Any = wire_tools(tools) if tools else None
    return count_tokens_approximately(messages, chars_per_token=per_token, tools=wire)
