"""`record` and `replay`: from entering one to leaving it, all clients of the process use its tape."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from together_adapters.atomic_files import refuse_existing
from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.testing.exchange import Exchange
from together_adapters.testing.folders import Folders
from together_adapters.testing.player import Player
from together_adapters.testing.recorder import Recorder
from together_adapters.testing.recording_file import load, save
from together_adapters.testing.redaction import MARK
from together_adapters.transport import observation
from together_adapters.transport.config import KEY_VARIABLE

__tracebackhide__ = hides_frames

T = TypeVar("T", bound=Callable[..., Any])

_NO_KEY: Final = "replayed-without-a-key"
_lock = Lock()
_tapes: list[observation.Tape] = []


class _Session:
    """What both share: a tape that is in place within `with`. The innermost of nested ones is used."""

    _tape: observation.Tape

    @contextmanager
    def running(self) -> Iterator[None]:
        """Has the tape in place, and does nothing else."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def _start(self) -> None:
        with _lock:
            _tapes.append(self._tape)
            observation.tape = self._tape

    def _stop(self) -> None:
        with _lock:
            if self._tape in _tapes:
                _tapes.remove(self._tape)
            observation.tape = _tapes[-1] if _tapes else None


class RecordSession(_Session):
    """What `record` returns: records within `with`, and writes the file at its end. On a test it is the marker of pytest."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        redact: Iterable[str] = (),
        folders: Folders | None = None,
    ) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._redact = [redact] if isinstance(redact, str) else list(redact)
        self._recorder = self._tape = Recorder(self._redact, folders)

    def __enter__(self) -> Self:
        refuse_existing(self.path, self._overwrite)
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop()
        if error is None:
            self.save()
        else:
            error.add_note(self.describe_loss())

    def __call__(self, test: T) -> T:
        import pytest

        options = {"redact": self._redact} if self._redact else {}
        return pytest.mark.together_record(str(self.path), **options)(test)  # type: ignore[no-any-return]

    @property
    def exchanges(self) -> list[Exchange]:
        """The exchanges so far, without secrets."""
        return self._recorder.exchanges()

    def describe_loss(self) -> str:
        """Says what becomes of the file where the block or the test has failed."""
        return f"nothing is written to {self.path}, and an earlier file stays, because what was recorded failed"

    def save(self, earlier: Iterable[Exchange] = ()) -> None:
        """Writes the file, with what others have recorded before."""
        save(self.path, [*earlier, *self.exchanges], self._recorder.servers(), overwrite=self._overwrite)


class ReplaySession(_Session):
    """What `replay` returns: answers within `with`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        miss: Literal["error", "emulate"] = "error",
        pace: float = 1.0,
        advice: str = "",
        is_required: bool = True,
        folders: Folders | None = None,
    ) -> None:
        if miss not in ("error", "emulate"):
            raise ConfigurationError(f"miss must be 'error' or 'emulate', not {miss!r}"[:200])
        if not pace >= 0:
            raise ConfigurationError(f"pace must be 0 or more, not {pace!r}"[:200])
        self.path = Path(path)
        self._is_required = is_required  # a test that sends nothing needs no file
        self._miss = miss
        self._pace = pace
        self._advice = advice or f"Record it anew: record({str(self.path)!r}, overwrite=True)"
        self._folders = folders
        self._substitute: Any = None
        self._sets_key = False

    def __enter__(self) -> Self:
        exists = self.path.exists()
        if self._is_required and not exists:
            raise FileNotFoundError(f"there is no recording {self.path}: make it with record({str(self.path)!r})")
        exchanges = load(self.path) if exists else None
        if self._miss == "emulate":
            from together_adapters.testing.emulation import Emulation

            self._substitute = Emulation()
        self._player = self._tape = Player(
            self.path, exchanges, pace=self._pace, advice=self._advice, substitute=self._substitute, folders=self._folders
        )
        self._sets_key = KEY_VARIABLE not in os.environ
        if self._sets_key:
            os.environ[KEY_VARIABLE] = _NO_KEY
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop()
        if self._sets_key and os.environ.get(KEY_VARIABLE) == _NO_KEY:
            del os.environ[KEY_VARIABLE]
        if self._substitute is not None:
            self._substitute.close()

    @property
    def misses(self) -> list[str]:
        """Requests that it does not answer, each with the nearest exchange and the first difference: a program may catch the error."""
        return self._player.misses

    @property
    def redacted_exchanges(self) -> list[str]:
        """Exchanges that were answered with `[redacted]` in the place of something: the program does not get what it got before."""
        used = [(exchange, exchange.response or {}) for exchange in self._player.exchanges if exchange.is_used]
        return [str(each) for each, response in used if MARK in str({**response, "headers": None})]

    @property
    def unused(self) -> list[str]:
        """Exchanges that nobody asked for."""
        return [str(exchange) for exchange in self._player.exchanges if not exchange.is_used]


def record(path: str | os.PathLike[str], *, overwrite: bool = False, redact: Iterable[str] = ()) -> RecordSession:
    """Records all exchanges of all clients of this process, whatever they talk to, and writes them to a file.

    Use it as a context manager; the file is written when the block ends, as a whole or not at all. A block that ends by an exception
    writes none, and an earlier file stays: catch within the block what you record on purpose. On a test function it is the marker `together_record` of pytest, which replays, and records with `pytest --together-record`.

    Keys, tokens and e-mail addresses are replaced by `[redacted]`, wherever they are, and the current folder and the home folder by
    placeholders, which stand for those of whoever replays. Headers of requests are not kept.

    Args:
        path: The file, `recordings/agent.yaml`.
        overwrite: Whether to record anew if there is such a file.
        redact: Regular expressions of what else is to be redacted.

    Raises:
        FileExistsError: There is such a file, and `overwrite` is False.

    Example:
        ```python
        from together_adapters.testing import record

        with record("recordings/agent.yaml", overwrite=True):
            my_agent.run("What is the weather in Rome?")
        ```
    """
    return RecordSession(path, overwrite=overwrite, redact=redact)


def replay(path: str | os.PathLike[str], *, miss: Literal["error", "emulate"] = "error", pace: float = 1.0) -> ReplaySession:
    """Answers the requests of all clients of this process from a recording. No network is used, and no key is needed.

    Method, path, query and body of a request are compared, the order of keys aside. What is redacted in the recording matches anything.
    The n-th of several equal requests gets the n-th response, and further ones get the last. Use it as a context manager.

    Args:
        path: The file that `record` has written.
        miss: What a request gets that is not in it: a RecordingMissError that names the nearest exchange and the first difference, or
            the answer of the emulator (`"emulate"`).
        pace: How fast streams are: 1 as they were, 0 at once, 2 twice as slow.

    Raises:
        FileNotFoundError: There is no such file.
        ConfigurationError: The file cannot be read; the message names the line.

    Example:
        ```python
        from together_adapters.testing import replay

        with replay("recordings/agent.yaml") as session:
            my_agent.run("What is the weather in Rome?")
        assert not session.unused
        ```
    """
    return ReplaySession(path, miss=miss, pace=pace)
