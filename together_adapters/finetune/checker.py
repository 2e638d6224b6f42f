"""Checking a data file: every line, every fault, in flat memory, before anything is uploaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.issues import Severity, severities_of
from together_adapters.finetune.lines import Lines, parse
from together_adapters.finetune.notes import Finding, Notes
from together_adapters.finetune.report import DataReport, gravest
from together_adapters.finetune.rows import inspect_row, issues_of
from together_adapters.finetune.rules import BATCH_MAX_BYTES, BATCH_MAX_ROWS, MAX_FILE_BYTES, MAX_LINE_BYTES, METHODS
from together_adapters.types.progress import Progress

_SILENT: Final = frozenset(
    {"no_assistant_message", "nothing_to_train", "content_empty", "content_blank", "pref_outputs_identical"}
)
_SPARE: Final = 4


class _Unstated(str):
    """A method that nobody asked for: data of another one is then no fault, but `method_ok` tells."""


UNSTATED: Final = _Unstated("sft")


def check_jsonl(
    path: str | PathLike[str],
    *,
    purpose: str = "fine-tune",
    method: str = UNSTATED,
    limits: Any = None,
    max_issues: int = 1000,
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> DataReport:
    """Check a data file: JSONL, or CSV and Parquet where the purpose takes them. It never fails, whatever the file holds.

    Args:
        path: The file.
        purpose: What it is for: `fine-tune`, `eval`, `batch-api`, `calibration`.
        method: What it is to train, `sft` or `dpo`. When it is given, data that does not train with it is an error; in any
            case `method_ok` of the report tells.
        limits: What a model can: anything with `supports_tools`, `supports_vision` and `supports_reasoning`.
        max_issues: How many issues are listed. All are counted.
        severities: Other severities by issue code: `error`, `warning`, `ignore`.
        strict: Whether a key that stands twice in an object is an error; it takes more time.
        progress: Told how many bytes have been read.

    Returns:
        The report. `ok` says whether the file can be used.

    Raises:
        ValueError: The method, a severity or a code does not exist.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    check = Check(Path(path), purpose, method, severities_of(severities), max_issues)
    if check.openable():
        kind = Path(path).suffix
        if kind == ".jsonl":
            _check_lines(check, strict, progress)
        else:
            from together_adapters.finetune.tables import check_csv, check_parquet

            (check_csv if kind == ".csv" else check_parquet)(check)
    check.judge_whole(limits)
    return check.report()


