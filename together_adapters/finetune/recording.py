"""Files of recorded calls, created for the owner only: one row per line, with a column `trace_id`, and no more of the call."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json, to_json

from together_adapters.atomic_files import is_stream
from together_adapters.errors import ConfigurationError
from together_adapters.finetune.dataset import TrainingData, drop_prefixes
from together_adapters.finetune.records import Example, LineSource, Record, Refusal, Row, Unconvertible

TRACE_COLUMN: Final = "trace_id"
_THREAD_KEYS: Final = ("thread_id", "conversation_id", "session_id")
_PERMISSIONS: Final = 0o600
MAX_OPEN_CALLS: Final = 10_000
_log = logging.getLogger(__name__)

Mode = Literal["x", "a"]
"""How a file is opened: `x` for a new one, `a` to add to one that may exist."""


class RecordingFile:
    """A file of recorded calls, and counts of what became of every call.

    The file is opened for each line and closed again, so processes may share it, and it may be moved at any time. A program that
    is killed loses at most the line it was writing; the next line starts on a new line.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = "x") -> None:
        if mode not in ("x", "a"):
            raise ConfigurationError(f'mode must be "x", for a new file, or "a", to add to one, not {mode!r}')
        self.path = Path(path)
        self.existing_rows = 0
        self.counts: Counter[str] = Counter()
        self.refusals: deque[Unconvertible] = deque(maxlen=100)
        self._lock = Lock()
        if self.path.is_fifo():  # which may have no reader yet
            return
        if is_stream(self.path):
            os.close(self._open())
        else:
            self._create(mode)

    def write(self, row: Row, trace: str | None) -> None:
        """Writes a row; raises OSError if it could not be written, ValueError if it is not JSON."""
        line = to_json({**row, TRACE_COLUMN: trace} if trace else row) + b"\n"
        with self._lock:
            descriptor = self._open()
            try:
                _write(descriptor, b"\n" + line if _ends_within_line(descriptor) else line)
            finally:
                os.close(descriptor)
            self.counts["written"] += 1

    def count(self, what: str) -> None:
        """Counts a call that was not written."""
        with self._lock:
            self.counts[what] += 1

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Counts a call as refused if it cannot be converted to a row, or as lost if it cannot be written, and then raises."""
        try:
            yield
        except Unconvertible as error:
            self.refusals.append(error)
            self.count("refused")
        except Exception:
            self.count("lost")
            raise

    def _create(self, mode: Mode) -> None:
        try:
            os.close(self._open(os.O_EXCL))
        except FileExistsError:
            rows = _row_count(self.path)
            state = f"{self.path} exists ({rows:,} row{'s' * (rows != 1)})"
            if mode == "x":
                raise FileExistsError(f'{state}: name another file, or pass mode="a" to add to it') from None
            os.close(self._open())  # an error now if it cannot be written
            self.existing_rows = rows
            _log.info("%s: calls are added to it", state)

    def _open(self, flags: int = 0) -> int:
        if self.path.is_fifo():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)  # an error if there is no reader, instead of waiting
            os.set_blocking(descriptor, True)
            return descriptor
        flags |= os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self.path, flags, _PERMISSIONS)  # of a new file


class OpenCall(NamedTuple):
    """A call without a response so far."""

    messages: Sequence[Any]
    tools: Sequence[Any]
    trace: str | None


class CallRecording:
    """The calls of a recorder: open calls by the framework's key, and the file of completed calls."""

    def __init__(self, path: str | os.PathLike[str], mode: Mode) -> None:
        self.file = RecordingFile(path, mode)
        self.calls: dict[Any, OpenCall] = {}
        self._numbers = count(1)

    def begin(self, key: Any, messages: Sequence[Any], tools: Sequence[Any], trace: str | None) -> None:
        """Adds an open call. If there are too many, the oldest counts as cancelled, as frameworks do not report the end of every call."""
        self.calls[key] = OpenCall([*messages], tools, trace)
        if len(self.calls) > MAX_OPEN_CALLS:
            self.end(next(iter(self.calls)), "cancelled")

    def write(self, trace: str | None, row: Callable[[int], Row]) -> None:
        """Writes the row of a completed call, built from its number; counts the call as refused if that fails."""
        with self.file.refusing():
            self.file.write(row(next(self._numbers)), trace)

    def end(self, key: Any, outcome: str) -> None:
        """Removes an open call without a response and counts it."""
        if self.calls.pop(key, None) is not None:
            self.file.count(outcome)


class RecorderBase:
    """The public properties of the recorders of both frameworks: counts and data of their `CallRecording`."""

    _recording: CallRecording

    def __repr__(self) -> str:
        return f"FinetuneRecorder({str(self._recording.file.path)!r})"

    @property
    def counts(self) -> Counter[str]:
        """The number of calls that were `written`, `failed`, `cancelled`, `unfinished` or `refused`, and of `open` ones."""
        return self._recording.file.counts + Counter(open=len(self._recording.calls))

    @property
    def existing_rows(self) -> int:
        """The number of rows that the file had when the recorder opened it, with `mode="a"`."""
        return self._recording.file.existing_rows

    @property
    def refusals(self) -> list[Unconvertible]:
        """Why the last hundred calls were refused."""
        return list(self._recording.file.refusals)

    def data(self, *, collapse_prefixes: bool = True) -> TrainingData:
        """Returns the calls of the file so far, with those that were there before.

        Args:
            collapse_prefixes: Whether to drop calls whose conversation a later call of the same run continues.
        """
        return read_recording(self._recording.file.path, collapse_prefixes=collapse_prefixes)


def thread_of(*metadata: Any) -> str | None:
    """Returns the id of the conversation of a call, if its metadata has one."""
    objects = (values for values in metadata if isinstance(values, Mapping))
    return next((str(values[key]) for values in objects for key in _THREAD_KEYS if values.get(key)), None)


def is_recorded(record: Any) -> bool:
    """Whether a record is a recorded call: a conversation that names its trace."""
    return isinstance(record, Mapping) and isinstance(record.get("messages"), list) and bool(record.get(TRACE_COLUMN))


def read_recording(path: str | os.PathLike[str], *, collapse_prefixes: bool = True) -> TrainingData:
    """Returns the rows of a file of recorded calls, grouped by trace, without those that a later call continues."""
    name = LineSource(Path(path).name)

    def read() -> Iterator[Record]:
        return _read_lines(Path(path), name)

    return TrainingData(drop_prefixes(read) if collapse_prefixes else read, name)


def _read_lines(path: Path, name: str) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = from_json(line)
            except ValueError as error:
                excerpt = line[:80].decode(errors="replace")
                yield Refusal("json_syntax", f"the line is incomplete: {error}", number, name, value=excerpt)
                continue
            if not isinstance(row, dict):
                yield Refusal("line_not_object", "a line must be a JSON object", number, name)
                continue
            yield Example(row, number, name, row.pop(TRACE_COLUMN, None))


def _row_count(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _write(descriptor: int, line: bytes) -> None:
    """Writes a line with one call, which the system does not divide unless the disk is full or the program is killed."""
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _ends_within_line(descriptor: int) -> bool:
    """Whether the last line is incomplete: its program was killed, or is writing it now, which leaves a blank line."""
    if not S_ISREG(os.fstat(descriptor).st_mode) or not os.lseek(descriptor, 0, os.SEEK_END):
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"
