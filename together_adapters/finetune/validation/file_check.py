"""A check under way: what was found so far, of a file, a piece of it, or lines in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from together_adapters.finetune.findings import Finding, RowFindings
from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.issues import Severity
from together_adapters.finetune.reports.distribution import Tally
from together_adapters.finetune.reports.report import DataReport, most_severe
from together_adapters.finetune.rules import BATCH_MAX_BYTES, BATCH_MAX_ROWS, MAX_LINE_BYTES, METHODS
from together_adapters.finetune.validation.check_row import issues_of, validate_row
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine, parse_line, split_lines
from together_adapters.finetune.validation.token_lengths import CHARS_PER_TOKEN, token_counter

if TYPE_CHECKING:
    from together_adapters.finetune.validation.fast_validator import FastValidator

_SILENT: Final = frozenset(
    {"no_assistant_message", "nothing_to_train", "content_empty", "content_blank", "pref_outputs_identical"}
)
_TALKS: Final = ("conversation", "preference")
_SPARE: Final = 4
_FEW: Final = 32
_ROOM: Final = 4 << 20


class _Unstated(str):
    """A method that nobody asked for: data of another one is then no fault, but `method_ok` tells."""

    def __reduce__(self) -> str:
        return "DEFAULT_METHOD"


DEFAULT_METHOD: Final = _Unstated("sft")


class CheckOptions(NamedTuple):
    """What a check was asked for; the parameters of `check_jsonl` describe it."""

    purpose: str
    method: str
    severities: Mapping[str, Severity]
    max_issues: int = 1000
    limits: Any = None
    strict: bool = False
    tokenizer: Any = None
    duplicates: bool = False
    secrets: bool = False


class FileChecker:
    """A check under way.

    Attributes:
        options: What was asked for.
        notes: What is found in a row, and sums over all rows.
        found: The report as far as it has come.
        first: The format of the first row that has one; the others must have it too.
        chars, turns: How long rows are.
        longest: The most tokens a row may have, by format.
        digests: Digests of all rows in their order, where somebody else looks for duplicates.

    Args:
        name: The name of the file, for the issues.
        options: What was asked for.
        first: The format of the rows before, for a piece of a file.
        collect: Whether to collect digests instead of looking for duplicates.
        begins: Whether the first line is the first of its file, and may begin with a byte order mark.
    """

    def __init__(
        self, name: str, options: CheckOptions, first: str | None = None, *, collect: bool = False, begins: bool = True
    ) -> None:
        self.options = options
        self.notes = RowFindings()
        self.found = DataReport(purpose=options.purpose, method=str(options.method), max_issues=options.max_issues)
        self.first = first
        self.turns, self.chars, self._tokens = Tally(), Tally(CHARS_PER_TOKEN), Tally()
        self.longest = _longest(options.limits)
        self.number = 0
        self.digests = bytearray() if collect else None
        self._name = name
        self._begins = begins
        self._rows = self._valid = self._weighted = 0  # a model's attributes cost too much to set them for each row
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._count_tokens = token_counter(options.tokenizer) if options.tokenizer is not None else None
        self._ids: set[str] = set()
        self._seen = Digests()
        self._glance = self._glance_at(options)
        if options.duplicates:
            self.found.duplicates = 0

    def _glance_at(self, options: CheckOptions) -> FastValidator | None:
        if options.purpose != "fine-tune" or options.strict or options.tokenizer is not None:
            return None
        try:
            from together_adapters.finetune.validation.fast_validator import FastValidator
        except ImportError:
            return None
        self.found.engine = "msgspec"
        return FastValidator()

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return self.found.rows + self._rows

    def lines(self, batches: Iterable[bytes]) -> None:
        """Look at the lines of a file, as `Lines` gives them."""
        glance, options = self._glance, self.options
        bytearray(_ROOM)  # Once it is freed, glibc keeps what is freed later, instead of having each batch mapped anew.
        for batch in batches:
            if options.duplicates or options.secrets:
                self._look_across(split_lines(batch))
            rows = glance.accepts(self, batch) if glance and self.first and not isinstance(batch, TruncatedLine) else 0
            if rows:
                self.number += rows
            else:
                self._few_by_few(split_lines(batch))

    def _look_across(self, lines: list[bytes]) -> None:
        """Look for what a row alone does not show."""
        if self.options.duplicates:
            self._look_for_duplicates(lines)
        if self.options.secrets:
            self._look_for_secrets(lines)

    def _few_by_few(self, lines: list[bytes]) -> None:
        """Look at lines that are not all good, or long."""
        for start in range(0, len(lines), _FEW):
            few = lines[start : start + _FEW]
            if self._accepts(few):
                self.number += len(few)
                continue
            for line in few:
                self.number += 1
                if not self._accepts([line]):
                    self._line(line)

    def _accepts(self, lines: list[bytes]) -> bool:
        """Whether a glance was enough to see that lines are good; they are then counted."""
        if self._glance is None or self.first is None or isinstance(lines[0], TruncatedLine):
            return False
        return self._glance.accepts_few(self, lines)

    def _line(self, data: bytes) -> None:
        notes, options = self.notes, self.options
        if not data or data.isspace():
            self.note("blank_line", "the line is blank", self.number)
            return
        notes.begin()
        value: Any = None
        if isinstance(data, TruncatedLine):
            notes.add("line_too_long", "", f"the line has more than {MAX_LINE_BYTES // 2**20} MiB", data)
        else:
            parsed, value = parse_line(notes, data, first=self.number == 1 and self._begins, strict=options.strict)
            if parsed:
                validate_row(notes, value, options.purpose)
                if options.purpose == "batch-api":
                    self._check_id(value)
        self.row(self.number, value)

    def row(self, line: int, value: Any = None) -> None:
        """Take in what was found in the row that `notes` holds."""
        found, notes = self.found, self.notes
        self._rows += 1
        form = notes.format
        if form is not None:
            self._formats[form] += 1
            self._measure(form, value)
            if form != self.first:
                self._judge_format(form)
        self._weighted += notes.weighted
        if notes.findings:
            found.rows_without_training_signal += any(finding.code in _SILENT for finding in notes.findings)
            self._valid += self.keep(notes.findings, line)
        else:
            self._valid += 1

    def accept(self, form: str, chars: list[int], turns: list[int], weighted: int = 0) -> None:
        """Take in rows of the first format that have no fault; `notes` has their facts.

        Args:
            form: Their format.
            chars: How many characters each has.
            turns: How many messages each has, where they have messages.
            weighted: How many of them have weights of messages.
        """
        self._rows += len(chars)
        self._valid += len(chars)
        self._weighted += weighted
        self._formats[form] += len(chars)
        self.turns.extend(turns)
        self.chars.extend(chars)

    def keep(self, findings: list[Finding], line: int | None) -> bool:
        """Count findings, list them as far as there is room, and return whether there was no error among them."""
        found, limit = self.found, self.options.max_issues
        listed: dict[str, list[Finding]] = {"error": [], "warning": []}
        room = {"error": found.errors < limit, "warning": found.warnings < limit}
        for finding in findings:
            severity = self.options.severities[finding.code]
            if severity == "ignore":
                continue
            self._counts[finding.code] += 1
            if room[severity]:
                listed[severity].append(finding)
            if severity == "error":
                found.errors += 1
            else:
                found.warnings += 1
        for some in listed.values():
            kept = (
                sorted(some, key=lambda finding: (finding.path, finding.code, finding.message))[:limit]
                if len(some) > limit
                else some
            )
            found.issues += issues_of(kept, self.options.severities, line, self._name)
        if len(found.issues) > _SPARE * limit + _SPARE:
            found.issues = _first_of_each_severity(found.issues, limit)
        return all(self.options.severities[finding.code] != "error" for finding in findings)

    def note(self, code: str, message: str, line: int | None = None, value: Any = "") -> None:
        """Note a fault of the file as a whole, or of a line that is no row."""
        self.keep([Finding(code, "", message, value)], line)

    def _measure(self, form: str, value: Any) -> None:
        """Count how long a row is."""
        notes = self.notes
        turns, chars = notes.before
        if form in _TALKS:
            self.turns.add(notes.turns - turns)
        length = notes.chars - chars
        self.chars.add(length)
        if self._count_tokens is not None:
            tokens, how, code = self._count_tokens(value), "", "row_too_long"
            self._tokens.add(tokens)
        else:
            tokens, how, code = -(-length // CHARS_PER_TOKEN), "about ", "row_too_long_estimated"
        most = self.longest.get(form)
        if most is not None and tokens > most:
            self.found.too_long += 1
            notes.add(code, "", f"the row has {how}{tokens:,} tokens; the model trains on {most:,}")

    def _judge_format(self, form: str) -> None:
        """Judge a row whose format is not that of the first; that of the first itself, against the method."""
        method = self.options.method
        if self.first is None:
            self.first = form
            if method is not DEFAULT_METHOD and form not in METHODS[method]:
                self.notes.add("method_mismatch", "", f"data of format {form} does not train with {method}")
        else:
            message = f"the row is of format {form}, the first is of {self.first}"
            self.notes.add("mixed_formats_across_lines", "", message)

    def _look_for_duplicates(self, batch: list[bytes]) -> None:
        digests, seen = self.digests, self._seen
        for line in batch:
            if data := line.strip():
                digest = blake2b(data, digest_size=16).digest()
                if digests is not None:
                    digests += digest
                elif seen.put(digest) is not None:
                    self.repeat()

    def repeat(self) -> None:
        """Count a row that stood there before."""
        self.found.duplicates = (self.found.duplicates or 0) + 1

    def _look_for_secrets(self, batch: list[bytes]) -> None:
        from together_adapters.finetune.validation.secret_scan import BLOCKING, find_secrets

        for place, kind, shown in find_secrets(batch):
            self.found.secrets[kind] = self.found.secrets.get(kind, 0) + 1
            code, what = ("secret", "a secret") if kind in BLOCKING else ("personal_data", "personal data")
            self.note(code, f"there is {what} of the kind {kind}", self.number + place + 1, shown)

    def _check_id(self, row: Any) -> None:
        name = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(name, str):
            return
        if name in self._ids:
            self.notes.add("batch_custom_id_duplicate", "custom_id", f"the custom_id {name[:64]!r} is used twice", name)
        if len(self._ids) <= BATCH_MAX_ROWS * _SPARE:
            self._ids.add(name[:200])

    def end_lines(self) -> None:
        """Judge what only all lines together can show."""
        found, rows = self.found, self.rows
        if not rows:
            self.note("too_few_samples", "there is no sample: every line is blank", 1)
        if self.options.purpose == "batch-api" and rows > BATCH_MAX_ROWS:
            self.note("batch_too_many", f"{rows:,} requests are more than {BATCH_MAX_ROWS:,}")
        if self.options.purpose == "batch-api" and found.bytes > BATCH_MAX_BYTES:
            self.note("batch_too_large", f"{found.bytes:,} bytes are more than {BATCH_MAX_BYTES:,}")

    def add(self, piece: DataReport) -> None:
        """Take in the report of a piece."""
        name, duplicates = self.found.bytes, self.found.duplicates
        self.found += piece
        self.found.bytes, self.found.duplicates = name, duplicates

    def judge_whole(self) -> None:
        """Judge what only the whole file can show, against what the model can."""
        self.settle()
        found, limits = self.found, self.options.limits
        if found.rows_with_message_weights and found.rows_with_message_weights < found.rows:
            self.note("weights_on_some_rows", f"{found.rows_with_message_weights:,} of {found.rows:,} rows have message weights")
        for name, has, code, what in (
            ("supports_tools", found.has_tools, "model_lacks_tools", "tools"),
            ("supports_vision", found.has_images, "model_lacks_images", "images"),
            ("supports_reasoning", found.has_reasoning, "model_lacks_reasoning", "reasoning"),
        ):
            if has and model_limit(limits, name) is False:
                self.note(code, f"the data has {what}, but the model is not trained with them")
        if found.rows and not found.has_reasoning and model_limit(limits, "supports_reasoning") is True:
            self.note("reasoning_missing", "the model reasons, but no row has reasoning")
        if found.format in self.longest:
            found.max_seq_length = self.longest[found.format]

    def settle(self) -> None:
        """Move what was counted on the way into the report."""
        found, notes = self.found, self.notes
        found.rows += self._rows
        found.valid += self._valid
        found.rows_with_message_weights += self._weighted
        self._rows = self._valid = self._weighted = 0
        found.turns += self.turns.distribution()
        found.chars += self.chars.distribution()
        found.tokens += self.chars.divided() if self._count_tokens is None else self._tokens.distribution()
        found.tokens_from = "estimate" if self._count_tokens is None else "tokenizer"
        self.turns, self.chars, self._tokens = Tally(), Tally(CHARS_PER_TOKEN), Tally()
        found.trained_chars += notes.trained_chars
        found.has_tools |= notes.has_tools
        found.has_parallel_tool_calls |= notes.has_parallel_tool_calls
        found.has_reasoning |= notes.has_reasoning
        found.has_sample_weights |= notes.has_sample_weights
        found.has_message_weights |= bool(found.rows_with_message_weights)
        found.has_images |= bool(notes.images)
        for counted, kept in ((self._formats, found.formats), (notes.roles, found.roles), (notes.tools, found.tools)):
            for name, count in counted.items():
                kept[name] = kept.get(name, 0) + count
        self.notes, self._formats = RowFindings(), Counter()

    def report(self) -> DataReport:
        """Return the report."""
        self.settle()
        found = self.found
        for code, count in self._counts.items():
            found.issue_counts[code] = found.issue_counts.get(code, 0) + count
        self._counts.clear()
        for name in ("issue_counts", "formats", "roles", "tools", "secrets"):
            setattr(found, name, dict(sorted(getattr(found, name).items())))
        found.issues = most_severe(found.issues, found.max_issues)
        return found


def model_limit(limits: Any, name: str) -> Any:
    """Return a limit of a model, from its attributes or keys."""
    return limits.get(name) if isinstance(limits, Mapping) else getattr(limits, name, None)


def _longest(limits: Any) -> dict[str, int]:
    """Return how many tokens a row may have, by format."""
    found: dict[str, int] = {}
    for method, formats in METHODS.items():
        most = model_limit(limits, f"max_seq_length_{method}")
        if isinstance(most, int):
            found |= dict.fromkeys(formats, most)
    return found


def _first_of_each_severity(issues: list[Any], limit: int) -> list[Any]:
    """Return as many of the first errors and of the first warnings as may still be listed."""
    errors = [issue for issue in issues if issue.severity == "error"]
    return most_severe(errors, limit) + most_severe([issue for issue in issues if issue.severity != "error"], limit)
