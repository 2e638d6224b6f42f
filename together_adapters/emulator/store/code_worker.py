"""The process in which the emulator runs code: it reads one request a line, runs it, and writes one answer a line.

It is started by its path, apart from the library, in a folder of its own, and ends with its standard input.
"""

from __future__ import annotations

import ast
import base64
import builtins
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

_MOST = 1_000_000
"""Characters of output that one run may have."""


class _Tap(io.TextIOBase):
    """Stands in for an output stream, and keeps what is written in order with everything else."""

    def __init__(self, kind: str, emit: Callable[[str, Any], None]) -> None:
        self._kind = kind
        self._emit = emit

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._emit(self._kind, str(text))
        return len(text)


class _Runner:
    """Variables that live as long as the session, and the output of the current run."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins, "display": self.display}
        self.outputs: list[dict[str, Any]] = []
        self.room = _MOST

    def emit(self, kind: str, data: Any) -> None:
        if isinstance(data, str):
            data = data[: max(self.room, 0)]
            self.room -= len(data)
            if not data:
                return
            if self.outputs and self.outputs[-1]["type"] == kind:
                self.outputs[-1]["data"] += data
                return
        self.outputs.append({"type": kind, "data": data})

    def display(self, *values: Any) -> None:
        for value in values:
            self.emit("display_data", _shown(value))

    def run(self, code: str) -> list[dict[str, Any]]:
        self.outputs, self.room = [], _MOST
        before = sys.stdout, sys.stderr, sys.stdin
        sys.stdout, sys.stderr, sys.stdin = _Tap("stdout", self.emit), _Tap("stderr", self.emit), io.StringIO()
        try:
            self._execute(code)
            self._figures()
        except BaseException as error:
            trace = error.__traceback__
            own = trace.tb_next.tb_next if trace and trace.tb_next else None
            self.room = max(self.room, 20_000)
            self.emit("error", "".join(traceback.format_exception(type(error), error, own))[-20_000:])
        finally:
            sys.stdout, sys.stderr, sys.stdin = before
        return self.outputs

    def _execute(self, code: str) -> None:
        tree = ast.parse(code, "<code>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<code>", "exec"), self.names)  # noqa: S102
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<code>", "eval"), self.names)  # noqa: S307
            if value is not None:
                self.emit("execute_result", _shown(value))

    def _figures(self) -> None:
        """Show what was drawn, as a notebook does."""
        plot: Any = sys.modules.get("matplotlib.pyplot")
        for number in plot.get_fignums() if plot else ():
            picture = io.BytesIO()
            plot.figure(number).savefig(picture, format="png")
            self.emit("display_data", {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": "<Figure>"})
        if plot:
            plot.close("all")


def _shown(value: Any) -> dict[str, str]:
    shown = {"text/plain": repr(value)[:_MOST]}
    for name, kind in (("_repr_html_", "text/html"), ("_repr_markdown_", "text/markdown"), ("_repr_svg_", "image/svg+xml")):
        if callable(method := getattr(type(value), name, None)) and isinstance(text := method(value), str):
            shown[kind] = text[:_MOST]
    if callable(method := getattr(type(value), "_repr_png_", None)) and isinstance(picture := method(value), bytes):
        shown["image/png"] = base64.b64encode(picture).decode()
    return shown


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    requests, sys.stdin = sys.stdin, io.StringIO()
    runner = _Runner()
    for line in requests:
        answers.write(json.dumps(runner.run(json.loads(line)["code"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
