"""Prepares and checks files on a Ray cluster. Tasks are ranges of bytes, not rows; only paths and reports are transferred.

Ray's own readers convert rows to Arrow, which guesses types and alters the arguments of tool calls; so lines are read here.
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

from together_adapters._lazy import require
from together_adapters.atomic_files import new_files, refuse_existing
from together_adapters.finetune.errors import FileTooLargeError
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.records import Convert
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import MAX_FILE_BYTES
from together_adapters.finetune.validation.jsonl_reader import LineReader, parse_lines
from together_adapters.finetune.validation.parallel import line_ranges
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.in_memory import check_bytes, convert_batch
from together_adapters.finetune.writing.write_jsonl import PreparedFile, refuse_foreign_report, report_path

_RANGE_BYTES: Final = 64 * 2**20


def prepare(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    convert: Convert | None,
    out: str | PathLike[str],
    *,
    fixes: Fixes | None = None,
    range_bytes: int = _RANGE_BYTES,
    max_bytes: int = MAX_FILE_BYTES,
    overwrite: bool = False,
    **options: Any,
) -> PreparedFile:
    """Converts JSONL files to one file that trains, on the cluster of `ray.init` or on this machine.

    Invalid rows are dropped, counted and listed, as with `Fixes(on_error="drop")`. The result has the same bytes for any number of
    workers.

    Args:
        paths: Files of JSON lines that every worker can read, in the order of their rows in the result.
        convert: Converts one line, as parsed JSON, to rows; None if the lines are rows.
        out: The file, `.jsonl`, in a folder that every worker can write to.
        fixes: The fixes to apply.
        range_bytes: The approximate number of bytes of one task.
        max_bytes: The maximum size of the result.
        overwrite: Whether to replace an existing file.
        **options: As for `check_bytes`.

    Returns:
        The file and the report on all rows.

    Raises:
        ImportError: Ray is not installed.
        FileExistsError: The file exists and `overwrite` is not set.
        FileTooLargeError: The result would be larger than `max_bytes`.
        InvalidDatasetError: No rows are left, or their formats differ.
    """
    ray = _ray()
    out = Path(out)
    if out.suffix != ".jsonl":
        raise ValueError(f"{out.name} must end in .jsonl: the service accepts no other extension")
    refuse_existing(out, overwrite)
    refuse_foreign_report(report_path(out))
    files = [Path(paths)] if isinstance(paths, str | PathLike) else [Path(path) for path in paths]
    shards = out.with_name(f".{out.stem}.{token_hex(4)}.shards")
    shards.mkdir()
    try:
        tasks = _tasks(files, range_bytes, shards)
        report = _run(ray, tasks, _convert_range, (convert, fixes, options))
        report.raise_for_issues()
        with new_files({out: overwrite, report_path(out): True}) as (draft, draft_report):
            size = _join_shards(draft, [Path(task["shard"]) for task in tasks], max_bytes)
            report = report.model_copy(update={"bytes": size})
            report.save(draft_report)
    finally:
        shutil.rmtree(shards, ignore_errors=True)
    return PreparedFile(out, report)


def check(paths: Iterable[str | PathLike[str]], *, range_bytes: int = _RANGE_BYTES, **options: Any) -> DataReport:
    """Checks JSONL files on the cluster; returns the sum of their reports.

    Line numbers in issues start at 1 in each range, which `source` names: `train.jsonl@67108864`.

    Args:
        paths: The files, which every worker can read.
        range_bytes: The approximate number of bytes of one task.
        **options: As for `check_bytes`.

    Raises:
        ImportError: Ray is not installed.
    """
    return _run(_ray(), _tasks(map(Path, paths), range_bytes, Path()), _check_range, (options,))


def _ray() -> Any:
    require("this", "ray", "ray")
    import ray  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import ray.data  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return ray


def _tasks(files: Iterable[Path], range_bytes: int, shards: Path) -> list[dict[str, Any]]:
    """Returns a task for each range of each file, with a shard in a folder."""
    tasks = []
    for number, path in enumerate(files):
        size = path.stat().st_size
        for index, (start, end) in enumerate(line_ranges(path, size, -(-size // range_bytes) or 1)):
            shard = str(shards.absolute() / f"{number:06}-{index:06}")
            tasks.append({"path": str(path.absolute()), "start": start, "end": end, "shard": shard})
    return tasks


def _run(ray: Any, tasks: list[dict[str, Any]], function: Any, arguments: tuple[Any, ...]) -> DataReport:
    """Runs a function on all tasks; returns the sum of their reports, in the order of the tasks."""
    data = ray.data.from_items(tasks, override_num_blocks=max(1, len(tasks)))
    results = sorted(data.map(function, fn_args=arguments).take_all(), key=lambda result: result["shard"])
    return reduce(add, [DataReport.model_validate_json(result["report"]) for result in results] or [DataReport()])


def _source(task: dict[str, Any]) -> str:
    name = Path(task["path"]).name
    return f"{name}@{task['start']}" if task["start"] else name


def _check_range(task: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Checks a range, in a worker."""
    data = b"\n".join(LineReader(Path(task["path"]), task["start"], task["end"]))
    report = check_bytes(data, name=_source(task), **options)
    return {"shard": task["shard"], "report": report.model_dump_json()}


def _convert_range(task: dict[str, Any], convert: Convert | None, fixes: Fixes | None, options: dict[str, Any]) -> dict[str, Any]:
    """Converts a range to its shard, in a worker."""
    lines = LineReader(Path(task["path"]), task["start"], task["end"])
    data, report = convert_batch(_parse(lines), convert, fixes=fixes, name=_source(task), **options)
    Path(task["shard"]).write_bytes(data)
    return {"shard": task["shard"], "report": report.model_dump_json()}


def _parse(lines: LineReader) -> Iterable[Any]:
    """Yields the values of lines; of lines that are not JSON their bytes, which are refused as rows."""
    for _, line, parsed, value in parse_lines(lines, RowFindings(), starts_file=False):
        yield value if parsed else line[:200]


def _join_shards(path: Path, shards: Iterable[Path], max_bytes: int) -> int:
    """Joins shards, byte by byte; returns the size of the result."""
    with path.open("wb") as result:
        for shard in shards:
            with shard.open("rb") as file:
                shutil.copyfileobj(file, result, 1 << 20)
            if result.tell() > max_bytes:
                raise FileTooLargeError(
                    f"the result would have more than {max_bytes:,} bytes; reduce the rows, or train in several jobs",
                    size=result.tell(),
                    limit=max_bytes,
                )
        result.flush()
        os.fsync(result.fileno())
        return result.tell()
