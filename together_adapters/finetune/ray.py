"""Preparing and checking on a Ray cluster: files go to the workers as ranges of bytes, not as rows, and reports come back.

A file that is split by Ray's own readers goes through Arrow, which guesses types and alters arguments of tools; so lines are read
here, and only paths and reports travel. Every range is converted to a shard; the shards are joined in the order of the files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from functools import reduce
from operator import add
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from together_adapters.finetune.errors import FileTooLargeError
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.records import Convert
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import MAX_FILE_BYTES
from together_adapters.finetune.validation.jsonl_reader import LineReader, parse_line, split_lines
from together_adapters.finetune.validation.parallel import line_ranges
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.in_memory import check_bytes, convert_batch
from together_adapters.finetune.writing.prepared_file import PreparedFile, report_path

_RANGE: Final = 64 * 2**20


def prepare(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    convert: Convert | None,
    out: str | PathLike[str],
    *,
    fixes: Fixes | None = None,
    range_bytes: int = _RANGE,
    max_bytes: int = MAX_FILE_BYTES,
    overwrite: bool = False,
    **options: Any,
) -> PreparedFile:
    """Convert JSONL files on the cluster that `ray.init` has joined, or on this machine, into one file that trains.

    Faulty rows are left out, counted and listed, as `Fixes(on_error="drop")` does. The result has the same bytes for any number
    of workers.

    Args:
        paths: Files of JSON lines, which every worker can read; in the order in which their rows are wanted.
        convert: Turns one line, as parsed JSON, into rows; None where lines are rows already.
        out: The file, `.jsonl`, in a folder that every worker can write to.
        fixes: What is put right.
        range_bytes: Bytes of one task, about.
        max_bytes: The largest result.
        overwrite: Whether a file that is there is replaced.
        **options: As for `check_bytes`.

    Returns:
        The file and the report of all rows.

    Raises:
        ImportError: Ray is not installed.
        FileExistsError: The file is there, and `overwrite` is not set.
        FileTooLargeError: The result would be too large for a job.
        InvalidDatasetError: No rows are left, or they do not fit together.
    """
    ray = _ray()
    out = Path(out)
    if out.suffix != ".jsonl":
        raise ValueError(f"{out.name} must end in .jsonl: other files are refused by the service")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already; overwrite=True replaces it")
    listed = [Path(paths)] if isinstance(paths, str | PathLike) else [Path(path) for path in paths]
    shards = out.with_name(f".{out.stem}.{token_hex(4)}.shards")
    shards.mkdir()
    try:
        tasks: list[dict[str, Any]] = [
            {
                "path": str(path.absolute()),
                "start": start,
                "end": end,
                "shard": str(shards.absolute() / f"{number:06}-{place:06}"),
            }
            for number, path in enumerate(listed)
            for place, (start, end) in enumerate(
                line_ranges(path, path.stat().st_size, -(-path.stat().st_size // range_bytes) or 1)
            )
        ]
        work = ray.data.from_items(tasks, override_num_blocks=max(1, len(tasks)))
        done = work.map(_converted, fn_args=(convert, fixes, options)).take_all()
        report = _summed(sorted(done, key=lambda result: result["shard"]))
        report.raise_for_issues()
        part = shards / "whole.jsonl"
        size = _joined(part, [Path(task["shard"]) for task in tasks], max_bytes)
        if out.exists() and not overwrite:
            raise FileExistsError(f"{out} is there already; overwrite=True replaces it")
        report = report.model_copy(update={"bytes": size})
        part.replace(out)
        report.save(report_path(out))
    finally:
        shutil.rmtree(shards, ignore_errors=True)
    return PreparedFile(out, report)


def check(paths: Iterable[str | PathLike[str]], *, range_bytes: int = _RANGE, **options: Any) -> DataReport:
    """Check JSONL files on the cluster; return the sum of their reports.

    Lines in issues are counted from the beginning of each range, which `source` names: `train.jsonl@67108864`.

    Args:
        paths: The files, which every worker can read.
        range_bytes: Bytes of one task, about.
        **options: As for `check_bytes`.

    Raises:
        ImportError: Ray is not installed.
    """
    ray = _ray()
    tasks = [
        {"path": str(path.absolute()), "start": start, "end": end, "shard": f"{number:06}-{place:06}"}
        for number, path in enumerate(map(Path, paths))
        for place, (start, end) in enumerate(line_ranges(path, path.stat().st_size, -(-path.stat().st_size // range_bytes) or 1))
    ]
    done = ray.data.from_items(tasks, override_num_blocks=max(1, len(tasks))).map(_checked, fn_args=(options,)).take_all()
    return _summed(sorted(done, key=lambda result: result["shard"]))


def _ray() -> Any:
    try:
        import ray  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import ray.data  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as missing:
        raise ImportError('this needs Ray: pip install "together-adapters[ray]"') from missing
    return ray


def _summed(done: Iterable[dict[str, Any]]) -> DataReport:
    reports = [DataReport.model_validate_json(result["report"]) for result in done]
    return reduce(add, reports) if reports else DataReport()


def _name(task: dict[str, Any]) -> str:
    name = Path(task["path"]).name
    return f"{name}@{task['start']}" if task["start"] else name


def _checked(task: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Check a range, in a worker."""
    data = b"\n".join(LineReader(Path(task["path"]), task["start"], task["end"]))
    report = check_bytes(data, name=_name(task), **options)
    return {"shard": task["shard"], "report": report.model_dump_json()}


def _converted(task: dict[str, Any], convert: Convert | None, fixes: Fixes | None, options: dict[str, Any]) -> dict[str, Any]:
    """Convert a range into its shard, in a worker."""
    lines = LineReader(Path(task["path"]), task["start"], task["end"])
    data, report = convert_batch(_parsed(lines), convert, fixes=fixes, name=_name(task), **options)
    Path(task["shard"]).write_bytes(data)
    return {"shard": task["shard"], "report": report.model_dump_json()}


def _parsed(lines: LineReader) -> Iterable[Any]:
    """Give the values of lines; what is no JSON is given as it stands, and refused as a row."""
    notes = RowFindings()
    for batch in lines:
        for line in split_lines(batch):
            if line and not line.isspace():
                parsed, value = parse_line(notes, line)
                yield value if parsed else line[:200]


def _joined(part: Path, shards: Iterable[Path], max_bytes: int) -> int:
    """Join shards, byte by byte; return the size of the whole."""
    with part.open("wb") as whole:
        for shard in shards:
            with shard.open("rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)
            if whole.tell() > max_bytes:
                raise FileTooLargeError(
                    f"the result would have more than {max_bytes:,} bytes; take fewer rows, or train in several jobs",
                    size=whole.tell(),
                    limit=max_bytes,
                )
        whole.flush()
        os.fsync(whole.fileno())
        return whole.tell()
