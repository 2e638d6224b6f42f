"""Sending a file to the service: straight to its storage, whole or in parts, and nothing left behind when it fails.

The service names a place in its storage; the bytes go there without the key or any header of ours, read from the file as they
are sent, anew for every attempt. Large files go in parts, a few at a time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from together_adapters.errors import ConflictError, FileChangedError, FileTypeError, MissingFileError, TogetherError
from together_adapters.transport.bodies import READ_SIZE, FileRange, Form
from together_adapters.transport.call import Call, Flow, Local, Parallel, Response, answer, request, segment
from together_adapters.types.files import FileResponse, MultipartUpload, StartedUpload, UploadPart, file_type_of
from together_adapters.types.progress import Progress

T = TypeVar("T")

MAX_FILE_SIZE: Final = int(50.1 * 2**30)
MULTIPART_THRESHOLD: Final = 5 * 2**30
PART_SIZE: Final = 250 * 2**20
MIN_PART_SIZE: Final = 5 * 2**20
MAX_PARTS: Final = 250
CONCURRENCY: Final = 4
_UNDO_TIMEOUT: Final = 10.0
_FILE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_read_file = answer(FileResponse)
_read_multipart = answer(MultipartUpload)


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when its upload began."""

    path: Path
    size: int
    modified: int
    file_type: str

    @classmethod
    def of(cls, path: Path) -> Source:
        """Look at a file.

        Raises:
            FileTypeError: It is missing, too large, or of a type that the service does not take.
        """
        if not path.is_file():
            raise MissingFileError(f"{path} is no file on this machine")
        file_type = file_type_of(path)
        if file_type is None:
            raise FileTypeError(f"{path.name}: files end in .jsonl, .parquet or .csv, in lower case and uncompressed")
        found = path.stat()
        if found.st_size > MAX_FILE_SIZE:
            raise FileTypeError(
                f"{path.name} has {found.st_size / 2**30:.1f} GiB; the service takes {MAX_FILE_SIZE / 2**30:.1f} GiB"
            )
        return cls(path, found.st_size, found.st_mtime_ns, file_type)

    def check_unchanged(self) -> None:
        """Raise if the file is not what it was."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified):
            how = "became shorter" if now.st_size < self.size else "changed"
            raise FileChangedError(f"{self.path} {how} while it was sent; upload it again when nothing writes to it any more")


class Meter:
    """Adds up what the parts of an upload have sent, and tells it; it never goes back, though an attempt may begin anew."""

    def __init__(self, total: int, stage: str, progress: Callable[[Progress], None] | None) -> None:
        self._total = total
        self._stage = stage
        self._progress = progress
        self._sent: dict[int, int] = {}
        self._told = -1
        self._stopped = False
        self._lock = Lock()

    def counter(self, part: int = 0) -> Callable[[int], None]:
        """Return what takes the count of one part."""

        def count(sent: int) -> None:
            if self._stopped:
                raise InterruptedError("the upload was given up")
            if self._progress is None:
                return
            with self._lock:
                self._sent[part] = sent
                done = sum(self._sent.values())
                if done > self._told:
                    self._told = done
                    self._progress(Progress(done, self._total, self._stage))

        return count

    def stop(self) -> None:
        """Let the parts under way end."""
        self._stopped = True


def parts_of(size: int, target: int = PART_SIZE) -> tuple[int, int]:
    """Return into how many parts a file goes, and how long they are; the last may be shorter."""
    if size <= target:
        return 1, size
    count = min(MAX_PARTS, ceil(size / target))
    length = ceil(size / count)
    if length < MIN_PART_SIZE:
        length = MIN_PART_SIZE
        count = ceil(size / length)
    return count, length


def checksum(source: Source, progress: Callable[[Progress], None] | None = None) -> str:
    """Return the SHA-256 of a file in lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    count = Meter(source.size, "checksum", progress).counter()
    done = 0
    with source.path.open("rb") as file:
        while piece := file.read(READ_SIZE):
            digest.update(piece)
            count(done := done + len(piece))
    return digest.hexdigest()


def send_file(
    source: Source,
    sha256: str | None,
    purpose: str,
    *,
    multipart_threshold: int,
    part_size: int,
    progress: Callable[[Progress], None] | None,
    options: Mapping[str, Any],
) -> Flow[FileResponse]:
    """Send a file, or find the one that is there with the same content.

    Raises:
        FileChangedError: It changed meanwhile.
        APIError: The service, or its storage, refused.
        APIConnectionError: It could not be sent; what had arrived was taken back.
    """
    sha256 = sha256 or (yield Local(lambda: checksum(source, progress)))
    meter = Meter(source.size, "upload", progress)
    fields = {"purpose": purpose, "file_name": source.path.name, "file_type": source.file_type, "checksum": sha256}
    send = _whole(source, fields, meter, options)
    if source.size > multipart_threshold:
        send = _in_parts(source, fields, part_size, meter, options)
    try:
        return (yield from send)
    except ConflictError as error:
        there = _file_id_in(error.body)
        if there is None:
            raise
        return (yield request("GET", f"/v1/files/{segment(there, 'id')}", _read_file, options=_plain(options)))


