"""What LangChain holds, as training data: messages, chat sessions, examples, runs, trajectories, and live calls.

from langchain_together_adapters.finetuning import from_langchain
from together_adapters.finetune import write_jsonl

write_jsonl(from_langchain(conversations, tools=[search]), "train.jsonl")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_together_adapters.finetuning.recorder import FinetuneRecorder
    from langchain_together_adapters.finetuning.source import from_langchain

_HOMES = {"FinetuneRecorder": "recorder", "from_langchain": "source"}

__all__ = ["FinetuneRecorder", "from_langchain"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
