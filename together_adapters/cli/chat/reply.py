"""Replies of a model as they are printed: reasoning dim in a terminal, and lines that break between words."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from typing import Any

from together_adapters.adapters.tool_call_deltas import AssembledToolCall, ToolCallAssembler, whole_tool_calls
from together_adapters.cli.terminal import dim, is_terminal, printable, write
from together_adapters.types.reasoning import ReasoningSplitter


class LineBreaks:
    """Breaks lines between words as text arrives, so that a terminal breaks none within a word. Code between fences stays as it is."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._column = 0
        self._gap = ""  # before the next word
        self._word = ""
        self._is_code = False

    def feed(self, text: str) -> str:
        """Returns what of the text so far can be shown; the last word may go on."""
        lines = ""
        for character in text:
            if not character.isspace():
                self._word += character
                continue
            lines += self._take_word()
            if character == "\n":
                lines += self._gap + character
                self._gap, self._column = "", 0
            else:
                self._gap += character
        return lines

    def end(self) -> str:
        """Returns the rest."""
        return self._take_word() + self._gap

    def _take_word(self) -> str:
        word, gap, self._word = self._word, self._gap, ""
        if not word:
            return ""
        self._is_code ^= word.startswith("```") and self._column == 0
        must_break = self._column and self._column + len(gap) + len(word) > self._width and not self._is_code
        self._column = len(word) if must_break else self._column + len(gap) + len(word)
        self._gap = ""
        return f"\n{word}" if must_break else gap + word


class ReplyPrinter:
    """Prints a reply as it arrives. Reasoning is dim in a terminal, and left out elsewhere."""

    def __init__(self, *, quiet: bool = False, breaks_lines: bool = False) -> None:
        self.text = ""  # the reply so far, without its reasoning
        self._lines = LineBreaks(shutil.get_terminal_size().columns if breaks_lines else sys.maxsize)
        self._quiet = quiet
        self._splitter = ReasoningSplitter()
        self._terminal = is_terminal(sys.stdout)
        self._reasoning = ""

    def add(self, text: str | None, reasoning: str | None = None) -> None:
        """Adds the text of a delta."""
        if reasoning:
            self._add_reasoning(reasoning)
        for kind, part in self._splitter.feed(text or ""):
            self._add_part(kind, part)

    def end(self) -> None:
        """Adds the text that the splitter still holds, and ends the line."""
        for kind, part in self._splitter.end():
            self._add_part(kind, part)
        if not self._quiet:
            write(self._lines.end() + ("" if self.text.endswith("\n") else "\n"))

    def _add_part(self, kind: str, part: str) -> None:
        if kind == "reasoning":
            self._add_reasoning(part)
            return
        if self._reasoning and not self.text:
            write("\n" if self._reasoning.endswith("\n") else "\n\n")
        self.text += part
        if not self._quiet:
            write(self._lines.feed(printable(part) if self._terminal else part))

    def _add_reasoning(self, part: str) -> None:
        text = part if self._reasoning else part.lstrip()
        if self._terminal and text and not self._quiet:
            self._reasoning += text
            write(dim(printable(text)))


def print_stream(chunks: Iterable[Any], printer: ReplyPrinter | None = None) -> None:
    """Prints the chunks of a chat or of a completion."""
    printer = printer or ReplyPrinter()
    calls = ToolCallAssembler()
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            calls.add(call.model_dump() for call in (delta and delta.tool_calls) or ())
            text = (delta and delta.content) or (None if delta and delta.content == "" else choice.text)
            printer.add(text, delta and delta.thinking)
    printer.add(_format_calls(calls.calls))
    printer.end()


def print_response(response: Any) -> None:
    """Prints a complete response; several choices get headings."""
    for number, choice in enumerate(response.choices):
        if len(response.choices) > 1:
            write(f"===== Completion {number} =====\n")
        printer = ReplyPrinter()
        message = getattr(choice, "message", None)
        if message is None:
            printer.add(choice.text)
        else:
            printer.add(message.content, message.thinking)
            printer.add(_format_calls(whole_tool_calls(call.model_dump() for call in message.tool_calls or ())))
        printer.end()


def _format_calls(calls: Iterable[AssembledToolCall]) -> str:
    return "".join(f"[{call.name}({call.arguments})]\n" for call in calls)
