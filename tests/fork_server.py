"""A fork server: a process that has imported what programs need, and forks for each run instead of starting Python again.

It is started with the name of a module and arguments of its `load`. It reads lines of JSON, `{"arguments", "folder", "environment",
"streams"}`, forks for each, writes the id of the child and, when the child has ended, its exit code. The child has these streams, or one
terminal in their place, and calls `run` of the module.
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


class ForkServer:
    """The client of a fork server.

    Args:
        module: The module with `load(*load_arguments)` and `run(arguments)`.
        load_arguments: Arguments of `load`.
        warnings: Filters, as for `python -W`.
    """

    def __init__(self, module: str, *load_arguments: str, warnings: Sequence[str] = ("error",)) -> None:
        flags = [part for warning in warnings for part in ("-W", warning)]
        command = [sys.executable, *flags, "-m", "tests.fork_server", module, *load_arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str], input: str = "", stdin: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the program once; its standard input is `input`, or the file `stdin`."""
        with tempfile.TemporaryDirectory() as temporary:
            streams = [Path(temporary) / name for name in ("in", "out", "err")]
            for stream in streams:
                stream.write_text(input if stream.name == "in" else "", "utf-8")
            if stdin:
                streams[0] = stdin
            self.start(arguments, folder, environment, streams)
            code = self.wait()
            out, err = (stream.read_text("utf-8") for stream in streams[1:])
            return subprocess.CompletedProcess(arguments, code, out, err)

    def start(self, arguments: list[str], folder: Path, environment: dict[str, str], streams: Sequence[Path]) -> int:
        """Starts the program on three files, or on one terminal in a new session; returns its process id."""
        assert self._process.stdin is not None
        job = {"arguments": arguments, "folder": str(folder), "environment": environment, "streams": list(map(str, streams))}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._read_number()

    def wait(self) -> int:
        """Returns the exit code of the last program."""
        return self._read_number()

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def run_child(job: dict[str, Any], run: Callable[[list[str]], None]) -> None:
    """Runs the program in the child process."""
    signal.alarm(SECONDS)
    coding = job["environment"].get("PYTHONIOENCODING", "utf-8")
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    if len(job["streams"]) == 1:
        os.setsid()  # the terminal that is opened next becomes that of the session
        job["streams"] *= 3
    flags = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
    descriptors = [os.open(path, how) for path, how in zip(job["streams"], flags, strict=True)]
    print(os.getpid(), flush=True)  # the last output for the tests: a terminal that they close now stays open
    for number, stream in enumerate(descriptors):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding=coding, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    run(job["arguments"])
    sys.exit()


def main(module: str, *load_arguments: str) -> None:
    program = import_module(module)
    program.load(*load_arguments)
    gc.collect()
    gc.freeze()  # what is loaded stays; children need not collect it
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run_child(json.loads(line), program.run)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
