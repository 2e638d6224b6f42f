"""The reasoning of an answer, from wherever providers put it. Reasoning that is signed or encrypted belongs to its provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from langchain_core.messages import AIMessage

from together_adapters.finetune.records import Unconvertible

THOUGHTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})


def reasoning_of(message: AIMessage, wanted: Literal["keep", "drop"], path: str) -> str:
    """Return an answer's reasoning, or something that is not empty where it has some that is not wanted.

    Raises:
        Unconvertible: It is wanted, and is signed or encrypted.
    """
    kept = message.additional_kwargs.get("reasoning_content") or message.additional_kwargs.get("reasoning")
    if isinstance(kept, str):
        return kept
    if isinstance(kept, Mapping):
        return _text(kept, wanted, path)
    if isinstance(message.content, str):
        return ""
    blocks = enumerate(message.content)
    return "".join(
        _text(one, wanted, f"{path}[{place}]")
        for place, one in blocks
        if isinstance(one, Mapping) and one.get("type") in THOUGHTS
    )


def _text(block: Mapping[str, Any], wanted: Literal["keep", "drop"], path: str) -> str:
    inner = block.get("reasoning_content")
    held = {**block, **(inner if isinstance(inner, Mapping) else {}), **(block.get("extras") or {})}
    sealed = next((key for key in ("signature", "encrypted_content") if held.get(key)), None)
    if block.get("type") == "redacted_thinking" or sealed:
        if wanted == "drop":
            return "sealed"
        text = "reasoning that is signed or encrypted cannot be trained on; reasoning='drop' leaves it out"
        raise Unconvertible("reasoning_unreadable", text, path)
    said = held.get("reasoning") or held.get("thinking") or held.get("text") or inner
    if isinstance(said, str):
        return said
    pieces = held.get("summary") or held.get("content") or ()
    return "\n".join(str(piece.get("text") or "") for piece in pieces if isinstance(piece, Mapping))
