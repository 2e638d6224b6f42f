"""The questions of the demo, and the menu of a terminal."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from together_adapters.cli.demo.interrupts import raise_on_interrupt
from together_adapters.cli.terminal import bold, dim, write

QUESTIONS: Final = (
    "What does break do to the else clause of a loop?",
    "What is a coroutine?",
    "When is the finally clause of a try statement executed?",
    "What does a decorator do to a function definition?",
    "How are default parameter values evaluated?",
    "How do I read a CSV file with pandas?",
)
"""The language reference does not answer the last."""
_EXIT_WORDS: Final = frozenset({"q", "quit", "exit", ":q", "bye"})


def read_question() -> str | None:
    """Shows the menu; returns the question, or None if the user leaves."""
    lines = [f"  {bold(str(number))}  {text}" for number, text in enumerate(QUESTIONS, 1)]
    write("\n".join(["", *lines, dim("A number, or a question of your own. Enter: 1. q or Ctrl-D: leave."), ""]))
    while True:
        line = _read_line()
        if line is None or line.lower() in _EXIT_WORDS:
            return None
        if not line.isdecimal():
            return line or QUESTIONS[0]
        if 1 <= int(line) <= len(QUESTIONS):
            return QUESTIONS[int(line) - 1]
        write(f"The menu has the numbers 1 to {len(QUESTIONS)}.\n")


def _read_line() -> str | None:
    """Returns a line of the terminal; None at its end."""
    with suppress(ImportError):
        import readline  # noqa: F401 - line editing and history
    try:
        with raise_on_interrupt():
            return input("> ").strip()
    except EOFError:
        write("\n")
        return None
    except KeyboardInterrupt:
        write("\n")
        raise
