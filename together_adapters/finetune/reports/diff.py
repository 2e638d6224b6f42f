"""What the check on this machine and the service's own say of the same file, side by side.

Both count the same things under the same names, so that a difference points at a rule that one of them has and the other has not.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from together_adapters.finetune.reports.report import DataReport
from together_adapters.types.files import ValidationReport

_SHARED: Final = {
    "valid": "ok",
    "dataset_format": "format",
    "nlines": "rows",
    "dataset_has_tools": "has_tools",
    "dataset_has_parallel_tool_calls": "has_parallel_tool_calls",
    "dataset_has_reasoning": "has_reasoning",
    "dataset_has_message_weights": "has_message_weights",
    "dataset_has_sample_weights": "has_sample_weights",
    "dataset_is_multimodal": "has_images",
}
"""What the service calls it, and what a `DataReport` does."""
_SAME: Final = {"preference_openai": "preference"}


class Difference(NamedTuple):
    """One thing that the two checks see differently.

    Attributes:
        name: What it is, as the service names it.
        local: What was found on this machine.
        remote: What the service says.
    """

    name: str
    local: Any
    remote: Any

    def __str__(self) -> str:
        return f"{self.name}: here {self.local!r}, at the service {self.remote!r}"


def differences(local: DataReport, remote: ValidationReport | None) -> list[Difference]:
    """Compare a report with the service's on the same file.

    Args:
        local: The report of `check_jsonl`.
        remote: `validation_report` of the uploaded file. What it does not tell is not compared.

    Returns:
        What differs; nothing where both agree.
    """
    if remote is None:
        return []
    pairs = ((name, getattr(local, ours), _plain(getattr(remote, name))) for name, ours in _SHARED.items())
    return [Difference(name, here, there) for name, here, there in pairs if there is not None and here != there]


def _plain(value: Any) -> Any:
    """The service's words for a format come in upper and lower case, with and without a suffix."""
    if isinstance(value, str):
        value = value.lower()
        return _SAME.get(value, value)
    return value
