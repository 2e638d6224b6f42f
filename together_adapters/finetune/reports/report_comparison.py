"""Two reports of ours side by side: of the same file at two times, or of two files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.finetune.reports.diff import Difference
from together_adapters.finetune.reports.report import DataReport

_NOT_COMPARED: Final = frozenset({"issues", "max_issues", "engine", "hist"})
"""The issues are compared by how many there are of each kind."""
_ONLY_IF_BOTH_LOOKED: Final = frozenset({"sha256", "duplicates", "estimated_cost", "max_seq_length"})


def report_differences(one: DataReport, other: DataReport) -> list[Difference]:
    """Compare two reports: rows, counts, lengths, and how many issues there are of each kind.

    Args:
        one: A report.
        other: Another one.

    Returns:
        What differs, under the names that the reports have for it: `rows`, `issue_counts.json_syntax`, `tokens.p95`. `local` is
        what the first report says.
    """
    left, right = (dict(_flat(report.model_dump(mode="json"))) for report in (one, other))
    names = [*left, *(name for name in right if name not in left)]
    return [
        Difference(name, here, there)
        for name in names
        if (here := left.get(name, _absent(name))) != (there := right.get(name, _absent(name)))
        and not (name in _ONLY_IF_BOTH_LOOKED and None in (here, there))
    ]


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if name in _NOT_COMPARED:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _absent(name: str) -> int | None:
    """What a report says of something that it does not count: none of it."""
    return 0 if "." in name else None
