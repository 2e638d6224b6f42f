"""Splits technical prose into whole sentences: manuals wrapped at 79 columns, with headings, lists and code between."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_RULE_LINE: Final = re.compile(r"^\s*([=\-*~^\"'#+_.])\1{2,}\s*$")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[*\-•]|\d{1,2}[.)]|\(\w\)|[a-z]\))\s+")
_MARKUP_LINE: Final = re.compile(r"^\s*(?:\.\. |:[\w ]+:(?:\s|$)|>>>|\.\.\. |\||\+[-=+]+\+|#+ |```|[\w:/.]+ +::=)")
_CODE_LINE: Final = re.compile(
    r"^\s*(?:def |class |import |from \w+ import |return\b|raise \w|print\(|@\w|async |await |(?:if|for|while|with|try|elif|else|except)\b.*:\s*(?:#.*)?$"
    r"|[\w.\[\]'\", ()*]+ [-+*/|&]?= |\w+\(.*\)\s*(?:#.*)?$|# |\$ |[{}\])]+[,;]?$)"
)
_PROSE_LINE: Final = re.compile(r"\s*[\"(*`]?[A-Z][\w']* ")
_END: Final = re.compile(r"(?<![.!?])[.!?]++[\"”’')\]*`]*(?=\s|$)")
_ABBREVIATION: Final = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|Dr|Mr|Mrs|Ms|Fig|Sec|Eq|No|approx|resp|incl|St)|(?:^|\s)[A-Z])\.$")
_START: Final = re.compile(r"[\"“‘'(\[*_`]*[A-Z0-9]|[\"“‘(\[*_`]+\w")


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[str, ...]:
    """The distinct whole sentences of a text, in order, without headings, code and fragments."""
    return tuple(dict.fromkeys(sentence for block in _blocks(text) for sentence in _split(block) if _is_whole(sentence)))


def _is_whole(sentence: str) -> bool:
    """Whether a string reads as a sentence: a beginning, an end, some words, more letters than signs."""
    length = sentence.count(" ") + 1
    if not 3 <= length <= 90 or not _START.match(sentence) or not re.search(r"[.!?][\"”’')\]*`]*$", sentence):
        return False
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return letters >= 0.6 * len(sentence) and not sentence.endswith("...")


def _blocks(text: str) -> list[str]:
    """The paragraphs and list items of a text, each as one line; other lines are dropped."""
    blocks: list[str] = []
    current: list[str] = []
    lines = [*text.expandtabs(4).splitlines(), ""]
    block_indent, code_indent = 0, -1  # code is indented more than the block before it, which ends in a colon

    def close() -> None:
        nonlocal code_indent
        if current:
            block = " ".join(" ".join(current).split())
            code_indent = block_indent if block.endswith(":") else -1
            blocks.append(block)
            current.clear()

    for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
        indent = len(line) - len(line.lstrip())
        if not line.strip() or _RULE_LINE.match(line) or _RULE_LINE.match(next_line) or _MARKUP_LINE.match(line):
            close()
        elif current or not (_CODE_LINE.match(line) or (indent > code_indent >= 0 and not _PROSE_LINE.match(line))):
            if item := _LIST_ITEM.match(line):
                close()
            if not current:
                block_indent = indent
            current.append(line[item.end() if item else 0 :])
    close()
    return blocks


def _split(block: str) -> list[str]:
    parts, start = [], 0
    for end in _END.finditer(block):
        rest = block[end.end() : end.end() + 20].lstrip()
        if rest and (not _START.match(rest) or _ABBREVIATION.search(block[max(0, end.end() - 12) : end.end()])):
            continue
        parts.append(block[start : end.end()].strip())
        start = end.end()
    return [*parts, block[start:].strip()]
