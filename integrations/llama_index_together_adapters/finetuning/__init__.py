"""What LlamaIndex holds, as training data: messages, chat stores and memories, agents' runs, evaluations, and live calls.

from llama_index_together_adapters.finetuning import from_llama_index
from together_adapters.finetune import write_jsonl

write_jsonl(from_llama_index(memory, tools=[search]), "train.jsonl")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_together_adapters.finetuning.recorder import FinetuneRecorder
    from llama_index_together_adapters.finetuning.source import from_llama_index

_HOMES = {"FinetuneRecorder": "recorder", "from_llama_index": "source"}

__all__ = ["FinetuneRecorder", "from_llama_index"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
