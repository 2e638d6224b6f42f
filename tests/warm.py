"""A process that has loaded what programs import, and forks for each run: starting Python anew each time would take minutes.

It is started with the name of a module and words for its `load`, and forks for each line of JSON that it reads, `{"arguments",
"folder", "environment", "streams"}`. The child is the program: it has those streams, or the one terminal in their place, and what it does
is the module's `run`. The answers to a line are the number of that child and, when it has ended, its exit code.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 60


class Warm:
    """The tests' side of such a process.

    Args:
        module: Has `load(*words)` and `run(arguments)`.
        words: What to load.
        warnings: Filters, as for `python -W`.
    """

    def __init__(self, module: str, *words: str, warnings: Sequence[str] = ("error",)) -> None:
        flags = [part for warning in warnings for part in ("-W", warning)]
        command = [sys.executable, *flags, "-m", "tests.warm", module, *words]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str], input: str = "", stdin: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program once; it reads `input`, or `stdin` where that is given."""
        with tempfile.TemporaryDirectory() as kept:
            streams = [Path(kept) / name for name in ("in", "out", "err")]
            for stream in streams:
                stream.write_text(input if stream.name == "in" else "", "utf-8")
            if stdin:
                streams[0] = stdin
            self.start(arguments, folder, environment, streams)
            code = self.wait()
            out, err = (stream.read_text("utf-8") for stream in streams[1:])
            return subprocess.CompletedProcess(arguments, code, out, err)

    def start(self, arguments: list[str], folder: Path, environment: dict[str, str], streams: Sequence[Path]) -> int:
        """Start the program on three files or on one terminal, of a session of its own; return its number."""
        assert self._process.stdin is not None
        wanted = {"arguments": arguments, "folder": str(folder), "environment": environment, "streams": list(map(str, streams))}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """Return the exit code of what was started last."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def become(wanted: dict[str, Any], run: Callable[[list[str]], None]) -> None:
    """Be the process of one run."""
    signal.alarm(SECONDS)
    coding = wanted["environment"].get("PYTHONIOENCODING", "utf-8")
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    if len(wanted["streams"]) == 1:
        os.setsid()  # the terminal that is opened next is that of the session
        wanted["streams"] *= 3
    flags = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
    opened = [os.open(path, how) for path, how in zip(wanted["streams"], flags, strict=True)]
    print(os.getpid(), flush=True)  # the last that goes to the tests: a terminal that they close now stays open
    for number, stream in enumerate(opened):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding=coding, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    run(wanted["arguments"])
    sys.exit()


def main(module: str, *words: str) -> None:
    program = import_module(module)
    program.load(*words)
    gc.collect()
    gc.freeze()  # what is loaded stays; no child need look at it again
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(json.loads(line), program.run)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
