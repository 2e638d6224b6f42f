"""Validates the rows of a file, of a range of it, or of lines in memory, and builds the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from together_adapters.finetune.findings import Finding, RowFindings
from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.issues import Severity
from together_adapters.finetune.records import id_of
from together_adapters.finetune.reports.distribution import Tally
from together_adapters.finetune.reports.report import DataReport, add_counts, most_severe
from together_adapters.finetune.rules import BATCH_MAX_BYTES, BATCH_MAX_ROWS, MAX_LINE_BYTES, METHODS, method_mismatch
from together_adapters.finetune.validation.check_row import issues_of, validate_row
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine, is_blank, parse_line, split_lines
from together_adapters.finetune.validation.token_lengths import CHARS_PER_TOKEN, max_tokens_by_format, model_limit, token_counter

if TYPE_CHECKING:
    from together_adapters.finetune.validation.fast_validator import FastValidator
    from together_adapters.finetune.validation.valid_rows import ValidRows

_WITHOUT_TRAINING_SIGNAL: Final = frozenset(
    {"no_assistant_message", "nothing_to_train", "content_empty", "content_blank", "pref_outputs_identical"}
)
_WITH_MESSAGES: Final = ("conversation", "preference")
_SPARE: Final = 4
_SMALL_BATCH: Final = 32
_MAPPED_BYTES: Final = 4 << 20


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep the memory of batches instead of mapping each anew, by freeing so much that it raises its threshold once."""
    bytes(_MAPPED_BYTES)


class CheckOptions(NamedTuple):
    """The options of a check; see the parameters of `check_jsonl`."""

    purpose: str
    method: str | None
    severities: Mapping[str, Severity]
    max_issues: int = 1000
    limits: Any = None
    strict: bool = False
    tokenizer: Any = None
    duplicates: bool = False
    secrets: bool = False


