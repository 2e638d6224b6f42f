"""The models of the integrations, for `finetune.Job`: the one module of the library that names the integrations.

They build on the library, so it imports them only when it is asked for one of their models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from langchain_together_adapters import ChatTogether
    from llama_index_together_adapters import TogetherLLM

    ChatModel: TypeAlias = ChatTogether
    LlamaIndexLLM: TypeAlias = TogetherLLM


def chat_model(**kwargs: Any) -> ChatModel:
    """Returns a chat model of LangChain; raises ImportError if LangChain is not installed."""
    model: ChatModel = import_module("langchain_together_adapters").ChatTogether(**kwargs)
    return model


def llama_index_llm(**kwargs: Any) -> LlamaIndexLLM:
    """Returns an LLM of LlamaIndex; raises ImportError if LlamaIndex is not installed."""
    llm: LlamaIndexLLM = import_module("llama_index_together_adapters").TogetherLLM(**kwargs)
    return llm
