"""Downloads to a file: resumed when the connection is lost, verified, and moved into place when complete.

The bytes received are in `<target>.part`; `<target>.part.json` says which response they belong to. An interrupted download
is resumed, also by another process, if the service still has the same file: same size, same ETag. A response that does not
continue the file counts like an interruption, so that the number of requests is limited, whatever the server does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from together_adapters.atomic_files import publish
from together_adapters.errors import APIConnectionError, APIStatusError, DownloadError, DownloadPathError, TogetherError
from together_adapters.transport.call import Call, Download, Flow, Local, Response, Sleep
from together_adapters.types.progress import Progress

MAX_RESUMES: Final = 5
FIRST_DELAY: Final = 1.0
MAX_DELAY: Final = 30.0
_LOCK_INTERVAL: Final = 0.1
_SIZE: Final = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
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
    """The service has another content than the one the partial file is from, or sent another range."""


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
        if os.path.lexists(target) and not overwrite:
            raise FileExistsError(f"{target} exists: name another file, or pass overwrite=True")
        if target.exists() and not target.is_file():
            raise FileExistsError(f"{target} is no regular file: name another file")
        partial = _PartialFile(target, f"{call.path}?{sorted(call.query.items())}", sha256, progress, overwrite=overwrite)
        try:
            yield from _complete(call, partial)
            yield Local(partial.finish)
        except OSError as error:
            if error.errno and not error.filename:  # as of a full disk
                error.filename = str(partial.path)
            raise
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
    _check_own_file(Path(f"{target}.lock"), empty=True)
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
        is_resumed = partial.size > 0
        error: TogetherError
        try:
            yield Download(_with_headers(call, partial.request_headers()), partial.write, partial.begin)
            partial.check_length()
            return
        except _ContentMismatch as problem:
            if not is_resumed:
                raise DownloadError(f"the service did not send what was asked for: {problem}") from None
            partial.restart()
            error = DownloadError(f"the content changed {interruptions + 1} times during the download: {problem}")
        except APIStatusError as problem:
            if problem.status_code != 416 or not partial.size:
                if problem.status_code in (404, 410):
                    partial.restart()
                raise
            if partial.is_complete(problem.headers):
                return
            partial.restart()
            error = problem
        except APIConnectionError as problem:
            # Without a response the request was retried already; only a body that broke off is resumed here.
            if not partial.has_response:
                _note_resumes(problem, interruptions, partial)
                raise
            error = problem
        interruptions += 1
        if interruptions > MAX_RESUMES:
            _note_resumes(error, interruptions - 1, partial)
            raise error
        yield Sleep(min(FIRST_DELAY * 2 ** (interruptions - 1), MAX_DELAY))


def _note_resumes(error: TogetherError, resumes: int, partial: _PartialFile) -> None:
    if resumes:
        error.add_note(f"the download was resumed {resumes} times; {partial.size} bytes were received")


def _with_headers(call: Call[Any], headers: dict[str, str]) -> Call[Any]:
    return replace(call, headers={"accept-encoding": "identity", **call.headers, **headers})


class _PartialFile:
    """The bytes received of a download, and what identifies the content that they are from."""

    def __init__(
        self, target: Path, source: str, sha256: str | None, progress: Callable[[Progress], None] | None, *, overwrite: bool
    ) -> None:
        self.target = target
        self._overwrite = overwrite
        self.path = target.with_name(target.name + ".part")
        self.size = 0
        self.has_response = False
        self._state_path = target.with_name(target.name + ".part.json")
        self._source = source
        self._sha256 = sha256
        self._progress = progress
        self._total: int | None = None
        self._end: int | None = None  # of the range that is being received
        self._etag = ""
        self._file: BinaryIO | None = None
        self._is_finished = False

    def open(self) -> None:
        """Opens the file of an earlier download if its source is known to be the same."""
        for path in (self.path, self._state_path):
            _check_own_file(path)
        state = _read_state(self._state_path)
        resumable = state.get("source") == self._source and state.get("etag") and isinstance(state.get("size"), int)
        mode = "r+b" if resumable and self.path.is_file() else "w+b"
        self._file = file = cast(BinaryIO, open(self.path, mode, opener=_open_own_file))  # noqa: SIM115 - closed by `close`
        self.size = file.seek(0, os.SEEK_END)
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
        self._end = None
        if response.status_code == 206:
            start, self._end = _range(response)
            if start != self.size or self._end is None or (total is not None and self._end > total):
                content_range = response.headers.get("content-range", "nothing")[:100]
                raise _ContentMismatch(f"the range from {self.size} was requested, and {content_range!r} came")
            if self.size and (self._total not in (None, total) or etag != self._etag):
                raise _ContentMismatch("its size or its ETag is another")
        elif response.status_code in (200, 203):
            self.restart()
        else:
            raise DownloadError(f"the status of the download is {response.status_code}, which has no content")
        self._etag, self._total = etag, total if total is not None else self._total
        self._sha256 = self._sha256 or _digest(response)
        if etag and self._total:
            with open(self._state_path, "w", encoding="utf-8", opener=_open_own_file) as file:
                json.dump({"source": self._source, "etag": etag, "size": self._total}, file)

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
        expected = self._end if self._total is None else self._total
        if expected is not None and self.size != expected:
            self._etag = ""  # so that it is not resumed
            raise DownloadError(f"the download should have {expected} bytes, but {self.size} were received")

    def is_complete(self, headers: Any) -> bool:
        """Whether the headers of a 416 say that the service has no more bytes than the file."""
        size = re.fullmatch(r"bytes \*/(\d+)", headers.get("content-range", ""))
        return size is not None and int(size[1]) == self.size == self._total

    def finish(self) -> None:
        """Verifies the checksum and moves the file into place."""
        assert self._file is not None
        self._file.flush()
        self._file.seek(0)
        if self._sha256 and (actual := hashlib.file_digest(cast(Any, self._file), "sha256").hexdigest()) != self._sha256.lower():
            self._etag = ""
            raise DownloadError(f"the download should have the SHA-256 {self._sha256.lower()}, but has {actual}")
        os.fsync(self._file.fileno())
        self._file.close()
        if self._overwrite:
            os.replace(self.path, self.target)  # never through a link
        else:
            publish(self.path, self.target, overwrite=False)
        self._is_finished = True

    def close(self) -> None:
        """Closes the file, and deletes what cannot be resumed."""
        if self._file is None:
            return  # what is there is not ours
        with suppress(OSError):  # of a full disk
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


def _check_own_file(path: Path, *, empty: bool = False) -> None:
    """Raises if a path leads to something else than a file of ours: a link, a device, a file with a second name."""
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or (empty and status.st_size):
            raise DownloadPathError(
                f"{path} would be overwritten, but is no file of a download: remove it, or name another target"
            )


def _open_own_file(path: str, flags: int) -> int:
    """Opens a file, and no link that was put there meanwhile."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def total_size(response: Response) -> int | None:
    """Returns the size of the whole content, from the headers of a full or a partial response."""
    if response.status_code == 206:
        content_range = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
        return None if content_range is None or content_range[3] == "*" else int(content_range[3])
    length = response.headers.get("content-length", "")
    return int(length) if _SIZE.fullmatch(length) else None


def _range(response: Response) -> tuple[int | None, int | None]:
    """Returns the start and the end, which is excluded, of a partial response, as far as they are known."""
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    return (None, None) if content_range is None else (int(content_range[1]), int(content_range[2]) + 1)


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