def _whole(source: Source, fields: dict[str, Any], meter: Meter, options: Mapping[str, Any]) -> Flow[FileResponse]:
    start = request("POST", "/v1/files", _started, fields, options=options)
    form = Form([(name, str(value)) for name, value in _fields(start).items()])
    started: StartedUpload = yield replace(start, body=form, accepts=frozenset({302}))
    path = f"/v1/files/{segment(started.file_id, 'id')}"
    undo = replace(request("DELETE", path, _nothing), timeout=_UNDO_TIMEOUT, timed=True)
    finish = request("POST", f"{path}/preprocess", _read_file, options=_plain(options))
    return (yield from _or_undo(_put_whole(source, started.url, meter, finish), undo))


def _put_whole(source: Source, url: str, meter: Meter, finish: Call[FileResponse]) -> Flow[FileResponse]:
    stretch = FileRange(source.path, 0, source.size, meter.counter())
    yield from _guarded(source, Call("PUT", url, _nothing, stretch, foreign=True))
    return (yield finish)


def _in_parts(
    source: Source, fields: dict[str, Any], part_size: int, meter: Meter, options: Mapping[str, Any]
) -> Flow[FileResponse]:
    count, length = parts_of(source.size, part_size)
    wanted = {**fields, "file_size": source.size, "num_parts": count}
    initiate = request("POST", "/v1/files/multipart/initiate", _read_multipart, wanted, options=options)
    started: MultipartUpload = yield initiate
    named = {"upload_id": started.upload_id, "file_id": started.file_id}
    undo = replace(request("POST", "/v1/files/multipart/abort", _nothing, named), timeout=_UNDO_TIMEOUT, timed=True)
    return (yield from _or_undo(_put_parts(source, started, count, length, meter, named, options), undo))


def _put_parts(
    source: Source,
    started: MultipartUpload,
    count: int,
    length: int,
    meter: Meter,
    named: dict[str, str],
    options: Mapping[str, Any],
) -> Flow[FileResponse]:
    places = sorted(started.parts, key=lambda part: part.number)
    if [part.number for part in places] != list(range(1, count + 1)):
        raise TogetherError(
            f"{count} parts were announced, but the service gave places for {[part.number for part in places][:20]}"
        )
    puts = [_put_part(source, part, length, meter) for part in places]
    sent: list[dict[str, Any]] = yield from _guarded(source, Parallel(puts, CONCURRENCY, meter.stop))
    body = {**named, "parts": sent}
    return (yield request("POST", "/v1/files/multipart/complete", _completed, body, options=_plain(options)))


def _put_part(source: Source, part: UploadPart, length: int, meter: Meter) -> Call[dict[str, Any]]:
    offset = (part.number - 1) * length
    stretch = FileRange(source.path, offset, min(length, source.size - offset), meter.counter(part.number))
    parse = _part_reader(part.number)
    return Call("PUT", _storage_url(part.url), parse, stretch, headers=part.headers or {}, foreign=True)


def _guarded(source: Source, step: Any) -> Flow[Any]:
    """Send something of a file, and make sure that it stayed the same."""
    try:
        sent = yield step
    except OSError:
        source.check_unchanged()
        raise
    source.check_unchanged()
    return sent


def _or_undo(flow: Flow[T], undo: Call[Any]) -> Flow[T]:
    """Do something, and take back what was begun when it fails or is cancelled; the first error is the one that is told."""
    try:
        return (yield from flow)
    except GeneratorExit:
        raise
    except BaseException as problem:
        try:
            yield undo
        except TogetherError as further:
            problem.add_note(f"what had been begun could not be taken back: {further}")
        raise


def _fields(call: Call[Any]) -> Mapping[str, Any]:
    return call.body if isinstance(call.body, Mapping) else {}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an upload for its other calls, which take none of its fields."""
    return {name: value for name, value in options.items() if name != "extra_body"}


def _nothing(response: Response) -> None:
    return None


def _started(response: Response) -> StartedUpload:
    """Read where a file is to go: an answer that redirects, but must not be followed."""
    file_id, url = response.headers.get("x-together-file-id", ""), response.headers.get("location", "")
    if not _FILE_ID.fullmatch(file_id):
        raise ValueError("it names no usable file id" if file_id else "the header X-Together-File-Id is missing")
    return StartedUpload(file_id=file_id, url=_storage_url(url))


def _storage_url(url: str) -> str:
    """Return a place in somebody's storage.

    Raises:
        ValueError: It is none that a file may be sent to.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("it names no place to send the file to" if url else "the header Location is missing")
    if host.rstrip(".") == "metadata.google.internal" or host.startswith(("169.254.", "fe80:")):
        raise ValueError(f"it names {host}, which is no storage")
    return url


def _part_reader(number: int) -> Callable[[Response], dict[str, Any]]:
    def read(response: Response) -> dict[str, Any]:
        etag = response.headers.get("etag", "").strip().removeprefix("W/").strip('"')
        if not etag:
            raise ValueError(f"the storage gave no ETag for part {number}")
        return {"part_number": number, "etag": etag}

    return read


def _completed(response: Response) -> FileResponse:
    body = response.json()
    inner = body.get("file") if isinstance(body, Mapping) else None
    return FileResponse.model_validate(inner if isinstance(inner, Mapping) else body)


def _file_id_in(body: Any) -> str | None:
    """The file that a conflict names: one with the same content."""
    if not isinstance(body, Mapping):
        return None
    found = body.get("file_id") or _file_id_in(body.get("error"))
    return found if isinstance(found, str) and _FILE_ID.fullmatch(found) else None
