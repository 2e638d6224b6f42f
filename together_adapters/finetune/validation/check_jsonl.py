"""Checks a data file before it is uploaded: every row against every rule, with constant memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.arguments import path_of
from together_adapters.finetune.issues import severities_of
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import MAX_FILE_BYTES, METHODS
from together_adapters.finetune.validation.file_check import CheckOptions, FileChecker
from together_adapters.finetune.validation.file_kind import TABLE_MAGIC, FileKind, file_kind
from together_adapters.finetune.validation.jsonl_reader import LineReader
from together_adapters.finetune.validation.leakage import check_leakage
from together_adapters.types.files import parse_purpose
from together_adapters.types.progress import Progress

_KEYS_BY_CODE: Final = {
    "not_utf8": "utf8",
    "line_not_object": "line_type",
    "too_few_samples": "has_min_samples",
    "unknown_columns": "format",
    "multiple_formats": "format",
    "mixed_formats_across_lines": "format",
    "csv_columns": "format",
}
_NO_ROWS: Final = frozenset({"empty_file", "too_few_samples"})
_NOT_JSON: Final = frozenset(
    {"not_json_lines", "json_syntax", "too_deep", "number_too_large", "not_encodable", "utf8_bom", "not_utf8"}
)
_SUFFIXES: Final = (".jsonl", ".csv", ".parquet")
_HEAD: Final = 1 << 16
_MIN_BYTES: Final = 128 << 20


def check_jsonl(
    path: str | PathLike[str],
    *,
    purpose: str = "fine-tune",
    method: str | None = None,
    limits: Any = None,
    max_issues: int = 1000,
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
    tokenizer: Any = None,
    duplicates: bool = False,
    secrets: bool = False,
    checksum: bool = False,
    train: str | PathLike[str] | None = None,
    workers: int = 1,
    progress: Callable[[Progress], object] | None = None,
) -> DataReport:
    """Checks a data file: JSONL, or CSV and Parquet for the purposes that accept them. No content of the file makes it raise.

    Other files (compressed, in other encodings, arrays, tables) are one issue, which says what the file is and what makes a training
    file of it.

    With the extra `finetune` installed, valid rows are checked two to three times as fast; the report is the same.

    Args:
        path: The file.
        purpose: What the file is for: `fine-tune`, `eval`, `batch-api` or `calibration`.
        method: The training method, `sft` or `dpo`. If set, data that does not train with it is an error; `method_ok` of the report
            tells in any case, for `sft` if it is not set.
        limits: The limits of the model: an object or mapping with `supports_tools`, `supports_vision`, `supports_reasoning`,
            `max_seq_length_sft` and `max_seq_length_dpo`. Rows that are too long are errors if a tokenizer counts their tokens,
            and warnings if their length is estimated.
        max_issues: The maximum number of issues to list. All are counted.
        severities: Severities that differ from the defaults, by issue code: `error`, `warning` or `ignore`.
        strict: Whether a duplicate key in an object is an error; this takes more time.
        tokenizer: A function that returns the tokens of a string or their number, or an object with such an `encode` method, like
            the tokenizers of Hugging Face. None estimates lengths. With several workers it must be picklable.
        duplicates: Whether to count rows that repeat an earlier row byte by byte; this takes 100 bytes of memory per row.
        secrets: Whether to look for keys, tokens and personal data.
        checksum: Whether to compute the SHA-256 of the file.
        train: The training file, if this is a validation file: rows that are also in the training file are reported and counted
            in `leakage`. This takes 40 bytes of memory per row of the validation file, and the time to read the training file.
        workers: The number of processes. The report does not depend on it. One checks files of less than 128 MiB by itself, unless
            it counts tokens or looks for secrets. With more than one, a script needs `if __name__ == "__main__":`.
        progress: Called with the number of bytes read.

    Returns:
        The report; its `ok` says whether the file can be used.

    Raises:
        ValueError: The method, a severity or an issue code is unknown, or `workers` is less than 1.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    path = path_of(path)
    if path.suffix == ".parquet":
        tokenizer = len  # The values of its rows are tokens.
    checker = FileChecker(
        path.name,
        CheckOptions(purpose, method, severities_of(severities), max_issues, limits, strict, tokenizer, duplicates, secrets),
    )
    try:
        if _can_be_read(checker, path):
            _check_rows(checker, path, checksum, workers, progress)
            if train is not None:
                check_leakage(checker, path_of(train), path, progress)
    except OSError as error:
        checker.add_finding("file_unreadable", f"{error.filename or path} cannot be read: {error.strerror or error}")
    checker.finish_file()
    return checker.build_report()


