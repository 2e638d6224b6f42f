"""Training data: what is wrong with it, said before anything is uploaded.

from together_adapters.finetune import check_jsonl

report = check_jsonl("train.jsonl")
print(report.summary())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from together_adapters.errors import DatasetError, InvalidDatasetError
    from together_adapters.finetune.dataset import TrainingData, from_messages
    from together_adapters.finetune.errors import (
        ConversionError,
        FileTooLargeError,
        MethodMismatchError,
        RemoteValidationError,
        SchemaDetectionError,
    )
    from together_adapters.finetune.formats.rag import RagPrompt
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.job import AsyncJob, Job, astart, start
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.reports.diff import Difference, differences
    from together_adapters.finetune.reports.plot import save_picture
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.finetune.reports.report_comparison import report_differences
    from together_adapters.finetune.rules import RULES_VERSION
    from together_adapters.finetune.splitting import Leakage, leakage
    from together_adapters.finetune.validation.check_jsonl import check_jsonl
    from together_adapters.finetune.validation.check_row import check_row
    from together_adapters.finetune.validation.compat import check_file
    from together_adapters.finetune.writing.fixes import Fixes
    from together_adapters.finetune.writing.prepared_file import PreparedFile
    from together_adapters.finetune.writing.write_jsonl import write_jsonl

_HOMES = {
    "AsyncJob": "together_adapters.finetune.job",
    "ConversionError": "together_adapters.finetune.errors",
    "DataReport": "together_adapters.finetune.reports.report",
    "DatasetError": "together_adapters.errors",
    "Difference": "together_adapters.finetune.reports.diff",
    "FileTooLargeError": "together_adapters.finetune.errors",
    "Fixes": "together_adapters.finetune.writing.fixes",
    "InvalidDatasetError": "together_adapters.errors",
    "Issue": "together_adapters.finetune.issues",
    "Job": "together_adapters.finetune.job",
    "Leakage": "together_adapters.finetune.splitting",
    "MethodMismatchError": "together_adapters.finetune.errors",
    "PreparedFile": "together_adapters.finetune.writing.prepared_file",
    "RULES_VERSION": "together_adapters.finetune.rules",
    "RagPrompt": "together_adapters.finetune.formats.rag",
    "RemoteValidationError": "together_adapters.finetune.errors",
    "SchemaDetectionError": "together_adapters.finetune.errors",
    "TrainingData": "together_adapters.finetune.dataset",
    "astart": "together_adapters.finetune.job",
    "check_file": "together_adapters.finetune.validation.compat",
    "check_jsonl": "together_adapters.finetune.validation.check_jsonl",
    "check_row": "together_adapters.finetune.validation.check_row",
    "differences": "together_adapters.finetune.reports.diff",
    "from_messages": "together_adapters.finetune.dataset",
    "leakage": "together_adapters.finetune.splitting",
    "load": "together_adapters.finetune.loading",
    "report_differences": "together_adapters.finetune.reports.report_comparison",
    "save_picture": "together_adapters.finetune.reports.plot",
    "start": "together_adapters.finetune.job",
    "write_jsonl": "together_adapters.finetune.writing.write_jsonl",
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
