"""Downloads to a file: resumed when the connection is lost, verified, and moved into place when complete.

The bytes received are in `<target>.part`; `<target>.part.json` says which response they belong to. An interrupted download
is resumed, also by another process, if the service still has the same file: same size, same ETag.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BufferedRandom
from pathlib import Path
from typing import Any, Final

from together_adapters.errors import APIConnectionError, APIStatusError, DownloadError
from together_adapters.transport.call import Call, Download, Flow, Local, Response, Sleep
from together_adapters.types.progress import Progress

MAX_RESUMES: Final = 5
FIRST_DELAY: Final = 1.0
MAX_DELAY: Final = 30.0
_LOCK_INTERVAL: Final = 0.1
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""File names that Windows reserves."""


def safe_name(name: str, default: str = "download") -> str:
    """Returns a name from a server as one harmless path component."""
    safe = re.sub(r"[\x00-\x1f\x7f<>:\"|?*]", "", name.replace("\\", "/")).strip().strip("/").replace("/", "--")
    safe = safe.lstrip(". ").rstrip(". ")
    if _DEVICES.fullmatch(safe):
        safe = f"_{safe}"
    return safe.encode()[:200].decode(errors="ignore") or default


def normalized_name(name: str) -> str:
    """Returns a name as the `together` 1.x SDK writes it to disk: lower case, no spaces, no slashes."""
    return safe_name(re.sub(r"[_ ]", "-", name).lower())


class _HeadersOnly(Exception):
    """Ends a download after its headers."""


class _ContentMismatch(Exception):
    """The service has another content than the one the partial file is from."""


def probe(call: Call[Any]) -> Flow[Response]:
    """Requests status and headers of a download, without its content."""
    responses: list[Response] = []

    def begin(response: Response) -> None:
        responses.append(response)
        if response.status_code != 206:
            raise _HeadersOnly

    with suppress(_HeadersOnly):
        yield Download(_with_headers(call, {"range": "bytes=0-1"}), lambda chunk: None, begin)
    return responses[0]


def download_file(
    call: Call[Any],
    target: Path,
    *,
    overwrite: bool = False,
    sha256: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[Path]:
    """Downloads the response of a GET into a file, which is not visible under its name until it is complete.

    `sha256` is the expected checksum; without it, one in the response's headers is used.
    """
    target = Path(os.path.abspath(target))
    lock = yield from _lock(target)
    try:
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} exists: name another file, or pass overwrite=True")
        partial = _PartialFile(target, f"{call.path}?{sorted(call.query.items())}", sha256, progress)
        try:
            yield from _complete(call, partial)
            yield Local(partial.finish)
        finally:
            partial.close()
        return target
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def _lock(target: Path) -> Flow[Any]:
    """Waits until no other download writes to the target."""
    from filelock import FileLock, Timeout

    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}")
    lock = FileLock(f"{target}.lock", thread_local=False)
    while True:
        try:
            lock.acquire(blocking=False)
            return lock
        except Timeout:
            yield Sleep(_LOCK_INTERVAL)


def _complete(call: Call[Any], partial: _PartialFile) -> Flow[None]:
    """Downloads until the partial file is complete, resuming where the connection is lost."""
    yield Local(partial.open)
    interruptions = 0
    while True:
        partial.has_response = False
        try:
            yield Download(_with_headers(call, partial.request_headers()), partial.write, partial.begin)
            partial.check_length()
            return
        except _ContentMismatch:
            partial.restart()
        except APIStatusError as error:
            if error.status_code != 416 or not partial.size:
                if error.status_code in (404, 410):
                    partial.restart()
                raise
            if partial.is_complete(error.headers):
                return
            partial.restart()
        except APIConnectionError as error:
            # Without a response the request was retried already; only a body that broke off is resumed here.
            interruptions += 1
            if not partial.has_response or interruptions > MAX_RESUMES:
                if interruptions > 1:
                    error.add_note(f"the download was resumed {interruptions - 1} times; {partial.size} bytes were received")
                raise
            yield Sleep(min(FIRST_DELAY * 2 ** (interruptions - 1), MAX_DELAY))


def _with_headers(call: Call[Any], headers: dict[str, str]) -> Call[Any]:
    return replace(call, headers={"accept-encoding": "identity", **call.headers, **headers})


