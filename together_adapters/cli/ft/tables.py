"""A report for people: its verdict in a line, and tables that fit a terminal of 80 columns."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from together_adapters.cli.output import Column, fields, note, size, table, write
from together_adapters.finetune.errors import first_of_each
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.reports.histogram import histogram, is_skewed, log_histogram

if TYPE_CHECKING:
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.reports.distribution import Distribution
    from together_adapters.finetune.reports.report import DataReport

LISTED: Final = 20
_BAR: Final = 24
_EACH: Final = 5
"""How many issues of one kind are shown where nobody said how many."""
_NAMED: Final = 12
"""Tools that a table names one by one."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LEVELS: Final = "▁▂▃▄▅▆▇█"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with the word for what is counted."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def verdict(report: DataReport, name: str) -> str:
    """Return in a line whether a file can be used."""
    found = f"{count(report.errors, 'error')}, {count(report.warnings, 'warning')}"
    said = "can be used" if report.ok and report.method_ok else "cannot be used"
    return f"{name} {said}: {found} in {count(report.rows, 'row')}" + (f" ({report.format})" if report.format else "")


def show_issues(report: DataReport, most: int | None = None, *, place: str = "line") -> None:
    """Print the first issues, and below them how often each kind was found and what helps.

    Args:
        report: What was found.
        most: How many issues are shown one by one; None for a few of every kind.
        place: Where an issue is: its `line`, or its `source` where the file with that line was not written.
    """
    if not report.issue_counts:
        return
    shown = _chosen(report.issues, most)
    if shown:
        write("\n")
        several = place == "line" and len({issue.source for issue in shown}) > 1
        columns = [Column(place.title() if place == "line" else "Row", right=place == "line"), Column("Code"), Column("What")]
        rows = [(_place(issue, place), issue.code, _what(issue)) for issue in shown]
        table(
            [Column("File"), *columns] if several else columns,
            [(issue.source or "", *row) for issue, row in zip(shown, rows, strict=True)] if several else rows,
        )
    more = sum(report.issue_counts.values()) - len(shown)
    if more > 0:
        note(f"and {more:,} more; --max-issues N lists N of them, --json up to 1000")
    show_kinds(report)


def show_counts(title: str, counts: Mapping[str, int], unit: str = "Rows") -> None:
    """Print what was counted by name, the most frequent first; nothing where nothing was."""
    if not counts:
        return
    write("\n")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = ranked[0][1]
    shown = ranked[:_NAMED]
    columns = (Column(title), Column(unit, right=True), Column("", extra=1))
    table(columns, [(name, f"{number:,}", bar(number / most)) for name, number in shown])
    if len(ranked) > _NAMED:
        note(f"and {len(ranked) - _NAMED:,} more; --json names them")


def show_facts(report: DataReport) -> None:
    """Print what is in a file, as a list."""
    told = {name: text for name, text in _facts(report).items() if text}
    if told:
        write("\n")
        fields(told)


def show_lengths(report: DataReport) -> None:
    """Print how long rows are: a line for tokens, characters and messages each, and a histogram of the tokens."""
    spreads = [(name, spread) for name, spread in report.distributions() if spread.count]
    if not spreads:
        return
    write("\n")
    columns = (
        Column("Lengths"),
        Column("Min", right=True, extra=3),
        Column("5 %", right=True, extra=2),
        Column("Median", right=True),
        Column("95 %", right=True),
        Column("99 %", right=True, extra=1),
        Column("Max", right=True),
        Column("Sum", right=True),
        Column("", whole=True, extra=4),
    )
    table(columns, [_length_row(name, spread) for name, spread in spreads])
    name, spread = spreads[0]
    bins = log_histogram(spread) if is_skewed(spread) else histogram(spread)
    if len(bins) < 2:
        return
    most = max(one.number for one in bins)
    write("\n")
    title = name[:1].upper() + name[1:]
    rows = [(_range(one.low, one.high), f"{one.number:,}", bar(one.number / most)) for one in bins]
    table((Column(title, right=True), Column("Rows", right=True), Column("", whole=True)), rows)


