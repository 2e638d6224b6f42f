"""The sentences of a passage, as an answer quotes them: those under a signature with it, those before a list or an example with that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from together_adapters.demo.corpus import SIGNATURE

SENTENCE_END: Final = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)[\"'\u2019\u201d)]*\s+(?=[A-Z`\"'(\u201c])")
_LIST_ITEM: Final = re.compile(r"[a-z]|\d+\. ")
_PROSE: Final = re.compile(r"[\"(]?[A-Z_]\S*(?: \S+){3,}?\.(?: |$)")
_END: Final = re.compile(r"[.:!?)][\"'\u2019\u201d]?$")
_MAX_LIST, _MAX_LABEL, _MAX_EXAMPLE = 600, 60, 420  # characters


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage.

    Attributes:
        text: What it says; it ends with a colon if there is an example.
        start: The index at which it begins in the passage, which is read as one line.
        paragraph: The number of its paragraph.
        example: The code behind it.
        is_row: Whether it is a row of a table.
    """

    text: str
    start: int
    paragraph: int
    example: str = ""
    is_row: bool = False


def split_sentences(text: str) -> list[Sentence]:
    """Splits a text, whose first paragraph is its title, into sentences."""
    title, *blocks = text.split("\n\n")
    sentences: list[Sentence] = []
    position, label = len(" ".join(title.split())) + 1, None
    for paragraph, block in enumerate(blocks):
        line = " ".join(block.split())
        if sentences and (longer := _continue(sentences[-1], block, line, paragraph)):
            sentences[-1], label = longer, None
        elif _is_label(block, line):
            label = Sentence(line, position, paragraph)
        else:
            sentences += _with_label(label, list(_sentences(block, line, position, paragraph)))
            label = None
        position += len(line) + 1
    return sentences


def _continue(previous: Sentence, block: str, line: str, paragraph: int) -> Sentence | None:
    """Adds an example or an item of a list to the sentence before; None for anything else. What is too long is left out."""
    if _is_code(block, line):
        fits = previous.text.endswith(":") and previous.paragraph == paragraph - 1 and len(block) <= _MAX_EXAMPLE
        return replace(previous, example=block) if fits else None
    if _is_table(block) or SIGNATURE.fullmatch(line) or not (previous.text.endswith((":", ";")) and _is_item(line)):
        return None
    text = f"{previous.text} {line.rstrip(';')}" + ";" * (not line.endswith("."))
    return replace(previous, text=text, paragraph=paragraph) if len(text) <= _MAX_LIST else previous


def _with_label(label: Sentence | None, sentences: list[Sentence]) -> list[Sentence]:
    """Returns sentences, the first one behind the signature or the name above it."""
    if not label or not sentences:
        return sentences
    first, *others = sentences
    return [replace(first, text=f"{label.text}: {first.text}", start=label.start), *others]


def _is_table(block: str) -> bool:
    return block.startswith("    ") and all(" | " in line for line in block.splitlines())


def _is_code(block: str, line: str) -> bool:
    """Whether an indented block is an example, and does not describe what stands above it."""
    return block.startswith("    ") and not _is_table(block) and not _PROSE.match(line)


def _is_label(block: str, line: str) -> bool:
    is_short = len(line) <= _MAX_LABEL and not block.startswith("    ") and not _END.search(line)
    return is_short or SIGNATURE.fullmatch(line) is not None


def _is_item(line: str) -> bool:
    return bool(_LIST_ITEM.match(line)) or not _END.search(line)


def _sentences(block: str, line: str, start: int, paragraph: int) -> Iterator[Sentence]:
    """Yields the rows of a table, and the whole sentences of a paragraph."""
    if _is_table(block):
        yield from _rows(block, start, paragraph)
    elif not _is_code(block, line):
        position = 0
        for text in SENTENCE_END.split(line):
            position = line.index(text, position)
            if _END.search(text):
                yield Sentence(text, start + position, paragraph)
            position += len(text)


def _rows(table: str, start: int, paragraph: int) -> Iterator[Sentence]:
    """Yields each row of a table as a sentence: its first cell, and the next that is not empty."""
    for row in table.splitlines():
        line = " ".join(row.split())
        cells = [cell.strip() for cell in line.split("|")]
        meaning = next(filter(None, cells[1:]), "")
        yield Sentence(f"{cells[0]}: {meaning.rstrip('.')}.", start, paragraph, is_row=True)
        start += len(line) + 1
