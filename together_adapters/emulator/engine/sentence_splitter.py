"""Whole sentences out of technical prose: manuals wrapped at 79 columns, with headings, lists and code between."""

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
_ROLE: Final = re.compile(r":(?:\w+:)?\w+:`[~!]?([^`<]+?)(?:\s*<[^`>]*>)?`")
_END: Final = re.compile(r"(?<![.!?])[.!?]++[\"”’')\]*`]*(?=\s|$)")
_NEVER_LAST: Final = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|Dr|Mr|Mrs|Ms|Fig|Sec|Eq|No|approx|resp|incl|St)|(?:^|\s)[A-Z])\.$")
_STARTS: Final = re.compile(r"[\"“‘'(\[*_`]*[A-Z0-9]|[\"“‘(\[*_`]+\w")
_CAPITAL: Final = re.compile(r"[\"“‘'(\[]*[A-Z0-9]")
_EMPHASIS: Final = re.compile(r"(?<![\w*])\*\*(?=\S)([^*]{1,300}?)(?<=\S)\*\*(?![\w*])")
_METADATA: Final = re.compile(r"^[\w \-]{1,30}: \S+(?: \S+){0,4}$")


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[str, ...]:
    """The whole sentences of a text, in order, white space normalised; headings, code and fragments left out."""
    found: dict[str, None] = {}
    for number, block in enumerate(_blocks(text)):
        for position, sentence in enumerate(_split(block)):
            # A passage cut out of a text may begin amid a sentence; there only a capital letter is a beginning.
            if is_whole(sentence) and (number or position or _CAPITAL.match(sentence)):
                found[_EMPHASIS.sub(r"\1", sentence)] = None
    return tuple(found)


def is_whole(sentence: str) -> bool:
    """Whether a string reads as a sentence: a beginning, an end, some words, more letters than signs."""
    length = sentence.count(" ") + 1
    if not 3 <= length <= 90 or not _STARTS.match(sentence) or not re.search(r"[.!?][\"”’')\]*`]*$", sentence):
        return False
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return letters >= 0.6 * len(sentence) and not sentence.endswith("...")


def _blocks(text: str) -> list[str]:
    """Paragraphs and list items, each as one line; what is not prose is dropped."""
    blocks: list[str] = []
    current: list[str] = []
    lines = [*text.expandtabs(4).splitlines(), ""]
    depth, code_below = 0, -1

    def close() -> None:
        nonlocal code_below
        if current:
            joined = " ".join(" ".join(current).split())
            code_below = depth if joined.endswith(":") else -1
            blocks.append(joined)
            current.clear()

    for at, line in enumerate(lines):
        following = lines[at + 1] if at + 1 < len(lines) else ""
        indent = len(line) - len(line.lstrip())
        if not line.strip() or _RULE_LINE.match(line) or _RULE_LINE.match(following) or _MARKUP_LINE.match(line):
            close()
        elif current or not _is_aside(line, indent, code_below):
            if item := _LIST_ITEM.match(line):
                close()
            if not current:
                depth = indent
            current.append(_ROLE.sub(r"\1", line[item.end() if item else 0 :]))
    close()
    return blocks


def _is_aside(line: str, indent: int, code_below: int) -> bool:
    """Whether a line at the beginning of a block is code or metadata. Code is indented below a line that ends in a colon."""
    if _CODE_LINE.match(line):
        return True
    if code_below >= 0 and indent > code_below and not re.match(r"\s*[\"(*`]?[A-Z][\w']* ", line):
        return True
    return bool(_METADATA.match(line)) and not re.search(r"[.!?]$", line)


def _split(block: str) -> list[str]:
    parts, start = [], 0
    for end in _END.finditer(block):
        following = block[end.end() : end.end() + 20].lstrip()
        if following and (not _STARTS.match(following) or _NEVER_LAST.search(block[max(0, end.end() - 12) : end.end()])):
            continue
        parts.append(block[start : end.end()].strip())
        start = end.end()
    return [*parts, block[start:].strip()] if block[start:].strip() else parts
