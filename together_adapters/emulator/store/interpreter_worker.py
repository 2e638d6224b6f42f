"""The process that runs code for the emulator: one request per line, one response per line. It is started without the library.

The code runs in a child. Its parent only waits: when the requests end, because the session or the emulator has ended, in whatever
way, it ends everything that the code has started, and removes the folder of the session.
"""

from __future__ import annotations

import ast
import base64
import builtins
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any

_MAX_OUTPUT = 1_000_000  # characters of output per execution
_MAX_DISPLAYED = 20_000_000  # characters of representations per execution
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class _OutputStream(io.TextIOBase):
    """Replaces an output stream; emits what is written, in order with the other outputs."""

    def __init__(self, kind: str, emit: Callable[[str, Any], None]) -> None:
        self._kind = kind
        self._emit = emit

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._emit(self._kind, str(text))
        return len(text)


class _Runner:
    """The variables of the session, and the outputs of the current execution."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins, "display": self.display}
        self.outputs: list[dict[str, Any]] = []
        self.chars_left = _MAX_OUTPUT
        self.displayed_left = _MAX_DISPLAYED

    def emit(self, kind: str, data: Any) -> None:
        if isinstance(data, str):
            data = data[: max(self.chars_left, 0)]
            self.chars_left -= len(data)
            if not data:
                return
            if self.outputs and self.outputs[-1]["type"] == kind:
                self.outputs[-1]["data"] += data
                return
        else:
            self.displayed_left -= sum(map(len, data.values())) + 100
            if self.displayed_left < 0:
                return
        self.outputs.append({"type": kind, "data": data})

    def display(self, *values: Any) -> None:
        for value in values:
            self.emit("display_data", _representations(value))

    def run(self, code: str) -> list[dict[str, Any]]:
        self.outputs, self.chars_left, self.displayed_left = [], _MAX_OUTPUT, _MAX_DISPLAYED
        with redirect_stdout(_OutputStream("stdout", self.emit)), redirect_stderr(_OutputStream("stderr", self.emit)):
            try:
                self._execute(code)
                self._figures()
            except BaseException as error:
                trace = error.__traceback__
                user_trace = trace.tb_next.tb_next if trace and trace.tb_next else None
                self.chars_left = max(self.chars_left, 20_000)
                self.emit("error", "".join(traceback.format_exception(type(error), error, user_trace))[-20_000:])
        return self.outputs

    def _execute(self, code: str) -> None:
        tree = ast.parse(code, "<code>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<code>", "exec"), self.names)  # noqa: S102
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<code>", "eval"), self.names)  # noqa: S307
            if value is not None:
                self.emit("execute_result", _representations(value))

    def _figures(self) -> None:
        """Emits the figures of matplotlib, as a notebook does."""
        plot: Any = sys.modules.get("matplotlib.pyplot")
        for number in plot.get_fignums() if plot else ():
            image = io.BytesIO()
            plot.figure(number).savefig(image, format="png")
            self.emit("display_data", {"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": "<Figure>"})
        if plot:
            plot.close("all")


def _representations(value: Any) -> dict[str, str]:
    data = {"text/plain": repr(value)[:_MAX_OUTPUT]}
    for name, kind in (("_repr_html_", "text/html"), ("_repr_markdown_", "text/markdown"), ("_repr_svg_", "image/svg+xml")):
        if callable(method := getattr(type(value), name, None)) and isinstance(text := method(value), str):
            data[kind] = text[:_MAX_OUTPUT]
    if callable(method := getattr(type(value), "_repr_png_", None)) and isinstance(image := method(value), bytes):
        data["image/png"] = base64.b64encode(image).decode()
    return data


def guard() -> None:
    """Forks; returns in the child. The parent passes requests on, and ends all descendants when there are no more."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # processes that leave the tree come back to this one
    source, target = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        os.dup2(source, 0)
        os.closerange(3, 20)
        return
    os.close(source)
    os.close(1)
    try:
        with suppress(OSError):
            while data := os.read(0, 1 << 16):
                os.write(target, data)
    finally:
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        _end_children()
        _remove_folder()
        os._exit(0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_children() -> None:
    """Kills children, and what thereby becomes a child, until there are none. Without /proc, only the group has been killed."""
    with suppress(ChildProcessError):
        while True:
            for process in _children():
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    children = []
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with suppress(OSError), open(f"/proc/{name}/stat", encoding="latin-1") as file:
            if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                children.append(int(name))
    return children


def _remove_folder() -> None:
    import shutil

    shutil.rmtree(os.getcwd(), ignore_errors=True)


def main() -> None:
    """Responds to requests until there are no more."""
    if hasattr(os, "fork"):
        guard()
    responses = os.fdopen(os.dup(1), "w", encoding="utf-8")
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    requests, sys.stdin = sys.stdin, io.StringIO()
    runner = _Runner()
    for line in requests:
        responses.write(json.dumps(runner.run(json.loads(line)["code"])) + "\n")
        responses.flush()


if __name__ == "__main__":
    main()
