"""Training data: what is wrong with it, said before anything is uploaded.

from together_adapters.finetune import check_jsonl

report = check_jsonl("train.jsonl")
print(report.summary())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from together_adapters.errors import DatasetError, InvalidDatasetError
    from together_adapters.finetune.checker import check_jsonl
    from together_adapters.finetune.comparison import Difference, differences
    from together_adapters.finetune.data import TrainingData, from_messages
    from together_adapters.finetune.errors import (
        ConversionError,
        FileTooLargeError,
        MethodMismatchError,
        RemoteValidationError,
        SchemaDetectionError,
    )
    from together_adapters.finetune.fixes import Fixes
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.job import AsyncJob, Job, astart, start
    from together_adapters.finetune.legacy import check_file
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.picture import save_picture
    from together_adapters.finetune.prepared import PreparedFile
    from together_adapters.finetune.report import DataReport
    from together_adapters.finetune.report_comparison import report_differences
    from together_adapters.finetune.rows import check_row
    from together_adapters.finetune.rules import RULES_VERSION
    from together_adapters.finetune.sources.rag import RagPrompt
    from together_adapters.finetune.splitting import Leakage, leakage
    from together_adapters.finetune.writing import write_jsonl

_HOMES = {
    "AsyncJob": "together_adapters.finetune.job",
    "ConversionError": "together_adapters.finetune.errors",
    "DataReport": "together_adapters.finetune.report",
    "DatasetError": "together_adapters.errors",
    "Difference": "together_adapters.finetune.comparison",
    "FileTooLargeError": "together_adapters.finetune.errors",
    "Fixes": "together_adapters.finetune.fixes",
    "InvalidDatasetError": "together_adapters.errors",
    "Issue": "together_adapters.finetune.issues",
    "Job": "together_adapters.finetune.job",
    "Leakage": "together_adapters.finetune.splitting",
    "MethodMismatchError": "together_adapters.finetune.errors",
    "PreparedFile": "together_adapters.finetune.prepared",
    "RULES_VERSION": "together_adapters.finetune.rules",
    "RagPrompt": "together_adapters.finetune.sources.rag",
    "RemoteValidationError": "together_adapters.finetune.errors",
    "SchemaDetectionError": "together_adapters.finetune.errors",
    "TrainingData": "together_adapters.finetune.data",
    "astart": "together_adapters.finetune.job",
    "check_file": "together_adapters.finetune.legacy",
    "check_jsonl": "together_adapters.finetune.checker",
    "check_row": "together_adapters.finetune.rows",
    "differences": "together_adapters.finetune.comparison",
    "from_messages": "together_adapters.finetune.data",
    "leakage": "together_adapters.finetune.splitting",
    "load": "together_adapters.finetune.loading",
    "report_differences": "together_adapters.finetune.report_comparison",
    "save_picture": "together_adapters.finetune.picture",
    "start": "together_adapters.finetune.job",
    "write_jsonl": "together_adapters.finetune.writing",
}

__all__ = [
    "RULES_VERSION",
    "AsyncJob",
    "ConversionError",
    "DataReport",
    "DatasetError",
    "Difference",
    "FileTooLargeError",
    "Fixes",
    "InvalidDatasetError",
    "Issue",
    "Job",
    "Leakage",
    "MethodMismatchError",
    "PreparedFile",
    "RagPrompt",
    "RemoteValidationError",
    "SchemaDetectionError",
    "TrainingData",
    "astart",
    "check_file",
    "check_jsonl",
    "check_row",
    "differences",
    "from_messages",
    "leakage",
    "load",
    "report_differences",
    "save_picture",
    "start",
    "write_jsonl",
]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
