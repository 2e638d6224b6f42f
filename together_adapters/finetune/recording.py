"""The file in which recorders keep live calls: one row in a line, each written at once, for nobody else's eyes.

A line is a row in the service's format, with one more column, `trace_id`, that says which calls belong together. Nothing else of a
call is kept: no parameters, no headers, no key.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.records import Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.writing.trace_prefixes import drop_prefixes

TRACE: Final = "trace_id"


_THREADS: Final = ("thread_id", "conversation_id", "session_id")
_MODE: Final = 0o600
MAX_OPEN_CALLS: Final = 10_000


class RecordingFile:
    """A file of recorded calls, and what became of every call.

    It is opened for each line and closed again, so processes may share it, and it may be moved away at any time. A program that is
    killed loses at most the line that it was writing; the next line, whoever writes it, begins anew.

    Attributes:
        path: Where it is.
        counts: How many calls were `written`, and how many were not because they `failed`, were `cancelled`, came to no end
            (`unfinished`), hold what no row can (`refused`) or could not be written (`lost`).
        refusals: Why the last hundred calls were refused.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Make the file if it is not there; what is in it stays.

        Raises:
            OSError: It cannot be written.
        """
        self.path = Path(path)
        self.counts: Counter[str] = Counter()
        self.refusals: deque[Unconvertible] = deque(maxlen=100)
        self._lock = Lock()
        os.close(self._open())

    def write(self, row: Row, trace: str | None) -> None:
        """Add a row.

        Raises:
            OSError: It could not be written.
            ValueError: The row is not JSON.
        """
        line = to_json({**row, TRACE: trace} if trace else row) + b"\n"
        with self._lock:
            descriptor = self._open()
            try:
                _put(descriptor, b"\n" + line if _ends_within_a_line(descriptor) else line)
            finally:
                os.close(descriptor)
            self.counts["written"] += 1

    def count(self, what: str) -> None:
        """Count a call that was not written."""
        with self._lock:
            self.counts[what] += 1

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Count a call as refused when it cannot become a row, and as lost when it cannot be written, which is raised on."""
        try:
            yield
        except Unconvertible as refused:
            self.refusals.append(refused)
            self.count("refused")
        except Exception:
            self.count("lost")
            raise

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags, _MODE)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, _MODE)
        return descriptor


class OpenCall(NamedTuple):
    """A call that has no answer yet."""

    messages: Sequence[Any]
    tools: Sequence[Any]
    trace: str | None


class CallRecording:
    """The calls of a recorder: those that are open, by a key of the framework's, and the file of those that were answered."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.file = RecordingFile(path)
        self.calls: dict[Any, OpenCall] = {}
        self._numbers = count(1)

    def begin(self, key: Any, messages: Sequence[Any], tools: Sequence[Any], trace: str | None) -> None:
        """Remember a call. When too many are open, the oldest counts as cancelled: frameworks do not report all that end."""
        self.calls[key] = OpenCall([*messages], tools, trace)
        if len(self.calls) > MAX_OPEN_CALLS:
            self.end(next(iter(self.calls)), "cancelled")

    def write(self, trace: str | None, row: Callable[[int], Row]) -> None:
        """Write the row of an answered call, which is made for its number; one that cannot be made is counted as refused."""
        with self.file.refusing():
            self.file.write(row(next(self._numbers)), trace)

    def end(self, key: Any, outcome: str) -> None:
        """Count an open call that has no answer to write."""
        if self.calls.pop(key, None) is not None:
            self.file.count(outcome)


class RecorderBase:
    """What the recorders of both frameworks offer: the counts and the data of their `CallRecording`."""

    _recording: CallRecording

    def __repr__(self) -> str:
        return f"FinetuneRecorder({str(self._recording.file.path)!r})"

    @property
    def counts(self) -> Counter[str]:
        """How many calls were `written`, `failed`, `cancelled`, `unfinished` or `refused`; those still open are `open`."""
        return self._recording.file.counts + Counter(open=len(self._recording.calls))

    @property
    def refusals(self) -> list[Unconvertible]:
        """Why the last hundred calls were refused."""
        return list(self._recording.file.refusals)

    def data(self, *, collapse_prefixes: bool = True) -> TrainingData:
        """Return what was recorded so far.

        Args:
            collapse_prefixes: Whether calls whose conversation a later one of the same run continues are left out.
        """
        return read_recording(self._recording.file.path, collapse_prefixes=collapse_prefixes)


def thread_of(*described: Mapping[str, Any] | None) -> str | None:
    """Return the id of the conversation that a call belongs to, where its metadata names one."""
    return next((str(one[key]) for one in described if one for key in _THREADS if one.get(key)), None)


def read_recording(path: str | os.PathLike[str], *, collapse_prefixes: bool = True) -> TrainingData:
    """Read a file of recorded calls.

    Args:
        path: The file.
        collapse_prefixes: Whether calls whose conversation a later one of the same trace continues are left out.

    Returns:
        Its rows, grouped by trace.
    """
    name = Path(path).name

    def read() -> Iterator[Record]:
        return _lines(Path(path), name)

    return TrainingData(drop_prefixes(read) if collapse_prefixes else read, name)


def _lines(path: Path, name: str) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = from_json(line)
            except ValueError as problem:
                yield Refusal(
                    "json_syntax", f"the line is not whole: {problem}", number, name, value=line[:80].decode(errors="replace")
                )
                continue
            if not isinstance(row, dict):
                yield Refusal("line_not_object", "a line must be one JSON object", number, name)
                continue
            yield Example(row, number, name, row.pop(TRACE, None))


def _put(descriptor: int, line: bytes) -> None:
    """Write a line with one call, which the system does not divide unless the disk is full or the program is killed."""
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _ends_within_a_line(descriptor: int) -> bool:
    """Whether the last line was not written to its end: its program was killed, or is writing it now, which leaves a blank line."""
    if not os.lseek(descriptor, 0, os.SEEK_END):
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"
