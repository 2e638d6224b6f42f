"""Fine-tuning: loads, validates and writes training data, and starts jobs.

```python
from together_adapters.finetune import check_jsonl

report = check_jsonl("train.jsonl")
print(report.summary())
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach

__all__ = [
    "RULES_VERSION",
    "AsyncJob",
    "Comparison",
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
    "judge",
    "leakage",
    "load",
    "report_differences",
    "save_picture",
    "start",
    "write_jsonl",
]

if TYPE_CHECKING:
    from together_adapters.errors import DatasetError, InvalidDatasetError, RemoteValidationError
    from together_adapters.finetune.dataset import TrainingData, from_messages
    from together_adapters.finetune.errors import ConversionError, FileTooLargeError, MethodMismatchError, SchemaDetectionError
    from together_adapters.finetune.formats.rag import RagPrompt
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.job import AsyncJob, Job, astart, start
    from together_adapters.finetune.judging import Comparison, judge
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.recognition import check_jsonl
    from together_adapters.finetune.reports.diff import Difference, differences, report_differences
    from together_adapters.finetune.reports.plot import save_picture
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.finetune.rules import RULES_VERSION
    from together_adapters.finetune.splitting import Leakage, leakage
    from together_adapters.finetune.validation.check_jsonl import check_file
    from together_adapters.finetune.validation.check_row import check_row
    from together_adapters.finetune.writing.fixes import Fixes
    from together_adapters.finetune.writing.write_jsonl import PreparedFile, write_jsonl
else:
    _NAMES = {
        "..errors": "DatasetError InvalidDatasetError RemoteValidationError",
        ".dataset": "TrainingData from_messages",
        ".errors": "ConversionError FileTooLargeError MethodMismatchError SchemaDetectionError",
        ".formats.rag": "RagPrompt",
        ".issues": "Issue",
        ".job": "AsyncJob Job astart start",
        ".judging": "Comparison judge",
        ".loading": "load",
        ".recognition": "check_jsonl",
        ".reports.diff": "Difference differences report_differences",
        ".reports.plot": "save_picture",
        ".reports.report": "DataReport",
        ".rules": "RULES_VERSION",
        ".splitting": "Leakage leakage",
        ".validation.check_jsonl": "check_file",
        ".validation.check_row": "check_row",
        ".writing.fixes": "Fixes",
        ".writing.write_jsonl": "PreparedFile write_jsonl",
    }
    __getattr__, __dir__ = attach(__name__, {name: module for module, names in _NAMES.items() for name in names.split()})
