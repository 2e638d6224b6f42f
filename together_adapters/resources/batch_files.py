"""The files of a batch: writes the input file, reads the output and error files. No network here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.atomic_files import new_files
from together_adapters.errors import DatasetError
from together_adapters.transport.bodies import encode_json
from together_adapters.transport.config import warn_user
from together_adapters.types.batches import BatchResult

MAX_REQUESTS: Final = 50_000
MAX_BYTES: Final = 100_000_000
MAX_ID_LENGTH: Final = 64
_CHAT: Final = "/v1/chat/completions"
CONTENT: Final[Mapping[str, tuple[str, ...]]] = {
    _CHAT: ("messages",),
    "/v1/completions": ("prompt",),
    "/v1/embeddings": ("input",),
    "/v1/rerank": ("query", "documents"),
    "/v1/images/generations": ("prompt",),
    "/v1/audio/speech": ("input",),
}
"""The fields without which an endpoint refuses a body, whatever its model."""

_CONTENT_NAMES: Final = tuple(dict.fromkeys(name for names in CONTENT.values() for name in names))

Requests = Mapping[str, Mapping[str, Any]] | Iterable[Mapping[str, Any] | tuple[str, Mapping[str, Any]]]


def write_input(requests: Requests, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Writes the input file of a batch, validated against the rules of the service.

    Args:
        requests: Request bodies, with classes and functions where a chat takes them, whose ids will be `request-1`, `request-2` and so on; or pairs of an id and a body; or a
            mapping of ids to bodies; or objects with `custom_id` and `body`, as in the file. Results have the same ids.
        path: The file to write; it should end in `.jsonl`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path, for `files.upload(path, purpose="batch-api")`.

    Raises:
        DatasetError: An id is missing, too long or not unique, a body is not an object, has empty content (`"messages": []`) or a
            mistyped parameter, or there are too many requests.
            Nothing is written.
        FileExistsError: The file exists.
    """
    target = Path(path)
    with new_files({target: overwrite}) as (draft,), draft.open("xb") as file:
        file.writelines(encode_requests(requests))
    return target


def encode_requests(requests: Requests) -> Iterator[bytes]:
    """Yields the lines of an input file; a request that is not valid is a DatasetError."""
    from together_adapters.body_parameters import ParameterCheck
    from together_adapters.resources.python_types.bodies import json_body

    ids: set[str] = set()
    size = 0
    parameters = ParameterCheck(_CHAT)
    for number, (id, body) in enumerate(_with_ids(requests), 1):
        if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID_LENGTH:
            raise DatasetError(f"request {number}: custom_id must be a string of 1 to {MAX_ID_LENGTH} characters, not {id!r:.80}")
        if id in ids:
            raise DatasetError(f"request {number}: custom_id {id!r} is not unique")
        if not isinstance(body, Mapping):
            raise DatasetError(f"request {number} ({id}): the body must be an object, not {type(body).__name__}")
        if empty := next((name for name in _CONTENT_NAMES if name in body and is_missing(body[name])), None):
            raise DatasetError(f"request {number} ({id}): {empty} must not be empty")
        if number > MAX_REQUESTS:
            raise DatasetError(f"a batch takes {MAX_REQUESTS:,} requests at most; write the others to another file")
        ids.add(id)
        if "messages" in body:
            parameters.check([body], number, lambda number: f"request {number} ({id})")  # noqa: B023 - called at once
        try:
            line = encode_json({"custom_id": id, "body": json_body(body)[0]}) + b"\n"
        except (ValueError, TypeError) as error:
            raise DatasetError(f"request {number} ({id}) cannot be written as JSON: {error}") from None
        size += len(line)
        if size > MAX_BYTES:
            raise DatasetError(f"a batch takes {MAX_BYTES:,} bytes at most, which request {number} exceeds; use another file")
        yield line
    if not ids:
        raise DatasetError("a batch needs at least one request")
    if warning := parameters.warning:
        warn_user(warning)


def is_missing(content: Any) -> bool:
    """Whether the value of a field with content is none: null, or a list without items."""
    return content is None or (isinstance(content, list | tuple) and not content)


_MESSAGE_HINT: Final = " (for a chat: {'messages': [{'role': 'user', 'content': prompt}]})"


def check_content(body: Mapping[str, Any], endpoint: str) -> None:
    """Raises a ValueError, whose text follows the name of the request, if a body has not the content that an endpoint wants."""
    for name in CONTENT.get(endpoint, ()):
        if is_missing(body.get(name)):
            if name in body:
                raise ValueError(f": `{name}` is empty")
            for other, (first, *_) in CONTENT.items():
                if first in body and other != endpoint:
                    hint = _MESSAGE_HINT if (first, name) == ("prompt", "messages") else ""
                    raise ValueError(f" has `{first}`; {endpoint} wants `{name}`{hint}, or pass endpoint={other!r}")
            raise ValueError(f" has no `{name}`, which {endpoint} wants")


def _with_ids(requests: Requests) -> Iterator[tuple[Any, Any]]:
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


def read_results(input: bytes | None, output: bytes, errors: bytes) -> list[BatchResult]:
    """Returns the results of a batch in the order of its requests; without the input file, in the order of the output file.

    A request that is in neither file has an error with the code `missing`. A line that is not valid is a ValueError.
    """
    results: dict[str, BatchResult] = {}
    for name, content in (("output", output), ("error", errors)):
        for line in _read_lines(content, name):
            result = _read_result(line)
            if result.ok or result.custom_id not in results:
                results[result.custom_id] = result
    requests = {str(line.get("custom_id")): line.get("body") for line in _read_lines(input or b"", "input")}
    missing = {"message": "the request is neither in the output nor in the error file", "code": "missing"}
    in_order = []
    for id in {**requests, **results}:
        result = results.get(id) or BatchResult(id, error=missing)
        in_order.append(BatchResult(id, result.body, result.status_code, result.error, requests.get(id)))
    return in_order


def _read_lines(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = from_json(line)
        except ValueError as error:
            raise ValueError(f"line {number} of the {name} file is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError(f"line {number} of the {name} file is not an object")
        yield value


def _read_result(line: Mapping[str, Any]) -> BatchResult:
    value = line.get("response")
    response: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    body, status = response.get("body"), response.get("status_code")
    error = line.get("error")
    if not error and (body is None or (isinstance(status, int) and status >= 400)):
        error = (isinstance(body, Mapping) and body.get("error")) or {"message": f"status {status}", "code": None}
    if error and not isinstance(error, Mapping):
        error = {"message": str(error), "code": None}
    return BatchResult(str(line.get("custom_id")), None if error else body, status, error or None)
