"""Sessions of the code interpreter: each is a folder, and a process that keeps the variables of its code."""

from __future__ import annotations

import json
import os
import shutil
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
_MAX_RESPONSE: Final = 64 * 2**20
_END_SECONDS: Final = 5.0  # that a worker may take to end what its code has started
_WORKER: Final = Path(__file__).with_name("interpreter_worker.py")


class InterpreterSession:
    """A folder and a process. The process starts with the first code."""

    def __init__(self) -> None:
        self.count = 0
        self.started_at = self.last_used_at = time.time()
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def run(self, code: str, files: dict[str, bytes]) -> list[dict[str, Any]] | None:
        """Runs code and returns its outputs, or None when it exceeds the time limit or ends its process."""
        with self._lock:
            process = self._process or self._start()
            if self._is_closed:
                self.close()
                return None
            assert self._folder
            assert process.stdin
            assert process.stdout
            for name, content in files.items():
                (self._folder / name).write_bytes(content)
            timer = threading.Timer(TIME_LIMIT, process.terminate)
            timer.start()
            try:
                process.stdin.write(json.dumps({"code": code}).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline(_MAX_RESPONSE)
            except OSError:
                line = b""
            finally:
                timer.cancel()
            outputs: list[dict[str, Any]] | None = json.loads(line) if line.endswith(b"\n") else None
            return outputs

    def close(self) -> None:
        """Ends the process, with all that its code has started, and removes the folder."""
        self._is_closed = True
        process, folder, self._process, self._folder = self._process, self._folder, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            with process:  # closes its pipes, and waits for it
                pass
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def to_dict(self, id: str) -> dict[str, Any]:
        return {
            "id": id,
            "execute_count": self.count,
            "started_at": _timestamp(self.started_at),
            "last_execute_at": _timestamp(self.last_used_at),
            "expires_at": _timestamp(self.last_used_at + _LIFETIME),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder = Path(tempfile.mkdtemp(prefix="together-code-"))
        # The code gets none of the environment of this process, which may contain API keys.
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-u", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env={**environment, "HOME": str(self._folder), "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        )
        return self._process


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
