"""Uploads of a file: directly to the storage of the service, in one request or in parts, undone when they fail.

The service returns an address in its storage; the bytes are sent there without the API key or any header of ours, and are read
from the file again for every attempt. Large files are sent in parts, a few at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from together_adapters.errors import ConflictError, FileChangedError, FileTypeError, MissingFileError, TogetherError
from together_adapters.transport.bodies import READ_SIZE, FileRange, Form
from together_adapters.transport.call import Call, Flow, Local, Parallel, Response, Step, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.transport.redirects import host_of
from together_adapters.types.files import FileResponse, MultipartUpload, PartTarget, UploadTarget, detect_file_type
from together_adapters.types.progress import Progress

MAX_FILE_SIZE: Final = int(50.1 * 2**30)
MULTIPART_THRESHOLD: Final = 5 * 2**30
PART_SIZE: Final = 250 * 2**20
MIN_PART_SIZE: Final = 5 * 2**20
MAX_PARTS: Final = 250
CONCURRENCY: Final = 4
_UNDO_SECONDS: Final = 10.0  # with its retries
_FILE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_parse_file = ResponseParser(FileResponse)
_parse_multipart = ResponseParser(MultipartUpload)


@dataclass(frozen=True, slots=True)
class UploadSource:
    """A file, with the size and time stamp from the start of its upload."""

    path: Path
    size: int
    modified: int
    file_type: str

    @classmethod
    def from_path(cls, path: Path) -> UploadSource:
        """Reads the size, time stamp and type of a file; one that the service does not take is a FileTypeError."""
        if not path.is_file():
            raise MissingFileError(f"{path} is not a file on this machine")
        file_type = detect_file_type(path)
        if file_type is None:
            raise FileTypeError(f"{path.name}: files end in .jsonl, .parquet or .csv, in lower case and uncompressed")
        stat = path.stat()
        if stat.st_size > MAX_FILE_SIZE:
            raise FileTypeError(
                f"{path.name} has {stat.st_size / 2**30:.1f} GiB; the service takes {MAX_FILE_SIZE / 2**30:.1f} GiB"
            )
        return cls(path, stat.st_size, stat.st_mtime_ns, file_type)

    def check_unchanged(self) -> None:
        """Raises if size or time stamp have changed."""
        stat = self.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != (self.size, self.modified):
            change = "became shorter" if stat.st_size < self.size else "changed"
            raise FileChangedError(f"{self.path} {change} during its upload; upload it again when no program writes to it")


class ProgressMeter:
    """Adds up the bytes of all parts. It never goes backward, although a retried part starts again."""

    def __init__(self, total: int, stage: str, progress: Callable[[Progress], None] | None) -> None:
        self._total = total
        self._stage = stage
        self._progress = progress
        self._bytes: dict[int, int] = {}
        self._maximum = -1
        self._is_stopped = False
        self._lock = Lock()

    def counter(self, part: int = 0) -> Callable[[int], None]:
        """Returns a function that takes the bytes of one part."""

        def count(size: int) -> None:
            if self._is_stopped:
                raise InterruptedError("the upload was stopped")
            if self._progress is None:
                return
            with self._lock:
                self._bytes[part] = size
                done = sum(self._bytes.values())
                if done > self._maximum:
                    self._maximum = done
                    self._progress(Progress(done, self._total, self._stage))

        return count

    def stop(self) -> None:
        """Ends the parts in progress: their next count raises."""
        self._is_stopped = True


def part_layout(size: int, part_size: int = PART_SIZE) -> tuple[int, int]:
    """Returns the number of parts of a file, and their length; the last part may be shorter."""
    if size <= part_size:
        return 1, size
    length = max(MIN_PART_SIZE, ceil(size / min(MAX_PARTS, ceil(size / part_size))))
    return ceil(size / length), length


def compute_sha256(source: UploadSource, progress: Callable[[Progress], None] | None = None) -> str:
    """Returns the SHA-256 of a file in lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    count = ProgressMeter(source.size, "checksum", progress).counter()
    done = 0
    with source.path.open("rb") as file:
        while chunk := file.read(READ_SIZE):
            digest.update(chunk)
            count(done := done + len(chunk))
    return digest.hexdigest()


def upload_file(
    source: UploadSource,
    sha256: str | None,
    purpose: str,
    multipart_threshold: int,
    part_size: int,
    progress: Callable[[Progress], None] | None,
    options: Mapping[str, Any],
) -> Flow[FileResponse]:
    """Uploads a file, or returns the service's file with the same content; a failed upload is undone."""
    sha256 = sha256 or (yield Local(lambda: compute_sha256(source, progress)))
    meter = ProgressMeter(source.size, "upload", progress)
    fields = {"purpose": purpose, "file_name": source.path.name, "file_type": source.file_type, "checksum": sha256}
    if source.size > multipart_threshold:
        upload = _upload_parts(source, fields, part_size, meter, options)
    else:
        upload = _upload_whole(source, fields, meter, options)
    try:
        return (yield from upload)
    except ConflictError as error:
        duplicate = _conflicting_file_id(error.body)
        if duplicate is None:
            raise
        path = f"/v1/files/{segment(duplicate, 'id')}"
        file: FileResponse = yield request("GET", path, _parse_file, options=_without_body(options))
        file._is_duplicate = True
        return file


