"""The recipes in a warm process: what those of one framework import, and one run of one of them."""

from __future__ import annotations

import runpy
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

COOKBOOK = Path(__file__).parents[2] / "cookbook"
RECIPES = {
    "langchain": ("rag_langchain", "agent_langchain", "agentic_rag_langchain", "extraction_langchain", "hybrid_rag_langchain"),
    "llama_index": ("rag_llama_index", "agent_llama_index", "handoff_llama_index"),
    "tuning": ("finetune_dpo",),
}
LATE = (  # what is imported when it is needed
    "httpcore",
    "llama_index.core.bridge.langchain",  # which says that there is no LangChain, but only after importing most of it
    "numpy",
    "together_adapters.emulator.app",
    "together_adapters.emulator.server",
    "uvicorn.main",
)


def load(kind: str) -> None:
    """Import what the recipes of a kind import, and the emulator that they start."""
    sys.path.insert(0, str(COOKBOOK))
    for name in RECIPES[kind]:
        import_module(name)
    for name in LATE:
        if kind == "llama_index" or not name.startswith("llama_index"):
            with suppress(ImportError):
                import_module(name)


def run(arguments: list[str]) -> None:
    """Be the process of one recipe."""
    sys.argv = [str(COOKBOOK / f"{arguments[0]}.py"), *arguments[1:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
