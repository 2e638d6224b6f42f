"""Separates the reasoning that a model writes at the start of its text, between tags, from the rest. Pure."""

from __future__ import annotations

from typing import Literal

Part = tuple[Literal["reasoning", "text"], str]

THINK_TAGS = ("<think>", "</think>")


class ReasoningSplitter:
    r"""Splits a text into reasoning and response, also when a tag is split over several chunks.

    Only a block at the very start counts, possibly after white space; without its closing tag the whole text is reasoning.
    Reasoning is kept verbatim; white space after the closing tag is removed. With `is_open`, a text that does not start with the
    opening tag is buffered until a closing tag says that it was reasoning: some chat templates open the block themselves.

    Example:
        ```python
        splitter = ReasoningSplitter()
        parts = [*splitter.feed("<thi"), *splitter.feed("nk>2+2</think>\n\n4"), *splitter.end()]
        assert parts == [("reasoning", "2+2"), ("text", "4")]
        ```
    """

    def __init__(self, tags: tuple[str, str] | None = THINK_TAGS, *, is_open: bool = False) -> None:
        self._opening, self._closing = tags or ("", "")
        self._state: Literal["head", "open", "reasoning", "gap", "text"] = "head" if tags else "text"
        self._is_open = is_open
        self._buffer = ""

    def feed(self, text: str) -> list[Part]:
        """Returns the new parts. Text that may be part of a tag is buffered until it is complete."""
        if self._state == "text":
            return [("text", text)] if text else []
        parts: list[Part] = []
        self._buffer += text
        if self._state == "head":
            self._read_head()
        if self._state == "open" and self._closing in self._buffer:
            self._state = "reasoning"
        if self._state == "reasoning":
            parts += self._read_reasoning()
        if self._state == "gap" and (answer := self._buffer.lstrip()):
            self._buffer = answer
            self._state = "text"
        if self._state == "text" and self._buffer:
            parts.append(("text", self._buffer))
            self._buffer = ""
        return parts

    def close(self) -> list[Part]:
        """Returns text that is buffered for a closing tag: the reasoning has come in another field."""
        self._is_open = False
        if self._state != "open":
            return []
        self._state = "text"
        return self.end()

    def end(self) -> list[Part]:
        """Returns the buffered text at the end of the response."""
        text, self._buffer = self._buffer, ""
        if not text or self._state == "gap":
            return []
        return [("reasoning" if self._state == "reasoning" else "text", text)]

    def _read_head(self) -> None:
        head = self._buffer.lstrip()
        if head.startswith(self._opening):
            self._buffer = head[len(self._opening) :]
            self._state = "reasoning"
        elif not self._opening.startswith(head):
            self._state = "open" if self._is_open else "text"

    def _read_reasoning(self) -> list[Part]:
        inside, tag, rest = self._buffer.partition(self._closing)
        if tag:
            self._buffer = rest
            self._state = "gap"
        else:
            safe = len(inside) - _overlap(inside, self._closing)
            inside, self._buffer = inside[:safe], inside[safe:]
        return [("reasoning", inside)] if inside else []


def split_reasoning(text: str, tags: tuple[str, str] | None = THINK_TAGS, *, is_open: bool = False) -> tuple[str, str]:
    """Returns the reasoning at the start of a complete text, and the rest."""
    splitter = ReasoningSplitter(tags, is_open=is_open)
    parts = [*splitter.feed(text), *splitter.end()]
    return (
        "".join(text for kind, text in parts if kind == "reasoning"),
        "".join(text for kind, text in parts if kind == "text"),
    )


def _overlap(text: str, tag: str) -> int:
    """Returns the length of the longest suffix of a text that is a prefix of a tag."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
