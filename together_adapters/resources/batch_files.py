"""The files of a batch: requests written to one, answers and errors read back in the order of the requests. No network here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.transport.bodies import encode_json
from together_adapters.types.batches import BatchResult

MAX_REQUESTS: Final = 50_000
MAX_BYTES: Final = 100_000_000
MAX_ID: Final = 64

Requests = Mapping[str, Mapping[str, Any]] | Iterable[Mapping[str, Any] | tuple[str, Mapping[str, Any]]]


def write_input(requests: Requests, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the input file of a batch, checked as the service will check it.

    Args:
        requests: Request bodies, named `request-1`, `request-2` and so on; or pairs of a name and a body; or a mapping of
            them; or lines as the file has them, with `custom_id` and `body`. Names come back with the answers.
        path: Where to write; it should end in `.jsonl`.
        overwrite: Whether a file that is there may be replaced.

    Returns:
        The path, for `files.upload(path, purpose="batch-api")`.

    Raises:
        DatasetError: A name is missing, too long or used twice, a body is no object, or there is too much. Nothing is written.
        FileExistsError: Something is there already.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already: name another file, or pass overwrite=True")
    handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:
            for line in encoded(requests):
                file.write(line)
        Path(draft).chmod(0o666 & ~_umask())
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    return target


def encoded(requests: Requests) -> Iterator[bytes]:
    """Give the lines of an input file.

    Raises:
        DatasetError: One is not right.
    """
    seen: set[str] = set()
    size = 0
    for number, (name, body) in enumerate(_named(requests), 1):
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_ID:
            raise DatasetError(f"request {number}: custom_id must be a text of 1 to {MAX_ID} characters, not {name!r:.80}")
        if name in seen:
            raise DatasetError(f"request {number}: custom_id {name!r} is used twice; answers are told apart by it")
        if not isinstance(body, Mapping):
            raise DatasetError(f"request {number} ({name}): the body must be an object, not {type(body).__name__}")
        if number > MAX_REQUESTS:
            raise DatasetError(f"a batch takes {MAX_REQUESTS:,} requests at most; write the others to another file")
        seen.add(name)
        line = _line(number, name, body)
        size += len(line)
        if size > MAX_BYTES:
            raise DatasetError(f"a batch takes {MAX_BYTES:,} bytes at most, and request {number} is beyond; use another file")
        yield line
    if not seen:
        raise DatasetError("a batch needs one request at least")


def _named(requests: Requests) -> Iterator[tuple[Any, Any]]:
    if isinstance(requests, Mapping):
        yield from requests.items()
        return
    for number, item in enumerate(requests, 1):
        if isinstance(item, tuple) and len(item) == 2:
            yield item
        elif isinstance(item, Mapping) and "body" in item and item.keys() <= {"custom_id", "body", "method", "url"}:
            yield item.get("custom_id"), item["body"]
        else:
            yield f"request-{number}", item


def _line(number: int, name: str, body: Mapping[str, Any]) -> bytes:
    try:
        return encode_json({"custom_id": name, "body": body}) + b"\n"
    except ValueError as problem:
        raise DatasetError(f"request {number} ({name}) cannot be written as JSON: {problem}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def in_order(input: bytes | None, output: bytes, errors: bytes) -> list[BatchResult]:
    """Bring answers and errors into the order of the requests.

    Args:
        input: The input file; without it the answers stay in the order of the output file.
        output: The output file.
        errors: The error file.

    Returns:
        One result for every request: those that neither file speaks of have an error with the code `missing`.

    Raises:
        ValueError: A line cannot be read.
    """
    found: dict[str, BatchResult] = {}
    for name, text in (("output", output), ("error", errors)):
        for line in _lines(text, name):
            result = _result(line)
            if result.ok or result.custom_id not in found:
                found[result.custom_id] = result
    asked = {str(line.get("custom_id")): line.get("body") for line in _lines(input or b"", "input")}
    missing = {"message": "neither the output nor the error file speaks of this request", "code": "missing"}
    results = []
    for name in [*asked, *(name for name in found if name not in asked)]:
        result = found.get(name) or BatchResult(name, error=missing)
        results.append(BatchResult(name, result.body, result.status_code, result.error, asked.get(name)))
    return results


def _lines(text: bytes, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = from_json(line)
        except ValueError as problem:
            raise ValueError(f"line {number} of the {name} file is not JSON: {problem}") from None
        if not isinstance(value, dict):
            raise ValueError(f"line {number} of the {name} file is no object")
        yield value


def _result(line: Mapping[str, Any]) -> BatchResult:
    given = line.get("response")
    response: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    body, status = response.get("body"), response.get("status_code")
    error = line.get("error")
    if not error and (body is None or (isinstance(status, int) and status >= 400)):
        error = (isinstance(body, Mapping) and body.get("error")) or {"message": f"status {status}", "code": None}
    if error and not isinstance(error, Mapping):
        error = {"message": str(error), "code": None}
    return BatchResult(str(line.get("custom_id")), None if error else body, status, error or None)