class _PartialFile:
    """The bytes received of a download, and what identifies the content that they are from."""

    def __init__(self, target: Path, source: str, sha256: str | None, progress: Callable[[Progress], None] | None) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.size = 0
        self.has_response = False
        self._state_path = target.with_name(target.name + ".part.json")
        self._source = source
        self._sha256 = sha256
        self._progress = progress
        self._total: int | None = None
        self._etag = ""
        self._file: BufferedRandom | None = None
        self._is_finished = False

    def open(self) -> None:
        """Opens the file of an earlier download if its source is known to be the same."""
        state = _read_state(self._state_path)
        resumable = state.get("source") == self._source and state.get("etag") and isinstance(state.get("size"), int)
        self._file = self.path.open("r+b" if resumable and self.path.is_file() else "w+b")
        self.size = self._file.seek(0, os.SEEK_END)
        if resumable and self.size:
            self._etag, self._total = str(state["etag"]), state["size"]

    def request_headers(self) -> dict[str, str]:
        """Returns the headers that request the remainder, on condition that the content is the same."""
        if not self.size:
            return {}
        headers = {"range": f"bytes={self.size}-"}
        if self._etag and not self._etag.startswith("W/"):
            headers["if-range"] = self._etag
        return headers

    def begin(self, response: Response) -> None:
        """Checks whether a response continues the file, or starts again."""
        self.has_response = True
        encoding = response.headers.get("content-encoding", "identity")
        if encoding not in ("", "identity"):
            raise DownloadError(f"the download is {encoding}-encoded, so its size cannot be checked")
        etag, total = response.headers.get("etag", ""), total_size(response)
        if response.status_code == 206:
            if _content_range(response)[0] != self.size or self._total not in (None, total) or etag != self._etag:
                raise _ContentMismatch
        else:
            self.restart()
        self._etag, self._total = etag, total if total is not None else self._total
        self._sha256 = self._sha256 or _digest(response)
        if etag and self._total:
            self._state_path.write_text(json.dumps({"source": self._source, "etag": etag, "size": self._total}), "utf-8")

    def write(self, chunk: bytes) -> None:
        """Appends bytes."""
        assert self._file is not None
        self._file.write(chunk)
        self.size += len(chunk)
        if self._progress:
            self._progress(Progress(self.size, self._total, "download"))

    def restart(self) -> None:
        """Discards the bytes received."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
        with suppress(OSError):
            self._state_path.unlink()
        self.size, self._etag, self._total = 0, "", None

    def check_length(self) -> None:
        """Raises if the length is not the one in the headers."""
        if self._total is not None and self.size != self._total:
            self._etag = ""  # so that it is not resumed
            raise DownloadError(f"the download should have {self._total} bytes, but {self.size} were received")

    def is_complete(self, headers: Any) -> bool:
        """Whether the headers of a 416 say that the service has no more bytes than the file."""
        size = re.fullmatch(r"bytes \*/(\d+)", headers.get("content-range", ""))
        return size is not None and int(size[1]) == self.size == self._total

    def finish(self) -> None:
        """Verifies the checksum and moves the file into place."""
        assert self._file is not None
        self._file.flush()
        self._file.seek(0)
        if self._sha256 and (actual := hashlib.file_digest(self._file, "sha256").hexdigest()) != self._sha256.lower():
            self._etag = ""
            raise DownloadError(f"the download should have the SHA-256 {self._sha256.lower()}, but has {actual}")
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, self.target)
        self._is_finished = True

    def close(self) -> None:
        """Closes the file, and deletes what cannot be resumed."""
        if self._file is not None:
            self._file.close()
        if self._is_finished or not (self.size and self._etag and self._total):
            for path in (self._state_path, self.path):
                with suppress(OSError):
                    path.unlink()


def _read_state(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        state = json.loads(path.read_text("utf-8"))
        return state if isinstance(state, dict) else {}
    return {}


def total_size(response: Response) -> int | None:
    """Returns the size of the whole content, from the headers of a full or a partial response."""
    if response.status_code == 206:
        return _content_range(response)[1]
    length = response.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def _content_range(response: Response) -> tuple[int | None, int | None]:
    """Returns the start and the total size of a partial response, as far as they are known."""
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", "").strip())
    if content_range is None:
        return None, None
    return int(content_range[1]), None if content_range[2] == "*" else int(content_range[2])


def _digest(response: Response) -> str | None:
    """Returns the SHA-256 of the whole content, if one of the usual headers has it."""
    headers = response.headers
    digests = re.findall(r"(?i)sha-256=:?([a-z0-9+/]+={0,2})", f"{headers.get('repr-digest')} {headers.get('digest')}")
    for text in (*digests, headers.get("x-amz-checksum-sha256", "")):
        with suppress(ValueError):
            digest = base64.b64decode(text, validate=True)
            if len(digest) == 32:
                return digest.hex()
    return None