class FileChecker:
    """Validates rows and collects their findings and facts in a report; `first_format` is known in advance for a range of a file.

    With `collect_digests`, the digests of rows are collected for the caller instead of counting duplicates.
    """

    def __init__(
        self,
        name: str,
        options: CheckOptions,
        first_format: str | None = None,
        *,
        collect_digests: bool = False,
        starts_file: bool = True,
    ) -> None:
        self.options = options
        self.findings = RowFindings()
        self.report = DataReport(purpose=options.purpose, method=options.method or "sft", max_issues=options.max_issues)
        self.first_format = first_format
        self.turns, self.chars, self._tokens = Tally(), Tally(CHARS_PER_TOKEN), Tally()
        self.max_tokens = max_tokens_by_format(options.limits)
        self.line_number = 0
        self.digests = bytearray() if collect_digests else None
        self._name = name
        self._starts_file = starts_file
        self._rows = self._valid = self._weighted = 0  # setting a model's attributes for each row is too slow
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._count_tokens = token_counter(options.tokenizer) if options.tokenizer is not None else None
        self._ids: set[str] = set()
        self._row_digests = Digests()
        self._fast = self._fast_validator(options)
        if options.duplicates:
            self.report.duplicates = 0

    def _fast_validator(self, options: CheckOptions) -> FastValidator | None:
        if options.purpose != "fine-tune" or options.strict or options.tokenizer is not None:
            return None
        try:
            from together_adapters.finetune.validation.fast_validator import FastValidator
        except ImportError:
            return None
        self.report.engine = "msgspec"
        return FastValidator({form: tokens * CHARS_PER_TOKEN for form, tokens in self.max_tokens.items()})

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.report.rows + self._rows

    def check_lines(self, batches: Iterable[bytes]) -> None:
        """Validates the lines of a file, as a `LineReader` yields them."""
        options = self.options
        keep_freed_memory()
        for batch in batches:
            if options.duplicates or options.secrets:
                lines = split_lines(batch)
                if options.duplicates:
                    self._find_duplicates(lines)
                if options.secrets:
                    self._find_secrets(lines)
            if is_blank(batch):
                self._add_blank_lines(batch.count(b"\n") + 1)
            elif self.first_format is None:
                self._check_first_lines(split_lines(batch))
            else:
                self._check_batch(batch)

    def _check_first_lines(self, lines: list[bytes]) -> None:
        """Validates lines one by one until one has a format, which the fast validator needs, and the others at once."""
        for index, line in enumerate(lines):
            if self.first_format is not None:
                self._check_batch(b"\n".join(lines[index:]))
                break
            if is_blank(line):
                self._add_blank_lines(1)
            else:
                self.line_number += 1
                self._check_line(line)

    def _check_batch(self, batch: bytes) -> None:
        rows = None
        if self._fast and self.first_format and not isinstance(batch, TruncatedLine):
            rows = self._fast.validate(self.first_format, batch)
        if rows:
            self.line_number += self.add_valid_rows(rows)
        else:
            self._check_small_batches(split_lines(batch))

    def _add_blank_lines(self, count: int) -> None:
        """Adds blank lines; those after the limit are counted at once."""
        report, severity = self.report, self.options.severities["blank_line"]
        for index in range(count):
            if severity == "ignore" or (report.warnings if severity == "warning" else report.errors) >= self.options.max_issues:
                break
            self.add_finding("blank_line", "the line is blank", self.line_number + index + 1)
        else:
            index = count
        self.line_number += count
        if severity != "ignore":
            self._counts["blank_line"] += count - index
            name = f"{severity}s"
            setattr(report, name, getattr(report, name) + count - index)

    def _check_small_batches(self, lines: list[bytes]) -> None:
        """Validates lines of which not all are valid, or that are long."""
        for are_blank, group in groupby(lines, is_blank):
            run = list(group)
            if are_blank:
                self._add_blank_lines(len(run))
                continue
            for start in range(0, len(run), _SMALL_BATCH):
                batch = run[start : start + _SMALL_BATCH]
                if self._are_valid(batch):
                    self.line_number += len(batch)
                    continue
                for line in batch:
                    self.line_number += 1
                    if not self._are_valid([line]):
                        self._check_line(line)

    def _are_valid(self, lines: list[bytes]) -> bool:
        """Whether the fast validator accepts all lines; counts them if so."""
        if self._fast is None or self.first_format is None or isinstance(lines[0], TruncatedLine):
            return False
        rows = self._fast.validate_small_batch(self.first_format, lines)
        return rows is not None and self.add_valid_rows(rows) > 0

    def _check_line(self, data: bytes) -> None:
        findings, options = self.findings, self.options
        findings.start_row()
        value: Any = None
        if isinstance(data, TruncatedLine):
            findings.add("line_too_long", "", f"the line has more than {MAX_LINE_BYTES // 2**20} MiB", data)
        else:
            first = self.line_number == 1 and self._starts_file
            parsed, value = parse_line(findings, data, first=first, strict=options.strict)
            if parsed:
                validate_row(findings, value, options.purpose)
                if options.purpose == "batch-api":
                    self._check_custom_id(value)
        self.finish_row(self.line_number, value)

    def finish_row(self, line: int, value: Any = None) -> None:
        """Adds the row whose findings are in `findings`."""
        findings, form = self.findings, self.findings.format
        self._rows += 1
        if form is not None:
            self._formats[form] += 1
            self._measure(form, value)
            if form != self.first_format:
                self._check_format(form)
        self._weighted += findings.has_message_weights
        if findings.items:
            self.report.rows_without_training_signal += any(
                item.code in _WITHOUT_TRAINING_SIGNAL and item.path != "prompt" for item in findings.items
            )
            self._valid += self._add_findings(findings.items, line, value)
        else:
            self._valid += 1

    def add_valid_rows(self, rows: ValidRows) -> int:
        """Adds rows of the first format that are checked already; returns their number."""
        count = len(rows.chars)
        self._rows += count
        self._valid += count
        self._weighted += rows.weighted
        self._formats[rows.format] += count
        self.turns.extend(rows.turns)
        self.chars.extend(rows.chars)
        findings = self.findings
        findings.chars += sum(rows.chars)
        findings.trained_chars += rows.trained_chars
        for role, messages in rows.roles.items():
            if messages:
                findings.turns += messages
                findings.roles[role] = findings.roles.get(role, 0) + messages
        for name, calls in rows.tools.items():
            findings.count_tool(name[:80], calls)
        findings.has_tools |= rows.has_tools
        findings.has_parallel_tool_calls |= rows.has_parallel_tool_calls
        findings.has_reasoning |= rows.has_reasoning
        findings.has_sample_weights |= rows.has_sample_weights
        return count

    def _add_findings(self, findings: list[Finding], line: int | None, row: Any = None) -> bool:
        """Counts findings, of a row or of the file, and lists them up to the limit; returns whether none is an error."""
        report, severities, limit = self.report, self.options.severities, self.options.max_issues
        by_severity: dict[str, list[Finding]] = {"error": [], "warning": []}
        has_room = {"error": report.errors < limit, "warning": report.warnings < limit}
        for finding in findings:
            severity = severities[finding.code]
            if severity == "ignore":
                continue
            self._counts[finding.code] += 1
            if has_room[severity]:
                by_severity[severity].append(finding)
            if severity == "error":
                report.errors += 1
            else:
                report.warnings += 1
        for items in by_severity.values():
            if len(items) > limit:
                items.sort(key=lambda finding: (finding.path, finding.code, finding.message))
            report.issues += issues_of(items[:limit], severities, line, self._name, id_of(row))
        if len(report.issues) > _SPARE * limit + _SPARE:
            errors = [issue for issue in report.issues if issue.severity == "error"]
            warnings = [issue for issue in report.issues if issue.severity == "warning"]
            report.issues = most_severe(errors, limit) + most_severe(warnings, limit)
        return all(severities[finding.code] != "error" for finding in findings)

    def add_finding(self, code: str, message: str, line: int | None = None, value: Any = "") -> None:
        """Adds a finding about the file as a whole, or about a line that is not a row."""
        self._add_findings([Finding(code, "", message, value)], line)

    def _measure(self, form: str, value: Any) -> None:
        """Counts the lengths of a row and checks them against the limit of the model."""
        findings = self.findings
        turns, chars = findings.totals_before
        if form in _WITH_MESSAGES:
            self.turns.add(findings.turns - turns)
        length = findings.chars - chars
        self.chars.add(length)
        if self._count_tokens is not None:
            tokens, about, code = self._count_tokens(value), "", "row_too_long"
            self._tokens.add(tokens)
        else:
            tokens, about, code = -(-length // CHARS_PER_TOKEN), "about ", "row_too_long_estimated"
        limit = self.max_tokens.get(form)
        if limit is not None and tokens > limit:
            self.report.too_long += 1
            findings.add(code, "", f"the row has {about}{tokens:,} tokens; the model trains on {limit:,}")

    def _check_format(self, form: str) -> None:
        """Checks a format against that of the first row, or the format of the first row against the method."""
        method = self.options.method
        if self.first_format is None:
            self.first_format = form
            if method is not None and form not in METHODS[method]:
                self.findings.add("method_mismatch", "", f"data of format {form} {method_mismatch(form, method)}")
        else:
            message = f"the row has the format {form}, the first row {self.first_format}"
            self.findings.add("mixed_formats_across_lines", "", message)

    def _find_duplicates(self, lines: list[bytes]) -> None:
        for line in lines:
            if data := line.strip():
                digest = blake2b(data, digest_size=16).digest()
                if self.digests is not None:
                    self.digests += digest
                elif self._row_digests.put(digest) is not None:
                    self.count_duplicate()

    def count_duplicate(self) -> None:
        """Counts a row that repeats an earlier one."""
        self.report.duplicates = (self.report.duplicates or 0) + 1

    def _find_secrets(self, lines: list[bytes]) -> None:
        from together_adapters.finetune.validation.secret_scan import BLOCKING, find_secrets

        for index, kind, text in find_secrets(lines):
            self.report.secrets[kind] = self.report.secrets.get(kind, 0) + 1
            code, what = ("secret", "a secret") if kind in BLOCKING else ("personal_data", "personal data")
            self.add_finding(code, f"the line has {what} of the kind {kind}", self.line_number + index + 1, text)

    def _check_custom_id(self, row: Any) -> None:
        custom_id = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(custom_id, str):
            return
        if custom_id in self._ids:
            message = f"the custom_id {custom_id[:64]!r} is used twice"
            self.findings.add("batch_custom_id_duplicate", "custom_id", message, custom_id)
        if len(self._ids) <= BATCH_MAX_ROWS * _SPARE:
            self._ids.add(custom_id[:200])

    def finish_lines(self) -> None:
        """Checks the number of rows."""
        rows, size = self.rows, self.report.bytes
        if not rows:
            self.add_finding("too_few_samples", "there are no rows: every line is blank", 1)
        if self.options.purpose == "batch-api" and rows > BATCH_MAX_ROWS:
            self.add_finding("batch_too_many", f"the file has {rows:,} requests; {BATCH_MAX_ROWS:,} are allowed")
        if self.options.purpose == "batch-api" and size > BATCH_MAX_BYTES:
            self.add_finding("batch_too_large", f"the file has {size:,} bytes; {BATCH_MAX_BYTES:,} are allowed")

    def merge(self, report: DataReport) -> None:
        """Adds the report of a range of the file."""
        size, duplicates = self.report.bytes, self.report.duplicates
        self.report += report
        self.report.bytes, self.report.duplicates = size, duplicates

    def finish_file(self) -> None:
        """Checks the file as a whole, also against the abilities of the model."""
        self.flush_counts()
        report, limits = self.report, self.options.limits
        weighted = report.rows_with_message_weights
        if weighted and weighted < report.rows:
            self.add_finding("weights_on_some_rows", f"{weighted:,} of {report.rows:,} rows have message weights")
        for name, has, code, what in (
            ("supports_tools", report.has_tools, "model_lacks_tools", "tools"),
            ("supports_vision", report.has_images, "model_lacks_images", "images"),
            ("supports_reasoning", report.has_reasoning, "model_lacks_reasoning", "reasoning"),
        ):
            if has and model_limit(limits, name) is False:
                self.add_finding(code, f"the data has {what}, but the model does not train on {what}")
        if report.rows and not report.has_reasoning and model_limit(limits, "supports_reasoning") is True:
            self.add_finding("reasoning_missing", "the model is a reasoning model, but no row has reasoning")
        if report.format in self.max_tokens:
            report.max_seq_length = self.max_tokens[report.format]

    def flush_counts(self) -> None:
        """Moves the counts so far into the report."""
        report, findings = self.report, self.findings
        report.rows += self._rows
        report.valid += self._valid
        report.rows_with_message_weights += self._weighted
        self._rows = self._valid = self._weighted = 0
        report.turns += self.turns.distribution()
        report.chars += self.chars.distribution()
        report.tokens += self.chars.quotients() if self._count_tokens is None else self._tokens.distribution()
        report.tokens_from = "estimate" if self._count_tokens is None else "tokenizer"
        self.turns, self.chars, self._tokens = Tally(), Tally(CHARS_PER_TOKEN), Tally()
        report.trained_chars += findings.trained_chars
        for name in ("has_tools", "has_parallel_tool_calls", "has_reasoning", "has_sample_weights"):
            setattr(report, name, getattr(report, name) or getattr(findings, name))
        report.has_message_weights |= bool(report.rows_with_message_weights)
        report.has_images |= bool(findings.images)
        report.formats = add_counts(report.formats, self._formats)
        report.roles = add_counts(report.roles, findings.roles)
        report.tools = add_counts(report.tools, findings.tools)
        self.findings, self._formats = RowFindings(), Counter()

    def build_report(self) -> DataReport:
        """Returns the report."""
        self.flush_counts()
        report = self.report
        report.issue_counts = add_counts(report.issue_counts, self._counts)
        self._counts.clear()
        report.secrets = dict(sorted(report.secrets.items()))
        report.issues = most_severe(report.issues, report.max_issues)
        return report