def _upload_whole(
    source: UploadSource, fields: dict[str, Any], meter: ProgressMeter, options: Mapping[str, Any]
) -> Flow[FileResponse]:
    start = request("POST", "/v1/files", _read_target, fields, options=options)
    body = start.body if isinstance(start.body, Mapping) else {}
    form = Form([(name, str(value)) for name, value in body.items()])
    target: UploadTarget = yield replace(start, body=form, accepts=frozenset({302}))
    path = f"/v1/files/{segment(target.file_id, 'id')}"
    content = FileRange(source.path, 0, source.size, meter.counter())
    put = Call("PUT", target.url, _ignore, content, external=True)
    finish = request("POST", f"{path}/preprocess", _parse_file, options=_without_body(options))
    return (yield from _send(source, lambda: put, lambda result: finish, request("DELETE", path, _ignore)))


def _upload_parts(
    source: UploadSource, fields: dict[str, Any], part_size: int, meter: ProgressMeter, options: Mapping[str, Any]
) -> Flow[FileResponse]:
    count, length = part_layout(source.size, part_size)
    params = {**fields, "file_size": source.size, "num_parts": count}
    upload: MultipartUpload = yield request("POST", "/v1/files/multipart/initiate", _parse_multipart, params, options=options)
    ids = {"upload_id": upload.upload_id, "file_id": upload.file_id}

    def put_parts() -> Parallel:
        targets = sorted(upload.parts, key=lambda part: part.number)
        numbers = [part.number for part in targets]
        if numbers != list(range(1, count + 1)):
            raise TogetherError(f"{count} parts were announced, but the service returned addresses for {numbers[:20]}")
        try:
            return Parallel([_put_part(source, part, length, meter) for part in targets], CONCURRENCY, meter.stop)
        except ValueError as problem:
            raise TogetherError(f"the service returned no usable address for a part of {source.path.name}: {problem}") from None

    def complete(parts: list[dict[str, Any]]) -> Call[FileResponse]:
        body = {**ids, "parts": parts}
        return request("POST", "/v1/files/multipart/complete", _read_completed, body, options=_without_body(options))

    return (yield from _send(source, put_parts, complete, request("POST", "/v1/files/multipart/abort", _ignore, ids)))


def _put_part(source: UploadSource, part: PartTarget, length: int, meter: ProgressMeter) -> Call[dict[str, Any]]:
    offset = (part.number - 1) * length
    content = FileRange(source.path, offset, min(length, source.size - offset), meter.counter(part.number))
    parse = partial(_read_etag, part.number)
    return Call("PUT", _check_storage_url(part.url), parse, content, headers=part.headers or {}, external=True)


def _send(
    source: UploadSource, put: Callable[[], Step], finish: Callable[[Any], Call[FileResponse]], undo: Call[Any]
) -> Flow[FileResponse]:
    """Sends the content and finishes the upload; undoes it if that fails, if the file has changed meanwhile, or if it is cancelled."""
    try:
        try:
            result = yield put()
        except OSError:
            source.check_unchanged()
            raise
        source.check_unchanged()
        return (yield finish(result))
    except GeneratorExit:
        raise
    except BaseException as problem:
        try:
            yield replace(undo, max_elapsed=_UNDO_SECONDS)
        except TogetherError as error:
            problem.add_note(f"the upload could not be undone: {error}")
        raise


def _without_body(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options for the further requests of an upload, which do not take the fields of its first."""
    return {name: value for name, value in options.items() if name != "extra_body"}


def _ignore(response: Response) -> None:
    return None


def _read_target(response: Response) -> UploadTarget:
    """Reads the storage address from a redirect, which must not be followed."""
    file_id, url = response.headers.get("x-together-file-id", ""), response.headers.get("location", "")
    if not _FILE_ID.fullmatch(file_id):
        raise ValueError("it has no usable file id" if file_id else "the header X-Together-File-Id is missing")
    return UploadTarget(file_id=file_id, url=_check_storage_url(url))


def _check_storage_url(url: str) -> str:
    """Returns a storage address; refuses those that a file must not be sent to, such as a cloud's metadata service."""
    host = ""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        usable = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:  # a port out of range
        usable = False
    if not usable:
        raise ValueError(f"{host_of(url) or 'it'} is no address for the file" if url else "the header Location is missing")
    if host.rstrip(".") == "metadata.google.internal" or host.startswith(("169.254.", "fe80:")):
        raise ValueError(f"it names {host}, which is not a storage service")
    return url


def _read_etag(number: int, response: Response) -> dict[str, Any]:
    etag = response.headers.get("etag", "").strip().removeprefix("W/").strip('"')
    if not etag:
        raise ValueError(f"the storage returned no ETag for part {number}")
    return {"part_number": number, "etag": etag}


def _read_completed(response: Response) -> FileResponse:
    body = response.json()
    file = body.get("file") if isinstance(body, Mapping) else None
    return FileResponse.model_validate(file if isinstance(file, Mapping) else body)


def _conflicting_file_id(body: Any) -> str | None:
    """Returns the id in the body of a 409: that of a file with the same content."""
    if not isinstance(body, Mapping):
        return None
    file_id = body.get("file_id") or _conflicting_file_id(body.get("error"))
    return file_id if isinstance(file_id, str) and _FILE_ID.fullmatch(file_id) else None
