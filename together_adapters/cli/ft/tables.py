"""Reports for people: a verdict in one line, and tables that fit a terminal of 80 columns."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Session
from together_adapters.cli.flags import commands_of, with_flags
from together_adapters.cli.output import Column, Result, Table, format_size, print_fields
from together_adapters.cli.terminal import note, write
from together_adapters.errors import DatasetError, InvalidDatasetError, RemoteValidationError
from together_adapters.finetune.errors import ConversionError, first_of_each, way_on
from together_adapters.finetune.issues import RULES, count_of, position_of, split_source
from together_adapters.finetune.reports.distribution import histogram, is_skewed, log_histogram

if TYPE_CHECKING:
    from together_adapters.finetune.issues import Issue
    from together_adapters.finetune.reports.distribution import Bin, Distribution
    from together_adapters.finetune.reports.report import DataReport

_MAX_ISSUES: Final = 20
_MAX_PER_CODE: Final = 5
_MAX_NAMES: Final = 12
_BAR_WIDTH: Final = 24
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_TRAITS: Final = {
    "has_tools": "tools",
    "has_parallel_tool_calls": "parallel tool calls",
    "has_reasoning": "reasoning",
    "has_message_weights": "message weights",
    "has_sample_weights": "sample weights",
    "has_images": "images",
}


def file_name(path: Path) -> str:
    """Returns the name of a data file: `stdin` for `-`."""
    return "stdin" if str(path) == "-" else str(path)


def verdict(report: DataReport, name: str, *, any_method: bool = False) -> str:
    """Returns in one line whether a file can be used, for one training method or for any."""
    issues = f"{count_of(report.errors, 'error')}, {count_of(report.warnings, 'warning')}"
    result = "can be used" if report.ok and (any_method or report.method_ok) else "cannot be used"
    return f"{name} {result}: {issues} in {count_of(report.rows, 'row')}" + (f" ({report.format})" if report.format else "")


def in_flags(report: DataReport, copy: Path | None = None, file: Path | None = None) -> DataReport:
    """Returns a report whose issues name flags of the command line in place of arguments, and a file in place of a copy of it."""
    for issue in report.issues:
        if copy != file:
            issue.message = issue.message.replace(str(copy), str(file)).replace(f"{copy.parent if copy else ''}{os.sep}", "")
        issue.message, issue.hint = _with_flags(issue.message), _with_flags(issue.hint)
    return report


def _with_flags(text: str) -> str:
    return with_flags(text, *commands_of(click.get_current_context(silent=True)))


def print_issues(report: DataReport, max_issues: int | None = None, *, by_line: bool = True) -> None:
    """Prints the first issues, None for a few of each code, by line or by record of the source, and the counts with hints."""
    if not report.issue_counts:
        return
    numbers = {id(issue): (issue, 1) for issue in report.issues} if max_issues or by_line else _by_sentence(report.issues)
    issues = _select([issue for issue, _ in numbers.values()], max_issues)
    if issues:

        def where(issue: Issue) -> str:
            """Returns where an issue is, with the number of others that say the same."""
            others = numbers[id(issue)][1] - 1
            return position_of(issue) + (f" and {others:,} more" if others else "")

        write("\n")
        columns = [
            Column("File", "source"),
            Column("Line", "line", right=True) if by_line else Column("Where", where),
            *([Column("Id", "id")] if any(issue.id for issue in issues) else []),
            Column("Code", "code"),
            Column("Message", lambda issue: f"{issue.path}: {issue.message}" if issue.path else issue.message),
        ]
        several_files = by_line and len({issue.source for issue in issues}) > 1
        Table(*columns if several_files else columns[1:])(issues)
    more = sum(report.issue_counts.values()) - sum(numbers[id(issue)][1] for issue in issues)
    if more > 0:
        note(
            f"and {more:,} more; " + ("--json lists them" if max_issues else "--max-issues N lists N of them, --json up to 1000")
        )
    print_issue_counts(report)


def note_way_on(report: DataReport) -> None:
    """Says how to go on with training data of which some rows are valid."""
    if report.purpose == "fine-tune" and (way := way_on(report)):
        note(_with_flags(way).removeprefix("; "))


def print_issue_counts(report: DataReport) -> None:
    """Prints the number of issues of each code, with a hint."""
    severities = {code: rule.severity for code, rule in RULES.items()} | {issue.code: issue.severity for issue in report.issues}
    counts = sorted(report.issue_counts.items(), key=lambda item: (severities.get(item[0]) != "error", -item[1], item[0]))
    if not counts:
        return
    hints: dict[str, set[str]] = {}
    for issue in report.issues:
        hints.setdefault(issue.code, set()).add(issue.hint)

    def hint(code: str) -> str:
        """Returns the hint that all issues of a code have, or that of its rule."""
        own = hints.get(code, set())
        return own.pop() if len(own) == 1 else _with_flags(RULES[code].hint) if code in RULES else ""

    write("\n")
    Table(
        Column("Count", 1, "{:,}".format, right=True),
        Column("Code", 0),
        Column("Severity", 0, lambda code: severities.get(code, "error")),
        Column("Hint", 0, hint),
    )(counts)


def print_counts(title: str, counts: Mapping[str, int], unit: str = "Rows") -> None:
    """Prints counts by name, the highest first; nothing if there are none."""
    if not counts:
        return
    write("\n")
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    bars = Column("", 1, lambda number: bar(number / items[0][1]), drop=1)
    Table(Column(title, 0), Column(unit, 1, "{:,}".format, right=True), bars)(items[:_MAX_NAMES])
    if len(items) > _MAX_NAMES:
        note(f"and {len(items) - _MAX_NAMES:,} more; --json lists them")


def print_facts(report: DataReport) -> None:
    """Prints what a file contains, as a list."""
    facts = {name: text for name, text in _facts(report).items() if text}
    if facts:
        write("\n")
        print_fields(facts)


def print_lengths(report: DataReport) -> None:
    """Prints the distributions of tokens, characters and messages per row, and a histogram of the tokens."""
    distributions: list[dict[str, Any]] = [
        {"name": name, "values": values} for name, values in report.distributions() if values.count
    ]
    if not distributions:
        return
    write("\n")
    _LENGTHS(distributions)
    name = distributions[0]["name"]
    bins = _bins(distributions[0]["values"])
    if len(bins) < 2:
        return
    highest = max(part.number for part in bins)
    write("\n")
    Table(
        Column(name[:1].upper() + name[1:], lambda part: _range(part.low, part.high), right=True),
        Column("Rows", "number", "{:,}".format, right=True),
        Column("", "number", lambda number: bar(number / highest), no_wrap=True),
    )(bins)


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """Returns a bar that fills a share of a width, 0 to 1; a share above 0 is always visible."""
    if share <= 0:
        return ""
    if not _supports_blocks():
        return "#" * max(1, round(share * width))
    full, eighths = divmod(max(1, round(share * width * 8)), 8)
    return "█" * full + _EIGHTHS[eighths].strip()


def sparkline(counts: Sequence[int]) -> str:
    """Returns a histogram in one line; nothing where stdout cannot show it."""
    highest = max(counts, default=0)
    if not highest or not _supports_blocks():
        return ""
    return "".join(" " if not number else _LEVELS[min(7, number * 8 // (highest + 1))] for number in counts)


@contextmanager
def issues_on_error(session: Session, max_issues: int | None = None) -> Iterator[None]:
    """Prints the issues of an exception, and raises a DatasetError with a message of one line in its place."""
    try:
        yield
    except (ConversionError, InvalidDatasetError) as error:
        report = in_flags(error.report if error.report is not None else _report(error))
        by_line = not any(split_source(issue)[1] for issue in report.issues)
        session.show(Result(report, partial(print_issues, max_issues=max_issues, by_line=by_line)))
        raise DatasetError(_headline(str(error))) from error
    except RemoteValidationError as error:
        if session.as_json:
            session.show({"remote": error.remote, "local": error.local_report})
        raise


def _by_sentence(issues: Iterable[Issue]) -> dict[int, tuple[Issue, int]]:
    """Returns one issue for those of a file whose sentences differ in the name of a column alone, with all names, and their number."""
    groups: dict[tuple[Any, ...], list[Issue]] = {}
    for index, issue in enumerate(issues):
        text = issue.message.removeprefix(repr(issue.path))
        key = (index,) if text == issue.message else (split_source(issue)[0], issue.code, text)
        groups.setdefault(key, []).append(issue)
    result = []
    for (*_, text), group in groups.items():
        paths = ", ".join(dict.fromkeys(issue.path for issue in group))
        first = group[0].model_copy(update={"path": paths, "message": text.strip()}) if len(group) > 1 else group[0]
        result.append((first, len(group)))
    return {id(issue): (issue, count) for issue, count in result}


def _select(issues: Sequence[Issue], max_issues: int | None) -> list[Issue]:
    """Returns the issues to print, in the order of the file: errors before warnings, and some of each code."""
    ranking = sorted(first_of_each(issues), key=lambda issue: issue.severity != "error")
    if max_issues is None:
        per_code: Counter[str] = Counter()
        selection = []
        for issue in ranking:
            per_code[issue.code] += 1
            selection += [issue] * (per_code[issue.code] <= _MAX_PER_CODE)
        ranking, max_issues = selection, _MAX_ISSUES
    identities = {id(issue) for issue in ranking[:max_issues]}
    return [issue for issue in issues if id(issue) in identities]


def _headline(text: str) -> str:
    """Returns the text before the list of issues."""
    line = text.partition("\n")[0]
    for marker in (" was not written. ", " leaves such rows out. ", " answers, too. ", " was not uploaded. "):
        start, match, _ = line.partition(marker)
        if match:
            return f"{start}{match.rstrip(' .')}"
    return line


def _report(error: Any) -> Any:
    """Returns a report with the issues of an error that has none."""
    from together_adapters.finetune.reports.report import DataReport

    counts = dict(getattr(error, "issue_counts", {}))
    return DataReport(issues=list(getattr(error, "issues", ())), issue_counts=counts, errors=sum(counts.values()) or 1)


def _facts(report: DataReport) -> dict[str, str]:
    length = report.max_seq_length
    sequences = report.packed_sequences_estimate()
    fraction = report.trained_fraction
    about = "" if report.tokens_from == "tokenizer" else "about "
    no_signal = report.rows_without_training_signal
    return {
        "rows": f"{report.rows:,}" + (f", {report.valid:,} valid" if report.valid != report.rows else ""),
        "format": report.format or "",
        "size": format_size(report.bytes),
        "tokens": f"{about}{report.tokens.total:,}" if report.tokens.count else "",
        "trained on": "" if fraction is None else f"{fraction:.1%} of the characters",
        "has": ", ".join(trait for name, trait in _TRAITS.items() if getattr(report, name)),
        "maximum row length": f"{length:,} tokens" if length else "",
        "longer rows": f"{about}{report.too_long:,}, truncated by the service" if report.too_long else "",
        "packed sequences": f"about {sequences:,}" if sequences else "",
        "no training signal": count_of(no_signal, "row") if no_signal else "",
        "duplicates": "" if report.duplicates is None else f"{report.duplicates:,}",
        "leakage": ", ".join(f"{number:,} {kind}" for kind, number in report.leakage.items()),
        "secrets": ", ".join(f"{kind} {number:,}" for kind, number in report.secrets.items()),
        "estimated cost": "" if report.estimated_cost is None else f"{report.estimated_cost:,.2f}",
        "sha256": report.sha256 or "",
    }


def _bins(distribution: Distribution) -> list[Bin]:
    return log_histogram(distribution) if is_skewed(distribution) else histogram(distribution)


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} - {high:,}"


def _supports_blocks() -> bool:
    """Whether stdout can show block characters."""
    return (sys.stdout.encoding or "ascii").lower().replace("-", "") in ("utf8", "utf16")


_LENGTHS: Final = Table(
    Column("Lengths", "name"),
    Column("Min", "values.min", "{:,}".format, right=True, drop=3),
    Column("5 %", "values.p5", "{:,}".format, right=True, drop=2),
    Column("Median", "values.p50", "{:,}".format, right=True),
    Column("95 %", "values.p95", "{:,}".format, right=True),
    Column("99 %", "values.p99", "{:,}".format, right=True, drop=1),
    Column("Max", "values.max", "{:,}".format, right=True),
    Column("Sum", "values.total", "{:,}".format, right=True),
    Column("", "values", lambda values: sparkline([part.number for part in _bins(values)]), no_wrap=True, drop=4),
)
