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
    from together_adapters.finetune.errors import RemoteValidationError
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.legacy import check_file
    from together_adapters.finetune.report import DataReport
    from together_adapters.finetune.rows import check_row
    from together_adapters.finetune.rules import RULES_VERSION

_HOMES = {
    "DataReport": "together_adapters.finetune.report",
    "DatasetError": "together_adapters.errors",
    "InvalidDatasetError": "together_adapters.errors",
    "Issue": "together_adapters.finetune.issues",
    "RULES_VERSION": "together_adapters.finetune.rules",
    "RemoteValidationError": "together_adapters.finetune.errors",
    "check_file": "together_adapters.finetune.legacy",
    "check_jsonl": "together_adapters.finetune.checker",
    "check_row": "together_adapters.finetune.rows",
}

__all__ = [
    "RULES_VERSION",
    "DataReport",
    "DatasetError",
    "InvalidDatasetError",
    "Issue",
    "RemoteValidationError",
    "check_file",
    "check_jsonl",
    "check_row",
]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
