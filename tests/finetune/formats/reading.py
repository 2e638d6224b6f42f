"""What comes out of a source, sorted."""

from __future__ import annotations

from typing import Any

from together_adapters.finetune import check_row
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.records import Example, Refusal
from together_adapters.finetune.writing.fixes import Fixes


def examples(data: TrainingData) -> list[Example]:
    return [record for record in data.records() if isinstance(record, Example)]


def refusals(data: TrainingData) -> list[Refusal]:
    records = [record for record in data.records() if isinstance(record, Refusal)]
    assert all(refusal.code in RULES for refusal in records), records
    return records


def only_row(data: TrainingData) -> dict[str, Any]:
    """The one row, which must be good as it is written."""
    assert refusals(data) == []
    (example,) = examples(data)
    row, _ = Fixes().apply(example.row)
    errors = [issue for issue in check_row(row) if issue.severity == "error"]
    assert errors == []
    return example.row


def only_refusal(data: TrainingData) -> Refusal:
    assert examples(data) == []
    (refusal,) = refusals(data)
    return refusal


def user(content: Any = "q", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def says(content: Any = "a", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}
