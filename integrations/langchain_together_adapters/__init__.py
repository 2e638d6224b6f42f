"""Together AI for LangChain: chat, completions, embeddings and rerank on langchain-core alone.

Names are imported when they are first used, so that a program that only reranks does not import the chat model.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from together_adapters._lazy import attach, require

require("the LangChain integration", "langchain", "langchain_core")

__all__ = ["ChatTogether", "Together", "TogetherDecisions", "TogetherEmbeddings", "TogetherRerank", "init_together_model", "load"]

_core = find_spec("langchain_core")
if _core and not any(Path(folder, "decisions").is_dir() for folder in _core.submodule_search_locations or ()):  # before 1.8
    __all__.remove("TogetherDecisions")

if TYPE_CHECKING:
    from langchain_together_adapters.chat_models import ChatTogether
    from langchain_together_adapters.decisions import TogetherDecisions
    from langchain_together_adapters.embeddings import TogetherEmbeddings
    from langchain_together_adapters.factory import init_together_model, load
    from langchain_together_adapters.llms import Together
    from langchain_together_adapters.rerank import TogetherRerank
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "ChatTogether": ".chat_models",
            "Together": ".llms",
            "TogetherDecisions": ".decisions",
            "TogetherEmbeddings": ".embeddings",
            "TogetherRerank": ".rerank",
            "init_together_model": ".factory",
            "load": ".factory",
        },
    )
