"""Compares reports on the same data: the local report with the service's own, or two local reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from together_adapters.finetune.reports.report import DataReport
from together_adapters.types.files import ValidationReport

_FLAGS: Final = ("tools", "parallel_tool_calls", "reasoning", "message_weights", "sample_weights")
_FIELDS: Final = {
    "valid": "ok",
    "dataset_format": "format",
    "nlines": "rows",
    **{f"dataset_has_{name}": f"has_{name}" for name in _FLAGS},
    "dataset_is_multimodal": "has_images",
}
"""Fields of the service's report, each with the corresponding field of a `DataReport`."""
_FORMAT_ALIASES: Final = {"preference_openai": "preference"}
_NOT_COMPARED: Final = frozenset({"issues", "max_issues", "engine", "hist"})
"""Issues are compared by their counts, `issue_counts`."""
_OPTIONAL_FIELDS: Final = frozenset({"sha256", "duplicates", "estimated_cost", "max_seq_length"})
"""Compared only if both reports have a value."""


class Difference(NamedTuple):
    """A field in which two reports differ.

    Attributes:
        name: The field, as the service names it.
        local: Its value in the local report.
        remote: Its value in the service's report.
    """

    name: str
    local: Any
    remote: Any

    def __str__(self) -> str:
        return f"{self.name}: local {self.local!r}, remote {self.remote!r}"


def differences(local: DataReport, remote: ValidationReport | None) -> list[Difference]:
    """Compares a local report with the service's report on the same file.

    Args:
        local: The report of `check_jsonl`.
        remote: The `validation_report` of the uploaded file. Fields that it leaves out are not compared.

    Returns:
        The fields that differ; an empty list if the reports agree.
    """
    if remote is None:
        return []
    pairs = ((name, getattr(local, field), _normalize(getattr(remote, name))) for name, field in _FIELDS.items())
    return [Difference(*pair) for pair in pairs if pair[2] is not None and pair[1] != pair[2]]


def _normalize(value: Any) -> Any:
    """The service writes a format in upper or lower case, with or without a suffix."""
    return _FORMAT_ALIASES.get(value.lower(), value.lower()) if isinstance(value, str) else value


def report_differences(one: DataReport, other: DataReport) -> list[Difference]:
    """Compares two reports: rows, counts, lengths, and the number of issues of each code.

    Args:
        one: A report.
        other: The report to compare it with.

    Returns:
        The fields that differ, named by their path in the report: `rows`, `issue_counts.json_syntax`, `tokens.p95`. `local` is the
        value in the first report, `remote` that in the second.
    """
    left, right = (dict(_flatten(report.model_dump(mode="json"))) for report in (one, other))
    pairs = ((name, left.get(name, _default(name)), right.get(name, _default(name))) for name in {**left, **right})
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2] and not (pair[0] in _OPTIONAL_FIELDS and None in pair[1:])]


def _flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if name in _NOT_COMPARED:
            continue
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _default(name: str) -> int | None:
    """The value of a field that a report does not have: 0 for a count within a field."""
    return 0 if "." in name else None
