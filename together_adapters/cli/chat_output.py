"""Answers of chats and completions on stdout: as they come, whole, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from together_adapters.cli.output import dimmed, document, is_terminal, to_json, visible, write
from together_adapters.types.reasoning import ReasoningSplitter


class Reply:
    """One answer on its way to stdout. Reasoning stands back on a terminal, and is left out of pipes.

    Attributes:
        text: The answer so far, without its reasoning.
    """

    def __init__(self, *, shows: bool = True) -> None:
        self.text = ""
        self._shows = shows
        self._splitter = ReasoningSplitter()
        self._terminal = is_terminal(sys.stdout)
        self._reasoning = ""

    def add(self, text: str | None, reasoning: str | None = None) -> None:
        """Take a piece."""
        if reasoning:
            self._show_reasoning(reasoning)
        for kind, piece in self._splitter.feed(text or ""):
            self._take(kind, piece)

    def end(self) -> None:
        """Take what was held back, and end the line."""
        for kind, piece in self._splitter.end():
            self._take(kind, piece)
        if self._shows and not self.text.endswith("\n"):
            write("\n")

    def _take(self, kind: str, piece: str) -> None:
        if kind == "reasoning":
            self._show_reasoning(piece)
            return
        if self._reasoning and not self.text:
            write("\n" if self._reasoning.endswith("\n") else "\n\n")
        self.text += piece
        if self._shows:
            write(visible(piece) if self._terminal else piece)

    def _show_reasoning(self, piece: str) -> None:
        shown = piece if self._reasoning else piece.lstrip()
        if self._shows and self._terminal and shown:
            self._reasoning += shown
            write(dimmed(visible(shown)))


def stream_reply(chunks: Iterable[Any], reply: Reply) -> None:
    """Show the chunks of a chat or of a completion."""
    calls = _Calls()
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            calls.add((delta and delta.tool_calls) or ())
            text = (delta and delta.content) or (None if delta and delta.content == "" else choice.text)
            reply.add(text, delta and delta.thinking)
    for line in calls.lines():
        reply.add(line)
    reply.end()


def raw_stream(chunks: Iterable[Any]) -> None:
    """Print every chunk as a line of JSON."""
    for chunk in chunks:
        write(to_json(chunk, indent=None) + "\n")


def whole_reply(answered: Any, *, as_json: bool) -> None:
    """Show an answer that came whole; several have headings."""
    if as_json:
        document(answered)
        return
    for number, choice in enumerate(answered.choices):
        if len(answered.choices) > 1:
            write(f"===== Completion {number} =====\n")
        reply = Reply()
        message = getattr(choice, "message", None)
        if message is None:
            reply.add(choice.text)
        else:
            calls = _Calls()
            calls.add(message.tool_calls or ())
            reply.add(message.content, message.thinking)
            for line in calls.lines():
                reply.add(line)
        reply.end()


class _Calls:
    """Tool calls, which come in pieces: only the first of each has a name."""

    def __init__(self) -> None:
        self._calls: dict[Any, list[str]] = {}

    def add(self, calls: Iterable[Any]) -> None:
        for call in calls:
            function = call.function
            if function is None:
                continue
            place = len(self._calls) if call.index is None and function.name else call.index or 0
            name_and_arguments = self._calls.setdefault(place, ["", ""])
            name_and_arguments[0] = name_and_arguments[0] or function.name or ""
            name_and_arguments[1] += function.arguments or ""

    def lines(self) -> list[str]:
        return [f"[{name}({arguments})]\n" for name, arguments in self._calls.values()]
