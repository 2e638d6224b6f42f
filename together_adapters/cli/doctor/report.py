"""The page: plain text that is Markdown too, for a terminal and for an issue."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from together_adapters.cli.terminal import is_terminal, printable, write

_INDENT: Final = "  "


def print_page(report: Mapping[str, Any]) -> None:
    """Prints a report."""
    width = max(shutil.get_terminal_size().columns, 40) if is_terminal(sys.stdout) else 0
    for line in _lines(report):
        write(_wrapped(printable(line), width) + "\n")


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"# together-adapters doctor, {report['date']}"
    yield ""
    yield from _pairs([(name, report[name]) for name in ("host", "key", "project", "versions", "price")])
    yield from _section("Models of the program", [(row["name"], row["words"]) for row in report["models"]["program"]])
    if not report["models"]["program"]:
        yield "- none: pass files, folders or names of models"
    yield f"- the catalogue has {report['models']['catalogue']} models"
    yield from _section("Calls", [(row["name"], row["words"]) for row in report["calls"]])
    yield from _section("Limits", list(report["limits"].items()))
    if not report["limits"]:
        yield "- no header tells any"
    yield from _section("Open questions", [(row["name"], f"{row['question']} {row['words']}") for row in report["questions"]])
    yield from _section("Where a strict emulator differs", [(row["name"], row["words"]) for row in report["differences"]])
    if not report["differences"]:
        yield f"- {report['comparison']}"


def _section(title: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from _pairs(pairs)


def _pairs(pairs: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for name, text in pairs:
        yield f"- {name}: {text}"


def _wrapped(line: str, width: int) -> str:
    if not width or len(line) < width:
        return line
    return textwrap.fill(line, width - 1, subsequent_indent=_INDENT if line.startswith("- ") else "", break_on_hyphens=False)
