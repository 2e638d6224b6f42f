"""A warm process for recipes: the imports of one framework's recipes, and the run of one of them."""

from __future__ import annotations

import runpy
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

COOKBOOK = Path(__file__).parents[2] / "cookbook"
RECIPES = {
    "langchain": (
        "rag_langchain",
        "agent_langchain",
        "agentic_rag_langchain",
        "extraction_langchain",
        "hybrid_rag_langchain",
        "labels_langchain",
    ),
    "llama_index": (
        "rag_llama_index",
        "agent_llama_index",
        "extraction_llama_index",
        "handoff_llama_index",
        "ingestion_llama_index",
        "evaluation_llama_index",
    ),
    "client": (
        "audio_client",
        "batch_client",
        "evaluation_client",
        "extraction_client",
        "images_client",
        "vision_client",
    ),
    "control": ("shared_control", "bulk_ingestion"),
    "tuning": ("finetune_dpo",),
}
LAZY_IMPORTS = (
    "httpcore",
    "llama_index.core.bridge.langchain",  # fails, but only after it has imported most of LangChain
    "numpy",
    "together_adapters.emulator.app",
    "together_adapters.emulator.server",
    "uvicorn.main",
)


def load(kind: str) -> None:
    """Imports the modules that the recipes of a framework and their emulator need."""
    sys.path.insert(0, str(COOKBOOK))
    for name in RECIPES[kind]:
        import_module(name)
    for name in LAZY_IMPORTS:
        if kind == "llama_index" or not name.startswith("llama_index"):
            with suppress(ImportError):
                import_module(name)


def run(arguments: list[str]) -> None:
    """Runs one recipe."""
    sys.argv = [str(COOKBOOK / f"{arguments[0]}.py"), *arguments[1:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
