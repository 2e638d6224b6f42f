"""All operations that are measured, and how they are chosen."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Final

from tests.benchmarks import (
    bulk_speed,
    client_speed,
    control_speed,
    conversion_speed,
    finetune_speed,
    langchain_speed,
    llama_index_speed,
    telemetry_speed,
)
from tests.benchmarks.measure import Builder

OPERATIONS: Final[dict[str, Builder]] = {
    **client_speed.OPERATIONS, **langchain_speed.OPERATIONS, **llama_index_speed.OPERATIONS, **conversion_speed.OPERATIONS,
    **finetune_speed.OPERATIONS, **telemetry_speed.OPERATIONS, **control_speed.OPERATIONS,
    **bulk_speed.OPERATIONS,
}  # fmt: skip


def matches(name: str, only: Sequence[str]) -> bool:
    """Return whether an operation was asked for: all are, where none is named."""
    return not only or any(part.lower() in name.lower() for part in only)


def quieten() -> None:
    """Let no tracing, proxy or warning of this machine into the figures."""
    for variable in list(os.environ):
        if variable.upper().startswith(("LANGCHAIN_", "LANGSMITH_", "TOGETHER_", "OPENAI_")) or variable.upper().endswith(
            "_PROXY"
        ):
            del os.environ[variable]
    warnings.simplefilter("ignore")
