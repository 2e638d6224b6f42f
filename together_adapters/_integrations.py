"""The models of the integrations, for `finetune.Job`: the one module of the library that names the integrations.

They build on the library, so it imports them only when it is asked for one of their models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_together_adapters import ChatTogether
    from llama_index_together_adapters import TogetherLLM

__all__ = ["ChatTogether", "TogetherLLM", "chat_model", "llama_llm"]


def chat_model(**kwargs: Any) -> ChatTogether:
    """Returns a chat model of LangChain; raises ImportError if LangChain is not installed."""
    model: ChatTogether = import_module("langchain_together_adapters").ChatTogether(**kwargs)
    return model


def llama_llm(**kwargs: Any) -> TogetherLLM:
    """Returns an LLM of LlamaIndex; raises ImportError if LlamaIndex is not installed."""
    llm: TogetherLLM = import_module("llama_index_together_adapters").TogetherLLM(**kwargs)
    return llm