class Check:
    """A check under way: what was found so far."""

    def __init__(self, path: Path, purpose: str, method: str, severities: Mapping[str, Severity], max_issues: int) -> None:
        self.path = path
        self.purpose = purpose
        self.notes = Notes()
        self.found = DataReport(purpose=purpose, method=str(method), max_issues=max_issues)
        self._method = method
        self._severities = severities
        self._counts: Counter[str] = Counter()
        self._formats: dict[str, int] = {}
        self._first: str | None = None

    def openable(self) -> bool:
        """Look at the file from outside; return whether there is anything to read."""
        if not self.path.is_file():
            self.note("file_missing", f"{self.path} is no file")
            return False
        size = self.found.bytes = self.path.stat().st_size
        if self.path.suffix not in (".jsonl", ".csv", ".parquet"):
            self.note("unknown_extension", f"{self.path.name} ends in none of .jsonl, .parquet, .csv")
            return False
        if size == 0:
            self.note("empty_file", "the file is empty")
            return False
        if size > MAX_FILE_BYTES:
            self.note("file_too_large", f"the file has {size:,} bytes; the service takes {MAX_FILE_BYTES:,}")
            return False
        return True

    def note(self, code: str, message: str, line: int | None = None, value: Any = "") -> None:
        """Note a fault of the file as a whole, or of a line that is no row."""
        self.keep([Finding(code, "", message, value)], line)

    def keep(self, findings: list[Finding], line: int | None) -> bool:
        """Count findings, list them as far as there is room, and return whether there was no error among them."""
        found, limit = self.found, self.found.max_issues
        clean = True
        for finding in findings:
            severity = self._severities[finding.code]
            if severity == "ignore":
                continue
            self._counts[finding.code] += 1
            if severity == "error":
                found.errors += 1
                clean = False
            else:
                found.warnings += 1
            if (found.errors if severity == "error" else found.warnings) <= limit:
                found.issues += issues_of([finding], self._severities, line, self.path.name)
        return clean

    def row(self, line: int) -> None:
        """Take in what was found in the row that `notes` holds."""
        found, notes = self.found, self.notes
        found.rows += 1
        form = notes.format
        if form is not None:
            self._formats[form] = self._formats.get(form, 0) + 1
            if form != self._first:
                self._judge_format(form)
        found.rows_with_message_weights += notes.weighted
        if notes.findings:
            found.rows_without_training_signal += any(finding.code in _SILENT for finding in notes.findings)
            found.valid += self.keep(notes.findings, line)
        else:
            found.valid += 1

    def _judge_format(self, form: str) -> None:
        """Judge a row whose format is not that of the first; that of the first itself, against the method."""
        if self._first is None:
            self._first = form
            if self._method is not UNSTATED and form not in METHODS[self._method]:
                self.notes.add("method_mismatch", "", f"data of format {form} does not train with {self._method}")
        else:
            message = f"the row is of format {form}, the first is of {self._first}"
            self.notes.add("mixed_formats_across_lines", "", message)

    def judge_whole(self, limits: Any) -> None:
        """Judge what only the whole file can show."""
        found, notes = self.found, self.notes
        found.turns, found.chars = notes.turns, notes.chars
        found.has_tools, found.has_parallel_tool_calls = notes.has_tools, notes.has_parallel_tool_calls
        found.has_reasoning, found.has_sample_weights = notes.has_reasoning, notes.has_sample_weights
        found.has_message_weights, found.has_images = bool(found.rows_with_message_weights), bool(notes.images)
        if found.rows_with_message_weights and found.rows_with_message_weights < found.rows:
            self.note("weights_on_some_rows", f"{found.rows_with_message_weights:,} of {found.rows:,} rows have message weights")
        for name, has, code, what in (
            ("supports_tools", found.has_tools, "model_lacks_tools", "tools"),
            ("supports_vision", found.has_images, "model_lacks_images", "images"),
            ("supports_reasoning", found.has_reasoning, "model_lacks_reasoning", "reasoning"),
        ):
            if has and _limit(limits, name) is False:
                self.note(code, f"the data has {what}, but the model is not trained with them")
        if found.rows and not found.has_reasoning and _limit(limits, "supports_reasoning") is True:
            self.note("reasoning_missing", "the model reasons, but no row has reasoning")

    def report(self) -> DataReport:
        """Return the report."""
        found = self.found
        found.issue_counts = dict(sorted(self._counts.items()))
        found.formats = dict(sorted(self._formats.items()))
        found.roles = dict(sorted(self.notes.roles.items()))
        found.tools = dict(sorted(self.notes.tools.items()))
        found.issues = gravest(found.issues, found.max_issues)
        return found


def _limit(limits: Any, name: str) -> Any:
    return limits.get(name) if isinstance(limits, Mapping) else getattr(limits, name, None)


def _check_lines(check: Check, strict: bool, progress: Callable[[Progress], None] | None) -> None:
    total = check.found.bytes

    def tell(done: int) -> None:
        if progress:
            progress(Progress(done, total, "check"))

    lines = Lines(check.path, tell)
    ids: set[str] = set()
    notes, purpose = check.notes, check.purpose
    for number, (data, cut) in enumerate(lines, 1):
        if data.isspace():
            check.note("blank_line", "the line is blank", number)
            continue
        notes.begin()
        if cut:
            notes.add("line_too_long", "", f"the line has more than {MAX_LINE_BYTES // 2**20} MiB", data)
        else:
            parsed, value = parse(notes, data, first=number == 1, strict=strict)
            if parsed:
                inspect_row(notes, value, purpose)
                if purpose == "batch-api":
                    _check_id(notes, value, ids)
        check.row(number)
    check.found.bytes, check.found.sha256 = lines.size, lines.sha256
    if not check.found.rows:
        check.note("too_few_samples", "there is no sample: every line is blank", 1)
    if check.purpose == "batch-api":
        _check_batch(check)


def _check_id(notes: Notes, row: Any, ids: set[str]) -> None:
    name = row.get("custom_id") if isinstance(row, dict) else None
    if not isinstance(name, str):
        return
    if name in ids:
        notes.add("batch_custom_id_duplicate", "custom_id", f"the custom_id {name[:64]!r} is used twice", name)
    if len(ids) <= BATCH_MAX_ROWS * _SPARE:
        ids.add(name[:200])


def _check_batch(check: Check) -> None:
    if check.found.rows > BATCH_MAX_ROWS:
        check.note("batch_too_many", f"{check.found.rows:,} requests are more than {BATCH_MAX_ROWS:,}")
    if check.found.bytes > BATCH_MAX_BYTES:
        check.note("batch_too_large", f"{check.found.bytes:,} bytes are more than {BATCH_MAX_BYTES:,}")
