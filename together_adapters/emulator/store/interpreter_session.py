"""Sessions of the code interpreter: each is a folder, and a process that keeps the variables of its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from together_adapters.emulator.store.records import timestamp

TIME_LIMIT: Final = 4.0  # seconds that one execution may take
_LIFETIME: Final = 1800.0
_MAX_SESSIONS: Final = 20
_WORKER: Final = Path(__file__).with_name("interpreter_worker.py")


class InterpreterSession:
    """A folder and a process. The process starts with the first code."""

    def __init__(self) -> None:
        self.count = 0
        self.started_at = self.last_used_at = time.time()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, code: str, files: dict[str, bytes]) -> list[dict[str, Any]] | None:
        """Runs code and returns its outputs, or None when it exceeds the time limit or ends its process."""
        with self._lock:
            process = self._process or self._start()
            assert self._folder
            assert process.stdin
            assert process.stdout
            for name, content in files.items():
                (Path(self._folder.name) / name).write_bytes(content)
            timer = threading.Timer(TIME_LIMIT, self._kill)
            timer.start()
            try:
                process.stdin.write(json.dumps({"code": code}).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            finally:
                timer.cancel()
            outputs: list[dict[str, Any]] | None = json.loads(line) if line else None
            return outputs

    def close(self) -> None:
        """Ends the process and removes the folder."""
        self._kill()
        if self._process is not None:
            with self._process:  # closes its pipes, and waits for it
                pass
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._folder = None

    def to_dict(self, id: str) -> dict[str, Any]:
        return {
            "id": id,
            "execute_count": self.count,
            "started_at": _timestamp(self.started_at),
            "last_execute_at": _timestamp(self.last_used_at),
            "expires_at": _timestamp(self.last_used_at + _LIFETIME),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder = tempfile.TemporaryDirectory(prefix="together-code-", ignore_cleanup_errors=True)
        # The code gets none of the environment of this process, which may contain API keys.
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-u", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env={**environment, "HOME": self._folder.name, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        )
        return self._process

    def _kill(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):
            process.kill()


class InterpreterSessions(OrderedDict[str, InterpreterSession]):
    """The sessions of one emulator by id, the least recently used first."""

    def use(self, id: str) -> InterpreterSession:
        """Returns a session, created where it does not exist, and closes those that have expired or are too many."""
        session = self.setdefault(id, InterpreterSession())
        self.move_to_end(id)
        session.count, session.last_used_at = session.count + 1, time.time()
        self.remove_expired()
        return session

    def remove_expired(self) -> None:
        """Closes sessions that have expired, or are too many."""
        while self and (len(self) > _MAX_SESSIONS or next(iter(self.values())).last_used_at < time.time() - _LIFETIME):
            self.popitem(last=False)[1].close()

    def close(self) -> None:
        while self:
            self.popitem()[1].close()


def _timestamp(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