def bar(share: float, width: int = _BAR) -> str:
    """Return a bar.

    Args:
        share: How much of the width it fills, 0 to 1. What is more than nothing is seen.
        width: Columns of the terminal.
    """
    if share <= 0:
        return ""
    if not _draws():
        return "#" * max(1, round(share * width))
    whole, rest = divmod(max(1, round(share * width * 8)), 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def outline(counts: Sequence[int]) -> str:
    """Return a histogram of one line; nothing where the terminal cannot show it."""
    most = max(counts, default=0)
    if not most or not _draws():
        return ""
    return "".join(" " if not number else _LEVELS[min(7, number * 8 // (most + 1))] for number in counts)


def _chosen(issues: Sequence[Issue], most: int | None) -> list[Issue]:
    """Return the issues to show, in the order of the file: errors rather than warnings, and some of every kind."""
    ranked = first_of_each(sorted(issues, key=lambda issue: issue.severity != "error"))
    ranked.sort(key=lambda issue: issue.severity != "error")
    if most is None:
        seen: Counter[str] = Counter()
        few = []
        for issue in ranked:
            seen[issue.code] += 1
            few += [issue] * (seen[issue.code] <= _EACH)
        ranked, most = few, LISTED
    kept = {id(issue) for issue in ranked[:most]}
    return [issue for issue in issues if id(issue) in kept]


def _place(issue: Issue, place: str) -> Any:
    return issue.line if place == "line" else issue.source or issue.line


def _what(issue: Issue) -> str:
    return f"{issue.path}: {issue.message}" if issue.path else issue.message


def show_kinds(report: DataReport) -> None:
    """Print how often each kind of issue was found, and what helps."""
    severities = {code: rule.severity for code, rule in RULES.items()} | {issue.code: issue.severity for issue in report.issues}
    ranked = sorted(report.issue_counts.items(), key=lambda item: (severities.get(item[0]) != "error", -item[1], item[0]))
    rows = [
        (f"{number:,}", code, severities.get(code, "error"), RULES[code].hint if code in RULES else "") for code, number in ranked
    ]
    if not rows:
        return
    write("\n")
    table((Column("Count", right=True), Column("Code"), Column("Severity"), Column("What helps")), rows)


def _facts(report: DataReport) -> dict[str, str]:
    length = report.max_seq_length
    packed = report.packed_sequences_estimate()
    fraction = report.trained_fraction
    about = "" if report.tokens_from == "tokenizer" else "about "
    has = [name for name in _TRAITS if getattr(report, name)]
    return {
        "rows": f"{report.rows:,}" + (f", {report.valid:,} valid" if report.valid != report.rows else ""),
        "format": report.format or "",
        "size": size(report.bytes),
        "tokens": f"{about}{report.tokens.total:,}" if report.tokens.count else "",
        "trained on": "" if fraction is None else f"{fraction:.1%} of the characters",
        "has": ", ".join(_TRAITS[name] for name in has),
        "longest row trained": f"{length:,} tokens" if length else "",
        "longer rows": f"{about}{report.too_long:,}, cut off by the service" if report.too_long else "",
        "packed sequences": f"about {packed:,}" if packed else "",
        "untrained rows": f"{report.rows_without_training_signal:,}" if report.rows_without_training_signal else "",
        "duplicates": "" if report.duplicates is None else f"{report.duplicates:,}",
        "leakage": ", ".join(f"{number:,} {kind}" for kind, number in report.leakage.items()),
        "secrets": ", ".join(f"{kind} {number:,}" for kind, number in report.secrets.items()),
        "estimated cost": "" if report.estimated_cost is None else f"{report.estimated_cost:,.2f}",
        "sha256": report.sha256 or "",
    }


_TRAITS: Final = {
    "has_tools": "tools",
    "has_parallel_tool_calls": "parallel tool calls",
    "has_reasoning": "reasoning",
    "has_message_weights": "message weights",
    "has_sample_weights": "sample weights",
    "has_images": "images",
}


def _length_row(name: str, spread: Distribution) -> tuple[str, ...]:
    numbers = (spread.min, spread.p5, spread.p50, spread.p95, spread.p99, spread.max, spread.total)
    bins = log_histogram(spread) if is_skewed(spread) else histogram(spread)
    return (name, *(f"{number:,}" for number in numbers), outline([one.number for one in bins]))


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} - {high:,}"


def _draws() -> bool:
    """Whether stdout can show blocks."""
    return (sys.stdout.encoding or "ascii").lower().replace("-", "") in ("utf8", "utf16")
