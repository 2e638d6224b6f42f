"""Reasoning that a model writes into its answer, between tags at its head, told apart from the answer. Pure."""

from __future__ import annotations

from typing import Literal

Piece = tuple[Literal["reasoning", "text"], str]

THINK_TAGS = ("<think>", "</think>")


class ReasoningSplitter:
    r"""Splits a text that opens with a tagged block into reasoning and answer, also when tags come in pieces.

    Only a block at the very head counts, after white space at most; one that is never closed is all reasoning. Reasoning
    is kept verbatim; the white space between the closing tag and the answer goes.

    Example:
        >>> splitter = ReasoningSplitter()
        >>> [*splitter.feed("<thi"), *splitter.feed("nk>2+2</think>\n\n4"), *splitter.end()]
        [('reasoning', '2+2'), ('text', '4')]
    """

    def __init__(self, tags: tuple[str, str] | None = THINK_TAGS) -> None:
        self._opening, self._closing = tags or ("", "")
        self._state: Literal["head", "reasoning", "gap", "text"] = "head" if tags else "text"
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """Return what `text` adds. What may be part of a tag is held back until it is decided."""
        if self._state == "text":
            return [("text", text)] if text else []
        pieces: list[Piece] = []
        self._held += text
        if self._state == "head":
            self._read_head()
        if self._state == "reasoning":
            pieces += self._read_reasoning()
        if self._state == "gap" and (answer := self._held.lstrip()):
            self._held = answer
            self._state = "text"
        if self._state == "text" and self._held:
            pieces.append(("text", self._held))
            self._held = ""
        return pieces

    def end(self) -> list[Piece]:
        """Return what was held back when the answer ends."""
        held, self._held = self._held, ""
        if not held or self._state == "gap":
            return []
        return [("reasoning" if self._state == "reasoning" else "text", held)]

    def _read_head(self) -> None:
        head = self._held.lstrip()
        if head.startswith(self._opening):
            self._held = head[len(self._opening) :]
            self._state = "reasoning"
        elif not self._opening.startswith(head):
            self._state = "text"

    def _read_reasoning(self) -> list[Piece]:
        inside, tag, rest = self._held.partition(self._closing)
        if tag:
            self._held = rest
            self._state = "gap"
        else:
            safe = len(inside) - _overlap(inside, self._closing)
            inside, self._held = inside[:safe], inside[safe:]
        return [("reasoning", inside)] if inside else []


def split_reasoning(text: str, tags: tuple[str, str] | None = THINK_TAGS) -> tuple[str, str]:
    """Return the reasoning at the head of a whole answer, and the answer."""
    splitter = ReasoningSplitter(tags)
    pieces = [*splitter.feed(text), *splitter.end()]
    return (
        "".join(piece for kind, piece in pieces if kind == "reasoning"),
        "".join(piece for kind, piece in pieces if kind == "text"),
    )


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that begins `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