def _can_be_read(checker: FileChecker, path: Path) -> bool:
    """Checks name and size; returns whether there are rows to check."""
    if not path.is_file():
        is_pipe = path.exists() and not path.is_dir()
        why = "a pipe or a device, and is read more than once: copy it to a file" if is_pipe else "not a file"
        checker.add_finding("file_missing", f"{path} is {why}")
        return False
    size = checker.report.bytes = path.stat().st_size
    if kind := _kind_of(path):
        way = _way_on(checker, path) if kind.is_readable and path.suffix != ".parquet" else ""
        checker.add_finding(kind.code, f"{path.name} is {kind.what}{way}", None if kind.code == "not_json_lines" else 1)
        return False
    if path.suffix not in _SUFFIXES:
        checker.add_finding("unknown_extension", f"{path.name} has none of the extensions .jsonl, .parquet, .csv")
        return False
    if size == 0:
        checker.add_finding("empty_file", "the file is empty")
        return False
    if size > MAX_FILE_BYTES:
        checker.add_finding("file_too_large", f"the file has {size:,} bytes; {MAX_FILE_BYTES:,} are allowed")
        return False
    return True


def _kind_of(path: Path) -> FileKind | None:
    """Returns what a file is that cannot be checked row by row."""
    with path.open("rb", 0) as file:
        head = file.read(_HEAD)
    if path.suffix == ".parquet" and (head.startswith(TABLE_MAGIC) or head.lstrip()[:1] in (b"{", b"[")):
        return None
    return file_kind(head)


def _way_on(checker: FileChecker, path: Path) -> str:
    return conversion_of(path) if checker.options.purpose == "fine-tune" else ""


def conversion_of(path: Path) -> str:
    """Returns how a training file is made of a file that `load` reads."""
    new = path.with_name(f"{path.name.partition('.')[0] or 'data'}.train.jsonl")
    return f": write_jsonl(load({str(path)!r}), {str(new)!r}) makes a training file of it"


def _check_rows(
    checker: FileChecker, path: Path, checksum: bool, workers: int, progress: Callable[[Progress], object] | None
) -> None:
    report = checker.report
    if path.suffix != ".jsonl":
        from together_adapters.finetune.validation.check_tables import check_csv, check_parquet

        if path.suffix == ".parquet":
            check_parquet(checker, path)
        else:
            check_csv(checker, path, _way_on(checker, path))
    elif workers > 1 and checker.options.purpose != "batch-api" and _needs_processes(checker):
        from together_adapters.finetune.validation.parallel import check_in_parallel

        check_in_parallel(checker, path, workers, progress)
        checker.finish_lines()
    else:
        show = None if progress is None else lambda count: progress(Progress(count, report.bytes, "check"))
        lines = LineReader(path, checksum=checksum, progress=show)
        checker.check_lines(lines)
        report.bytes, report.sha256 = lines.size, lines.sha256
        checker.finish_lines()
    if checksum and checker.report.sha256 is None:
        from hashlib import file_digest

        with path.open("rb", 0) as file:
            checker.report.sha256 = file_digest(file, "sha256").hexdigest()


def _needs_processes(checker: FileChecker) -> bool:
    """Whether several processes check the file sooner than one does while they start."""
    options = checker.options
    return checker.report.bytes >= _MIN_BYTES or options.tokenizer is not None or options.secrets


def check_file(file: str | PathLike[str], purpose: str = "fine-tune") -> dict[str, Any]:
    """Checks a data file; returns the dictionary that `together.utils.check_file` returned.

    Args:
        file: The path of the file.
        purpose: What the file is for.

    Returns:
        `is_check_passed`, `message` and the other keys of that SDK. `message` is the first error; unlike in that SDK it is never
        the text of success for a file that did not pass.
    """
    path = Path(file)
    report = check_jsonl(path, purpose=parse_purpose(purpose), max_issues=1000)
    exists = path.is_file()
    result: dict[str, Any] = {
        "is_check_passed": report.ok,
        "message": "Checks passed",
        "found": exists,
        "file_size": path.stat().st_size if exists else None,
        **dict.fromkeys("utf8 line_type text_field key_value has_min_samples num_samples load_json load_csv".split()),
    }
    kind = path.suffix.removeprefix(".")
    if exists:
        is_known = kind in ("jsonl", "csv", "parquet")
        result["filetype"] = kind if is_known else f"unknown extension {path.suffix!r}: use .jsonl, .parquet or .csv"
        if report.bytes and kind in ("jsonl", "csv"):
            result |= {"utf8": True, "line_type": True, "text_field": True, "key_value": True, "has_min_samples": True}
            result["load_json" if kind == "jsonl" else "load_csv"] = True
            result["num_samples"] = report.rows if report.ok else None
    _set_first_error(result, report, kind)
    return result


def _set_first_error(result: dict[str, Any], report: DataReport, kind: str) -> None:
    error = next((issue for issue in report.issues if issue.severity == "error"), None)
    if error is None:
        return
    result["message"] = str(error)
    if error.line is not None:
        result["line_number"] = error.line - 1 if kind == "csv" else error.line
    if error.code.startswith("parquet"):
        result["load_parquet"] = error.message
    elif error.code in _NO_ROWS:
        result["has_min_samples"] = False
    elif kind == "jsonl" and result["found"]:
        result["load_json"] = False
        if error.code not in _NOT_JSON:
            result[_KEYS_BY_CODE.get(error.code, "key_value")] = False
        elif error.code == "not_utf8":
            result["utf8"] = False
    elif error.code in _KEYS_BY_CODE:
        result[_KEYS_BY_CODE[error.code]] = False
