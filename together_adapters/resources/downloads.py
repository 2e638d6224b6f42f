"""Bringing a large answer safely into a file: resumed when the connection breaks, checked, and moved into place whole.

What has arrived stands in `<target>.part`; beside it `<target>.part.json` says of what it is a part. A download that was killed
goes on from there if the service still has the same: same size, same ETag. This serves files and fine-tuned models alike.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from together_adapters.errors import APIConnectionError, APIStatusError, DownloadError
from together_adapters.transport.bodies import READ_SIZE
from together_adapters.transport.call import Call, Download, Flow, Local, Response, Sleep
from together_adapters.types.progress import Progress

RESUMES: Final = 5
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
_LOCK_LOOK: Final = 0.1
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_name(name: str, otherwise: str = "download") -> str:
    """Return a name that a server gave as one harmless path component."""
    plain = re.sub(r"[\x00-\x1f\x7f<>:\"|?*]", "", name.replace("\\", "/")).strip().strip("/").replace("/", "--")
    plain = plain.lstrip(". ").rstrip(". ")
    if _DEVICES.fullmatch(plain):
        plain = f"_{plain}"
    return plain.encode()[:200].decode(errors="ignore") or otherwise


def normal_name(name: str) -> str:
    """Return a name as the `together` 1.x SDK writes it to disk: lower case, no blanks, no slashes."""
    return safe_name(re.sub(r"[_ ]", "-", name).lower())


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that has arrived."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Probed:
    """What a download would bring; `size` is None where the service does not say."""

    size: int | None
    content_type: str
    headers: Any


class _Enough(Exception):
    """The headers were all that was wanted."""


class _NotTheSame(Exception):
    """What the service has is not what a part was taken of."""


def probe(call: Call[Any]) -> Flow[Probed]:
    """Look at what a download would bring, without its content.

    Raises:
        APIStatusError: There is nothing, or not yet.
    """
    seen: list[Response] = []

    def begin(response: Response) -> None:
        seen.append(response)
        if response.status_code != 206:
            raise _Enough

    with suppress(_Enough):
        yield Download(_with(call, {"range": "bytes=0-1"}), lambda piece: None, begin)
    headers = seen[0].headers
    size = _total(seen[0])
    return Probed(size, headers.get("content-type", ""), headers)


def fetch(
    call: Call[Any],
    target: Path,
    *,
    overwrite: bool = False,
    sha256: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[Fetched]:
    """Download an answer into a file.

    Args:
        call: A GET.
        target: Where it is to stand. Nothing is seen there until it is complete.
        overwrite: Whether a file that is there may be replaced.
        sha256: What its checksum must be, in hexadecimal digits; else it is checked where the service tells it.
        progress: Told how many bytes have arrived.

    Raises:
        FileExistsError: Something is there already.
        DownloadError: What came is not what was promised. Nothing is left behind.
        APIConnectionError: The connection broke again and again. A part that can be resumed stays.
    """
    target = Path(os.path.abspath(target))
    lock = yield from _locked(target)
    try:
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} is there already: name another file, or pass overwrite=True")
        part = _Part(target, f"{call.path}?{sorted(call.query.items())}", sha256, progress)
        try:
            yield from _filled(call, part)
            yield Local(part.finish)
        finally:
            part.leave()
        return Fetched(target, target.stat().st_size)
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def _locked(target: Path) -> Flow[Any]:
    """Make sure that nobody else downloads to the same place; whoever comes second waits."""
    from filelock import FileLock, Timeout

    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}")
    lock = FileLock(f"{target}.lock", thread_local=False)
    while True:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield Sleep(_LOCK_LOOK)
        else:
            return lock


def _filled(call: Call[Any], part: _Part) -> Flow[None]:
    """Download until the part is whole, going on where the connection broke."""
    yield Local(part.open)
    breaks = 0
    while True:
        part.answered = False
        try:
            yield Download(_with(call, part.request_headers()), part.write, part.begin)
            part.check_length()
            return
        except _NotTheSame:
            part.restart()
        except APIStatusError as error:
            if error.status_code != 416 or not part.size:
                if error.status_code in (404, 410):
                    part.restart()
                raise
            if part.is_whole(error.headers):
                return
            part.restart()
        except APIConnectionError as error:
            # A request that nobody answered has been repeated already; what is resumed here is a body that broke off.
            breaks += 1
            if not part.answered or breaks > RESUMES:
                if breaks > 1:
                    error.add_note(f"the download was resumed {breaks - 1} times; {part.size} bytes are there")
                raise
            yield Sleep(min(FIRST_PAUSE * 2 ** (breaks - 1), LONGEST_PAUSE))


def _with(call: Call[Any], headers: dict[str, str]) -> Call[Any]:
    return replace(call, headers={"accept-encoding": "identity", **call.headers, **headers})


class _Part:
    """The part of a download that has arrived, with what is needed to know that the rest belongs to it."""

    def __init__(self, target: Path, source: str, sha256: str | None, progress: Callable[[Progress], None] | None) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.size = 0
        self.answered = False
        self._note = target.with_name(target.name + ".part.json")
        self._source = source
        self._sha256 = sha256
        self._progress = progress
        self._total: int | None = None
        self._etag = ""
        self._file: IO[bytes] | None = None
        self._done = False

    def open(self) -> None:
        """Open what an earlier call has left, if it says of what it is a part."""
        kept = _read_note(self._note)
        known = kept.get("source") == self._source and kept.get("etag") and isinstance(kept.get("size"), int)
        self._file = self.path.open("r+b" if known and self.path.is_file() else "w+b")
        self.size = self._file.seek(0, os.SEEK_END)
        if known and self.size:
            self._etag, self._total = str(kept["etag"]), kept["size"]

    def request_headers(self) -> dict[str, str]:
        """The headers that ask for the rest alone, and only if it belongs to what is here."""
        if not self.size:
            return {}
        wanted = {"range": f"bytes={self.size}-"}
        if self._etag and not self._etag.startswith("W/"):
            wanted["if-range"] = self._etag
        return wanted

    def begin(self, response: Response) -> None:
        """See whether an answer goes on where the part ends, or begins anew."""
        self.answered = True
        coded = response.headers.get("content-encoding", "identity")
        if coded not in ("", "identity"):
            raise DownloadError(f"the download is {coded}-encoded, so its size cannot be checked")
        etag, total = response.headers.get("etag", ""), _total(response)
        if response.status_code == 206:
            same = _start(response) == self.size and (self._total is None or total == self._total) and etag == self._etag
            if not same:
                raise _NotTheSame
        else:
            self.restart()
        self._etag, self._total = etag, total if total is not None else self._total
        self._sha256 = self._sha256 or _digest(response)
        self._write_note()

    def write(self, piece: bytes) -> None:
        """Add what has come."""
        assert self._file is not None
        self._file.write(piece)
        self.size += len(piece)
        if self._progress:
            self._progress(Progress(self.size, self._total, "download"))

    def restart(self) -> None:
        """Forget what is here."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
        with suppress(OSError):
            self._note.unlink()
        self.size, self._etag, self._total = 0, "", None

    def check_length(self) -> None:
        """Raise where fewer or more bytes came than were promised."""
        if self._total is not None and self.size != self._total:
            self._etag = ""  # not to be resumed: the service does not keep to its word
            raise DownloadError(f"{self._total} bytes were promised, but {self.size} came")

    def is_whole(self, headers: Any) -> bool:
        """Whether the service has nothing beyond what is here."""
        whole = re.fullmatch(r"bytes \*/(\d+)", headers.get("content-range", ""))
        return bool(whole) and int(whole[1]) == self.size == self._total  # type: ignore[index]

    def finish(self) -> None:
        """Check the content and move it into place."""
        assert self._file is not None
        self._file.flush()
        if self._sha256 and (found := _sha256_of(self._file)) != self._sha256.lower():
            self._etag = ""
            raise DownloadError(f"the SHA-256 of what came is {found}, but {self._sha256.lower()} was promised")
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, self.target)
        self._done = True

    def leave(self) -> None:
        """Leave nothing behind but what can be resumed."""
        if self._file is not None:
            self._file.close()
        if self._done or not (self.size and self._etag and self._total):
            for path in (self._note,) if self._done else (self._note, self.path):
                with suppress(OSError):
                    path.unlink()

    def _write_note(self) -> None:
        if self._etag and self._total:
            self._note.write_text(json.dumps({"source": self._source, "etag": self._etag, "size": self._total}), "utf-8")


def _read_note(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _start(response: Response) -> int | None:
    found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
    return int(found[1]) if found else None


def _total(response: Response) -> int | None:
    """How long the whole is, as an answer of all or of a part tells it."""
    if response.status_code == 206:
        found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
        return int(found[3]) if found and found[3] != "*" else None
    length = response.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def _digest(response: Response) -> str | None:
    """The SHA-256 of the whole, where a service tells it in one of the usual headers."""
    for name in ("repr-digest", "digest"):
        if found := re.search(r"sha-256=:?([A-Za-z0-9+/]+={0,2}):?", response.headers.get(name, ""), re.IGNORECASE):
            return _hexadecimal(found[1])
    return _hexadecimal(response.headers.get("x-amz-checksum-sha256", ""))


def _hexadecimal(text: str) -> str | None:
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return decoded.hex() if len(decoded) == 32 else None


def _sha256_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(READ_SIZE):
        digest.update(piece)
    return digest.hexdigest()
