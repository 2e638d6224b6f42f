"""`POST /v1/tci/execute` and its sessions. Code runs on this very machine, so only where that was allowed, and only on loopback.

Without the permission the answer keeps its shape: a session, and one output of type `error` that names the flag.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from collections import OrderedDict
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import check, one_of, several, text

ALLOWED: Final = "code execution"
"""Where the shelf says whether code may run."""
TIME_LIMIT: Final = 4.0
_LIVES: Final = 1800.0
_MOST_SESSIONS: Final = 20
_MOST_BYTES: Final = 20_000_000
_WORKER: Final = Path(__file__).with_name("code_worker.py")
_FORBIDDEN: Final = (
    "This emulator does not run code. Start it with --allow-code-execution, or serve(allow_code_execution=True), "
    "to let it run code on this machine."
)
_RULES: Final = {
    "code": text(1_000_000, required=True),
    "language": one_of("python", required=True),
    "session_id": text(200),
    "files": several(dict),
}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, seen from itself alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Session:
    """A folder, and a process in it that keeps variables. The process starts with the first code."""

    def __init__(self) -> None:
        self.count = 0
        self.started = self.last = time.time()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, code: str, files: dict[str, bytes]) -> list[dict[str, Any]] | None:
        """Run code and return its outputs, or None when it took too long or ended its process."""
        with self._lock:
            process = self._process or self._start()
            assert self._folder
            assert process.stdin
            assert process.stdout
            for name, content in files.items():
                (Path(self._folder.name) / name).write_bytes(content)
            guard = threading.Timer(TIME_LIMIT, self._kill)
            guard.start()
            try:
                process.stdin.write(json.dumps({"code": code}).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            finally:
                guard.cancel()
            outputs: list[dict[str, Any]] | None = json.loads(line) if line else None
            return outputs

    def close(self) -> None:
        """End the process and remove the folder."""
        self._kill()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    pipe.close()
            self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._folder = None

    def shown(self, id: str) -> dict[str, Any]:
        """As the list of sessions has it."""
        times = {"started_at": self.started, "last_execute_at": self.last, "expires_at": self.last + _LIVES}
        return {"id": id, "execute_count": self.count, **{name: _time(value) for name, value in times.items()}}

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder = tempfile.TemporaryDirectory(prefix="together-code-", ignore_cleanup_errors=True)
        # Nothing of our own environment, which may hold keys, reaches the code.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-u", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            env={**kept, "HOME": self._folder.name, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
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


class Sessions(OrderedDict[str, Session]):
    """The sessions of one emulator, oldest first; closed with it."""

    def close(self) -> None:
        """End all of them."""
        while self:
            self.popitem()[1].close()

    def tidy(self) -> None:
        """End those that have expired, or are too many."""
        while self and (len(self) > _MOST_SESSIONS or next(iter(self.values())).last < time.time() - _LIVES):
            self.popitem(last=False)[1].close()


def execute(context: RequestContext) -> dict[str, Any]:
    """Run code. It may take seconds, so this handler runs in a thread."""
    body = check(context, context.body, _RULES)
    files = _files(body.get("files", []))
    sessions = _sessions(context)
    id = body.get("session_id") or f"ses_{secrets.token_urlsafe(9)}"
    if "session_id" in body and id not in sessions:
        return {"data": None, "errors": [f"There is no session {id}; it may have expired."]}
    session = sessions.setdefault(id, Session())
    sessions.move_to_end(id)
    session.count, session.last = session.count + 1, time.time()
    sessions.tidy()
    outputs = _outputs(context, session, body["code"], files)
    if outputs is None:
        sessions.pop(id, session).close()
        outputs = [{"type": "error", "data": f"The code ended its process, or ran longer than {TIME_LIMIT:g} seconds."}]
    return {"data": {"session_id": id, "status": "success", "outputs": outputs}, "errors": None}


def _outputs(context: RequestContext, session: Session, code: str, files: dict[str, bytes]) -> list[dict[str, Any]] | None:
    client = context.request.client
    if not context.state.shelf.get(ALLOWED) or client is None or not is_loopback(client.host):
        return [{"type": "error", "data": _FORBIDDEN}]
    return session.run(code, files)


def _files(given: list[dict[str, Any]]) -> dict[str, bytes]:
    files = {_name(file.get("name"), place): _content(file, place) for place, file in enumerate(given)}
    if sum(map(len, files.values())) > _MOST_BYTES:
        raise bad_request("The files are larger than 20 MB together.", param="files")
    return files


def _name(name: Any, place: int) -> str:
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= 255 or name in (".", ".."):
        raise bad_request(f"files[{place}].name must be a file name.", param="files")
    if any(letter in "/\\\0:" or not letter.isprintable() for letter in name):
        raise bad_request(f"files[{place}].name must be a file name without a path.", param="files")
    return name


def _content(file: dict[str, Any], place: int) -> bytes:
    content, encoding = file.get("content"), file.get("encoding")
    if not isinstance(content, str) or encoding not in ("string", "base64"):
        raise bad_request(f"files[{place}] needs content as text, and the encoding string or base64.", param="files")
    try:
        return content.encode("utf-8", "replace") if encoding == "string" else b64decode(content, validate=True)
    except ValueError:
        raise bad_request(f"files[{place}].content is not base64.", param="files") from None


def list_sessions(context: RequestContext) -> dict[str, Any]:
    """List the sessions."""
    sessions = _sessions(context)
    sessions.tidy()
    return {"data": {"sessions": [session.shown(id) for id, session in sessions.items()]}, "errors": None}


def _sessions(context: RequestContext) -> Sessions:
    sessions: Sessions = context.state.shelf.setdefault("code sessions", Sessions())
    return sessions


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


ROUTES: Any = [
    json_route("/v1/tci/execute", execute, needs_object=False, in_thread=True),
    json_route("/v1/tci/sessions", list_sessions, method="GET"),
]
