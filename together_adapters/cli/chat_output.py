"""The printing of generated text: streamed, complete, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from together_adapters.adapters.tool_call_deltas import AssembledToolCall, ToolCallAssembler, whole_tool_calls
from together_adapters.cli.output import dim, is_terminal, printable, to_json, write
from together_adapters.types.reasoning import ReasoningSplitter


class ReplyPrinter:
    """Prints a reply as it arrives. Reasoning is dim in a terminal, and left out elsewhere.

    Attributes:
        text: The reply so far, without its reasoning.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.text = ""
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
        if not self._quiet and not self.text.endswith("\n"):
            write("\n")

    def _add_part(self, kind: str, part: str) -> None:
        if kind == "reasoning":
            self._add_reasoning(part)
            return
        if self._reasoning and not self.text:
            write("\n" if self._reasoning.endswith("\n") else "\n\n")
        self.text += part
        if not self._quiet:
            write(printable(part) if self._terminal else part)

    def _add_reasoning(self, part: str) -> None:
        text = part if self._reasoning else part.lstrip()
        if self._terminal and text and not self._quiet:
            self._reasoning += text
            write(dim(printable(text)))


def print_stream(chunks: Iterable[Any], printer: ReplyPrinter) -> None:
    """Prints the chunks of a chat or of a completion."""
    calls = ToolCallAssembler()
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            calls.add(call.model_dump() for call in (delta and delta.tool_calls) or ())
            text = (delta and delta.content) or (None if delta and delta.content == "" else choice.text)
            printer.add(text, delta and delta.thinking)
    printer.add(_format_calls(calls.calls))
    printer.end()


def print_chunks(chunks: Iterable[Any]) -> None:
    """Prints each chunk as a line of JSON."""
    for chunk in chunks:
        write(to_json(chunk, indent=None) + "\n")


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
