"""The corpus of the demo and of the recipes: Python's language reference, split into passages of about 150 words, each with a title.

The reference is part of every Python installation: `pydoc_data.topics` has the texts that `help("with")` prints. They are
reStructuredText rendered as plain text, 70 columns wide. This module reverses the rendering: headings become titles, wrapped
lines become paragraphs, and examples stay as they are. Grammar, footnotes and references to other pages are removed. A section
that several topics contain is kept in the smallest of them.

    python -m together_adapters.demo.corpus        # prints all passages
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pydoc_data.topics import topics

LENGTH = 900
"""The approximate number of characters of a passage. Many embedding models read only about 500 tokens."""

_UNDERLINE = re.compile(r"([*=\-~\"^'.])\1{2,}")
_ITEM = re.compile(r"(?:[*•-]|\d+\.|[a-z]\)) +")
SIGNATURE = re.compile(r"(?:class |async |await )?[\w.]+\(.*\)(?: -> .*)?|[\w.]+|[a-z(|)]+ \[.*\]|\w+\(\w+\).*")
_NOTE = re.compile(r"(?:Note|Tip|Warning|Caution|Important|(?:Changed|New|Added|Deprecated)\b[^:]*):")
_REFERENCE = re.compile(r"See also|Source code:|Raises an auditing event|=+$")
_MARKUP = re.compile(
    r"[\u201c\u2018]?\"(?! )(?P<code>[^\"]+?)(?<! )\"[\u201d\u2019]?"
    r"|(?<![\w*])(?P<stars>\*\*?)(?=[^\s*])(?P<text>[^*]+?)(?P=stars)(?![\w*])"
)


@dataclass(frozen=True)
class Passage:
    """A part of the reference with a unique title, such as `Function definitions (2 of 4)`."""

    title: str
    text: str


@dataclass(frozen=True)
class _Block:
    """A paragraph on one line, or an example or a table.

    Attributes:
        text: The text.
        verbatim: Whether it is an example or a table.
        is_lead: Whether it belongs to the next block: a name, the word "Note:", a paragraph that ends with a colon.
    """

    text: str
    verbatim: bool = False
    is_lead: bool = False


def passages() -> list[Passage]:
    """Returns the passages of the reference, in alphabetical order of its topics."""
    previous: set[str] = set()
    texts: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        sections = [section for section in _sections(topics[name]) if _is_new(section[1], previous)]
        texts[name] = [(title, text) for title, blocks in sections for text in _split_section(blocks)]
    return list(_number_titles([text for name in sorted(texts) for text in texts[name]]))


def _number_titles(texts: list[tuple[str, str]]) -> Iterator[Passage]:
    """Makes titles unique."""
    total = Counter(title for title, _ in texts)
    count: Counter[str] = Counter()
    for title, text in texts:
        count[title] += 1
        yield Passage(title if total[title] == 1 else f"{title} ({count[title]} of {total[title]})", text)


def _is_new(blocks: list[_Block], previous: set[str]) -> bool:
    """Whether less than half of a section is in previous ones; adds its paragraphs to them."""
    paragraphs = {block.text for block in blocks if not block.verbatim}
    new = sum(map(len, paragraphs - previous))
    previous |= paragraphs
    return new > sum(map(len, paragraphs)) / 2


def _sections(text: str) -> Iterator[tuple[str, list[_Block]]]:
    """Splits a topic at its headings, lines with an underline; the titles of sections are `Topic: Section`."""
    lines = text.partition("-[ Footnotes ]-")[0].strip().splitlines()
    heads = [
        i
        for i, (line, next_line) in enumerate(pairwise(lines))
        if _UNDERLINE.fullmatch(next_line) and 0 < len(line) <= len(next_line)
    ]
    topic = _prose(lines[heads[0]]) if heads else ""
    for start, end in pairwise([*heads, len(lines)]):
        heading = _prose(lines[start])
        title = topic if heading == topic else f"{topic}: {heading}"
        yield title.replace("`", ""), list(_blocks(lines[start + 2 : end]))


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """Reverses the layout. Text indented under a paragraph is an example; under a list item, a name or a note, it is a paragraph."""
    # The indents of the current paragraphs, of the current example, and of the current reference to another page.
    prose, example, reference, last = [0], -1, -1, _Block("")
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if blank:
            continue
        raw = list(group)
        indent = len(raw[0]) - len(raw[0].lstrip())
        if 0 <= reference < indent:
            continue
        reference = -1
        while indent < prose[-1]:
            prose.pop()
        is_indented = indent > prose[-1]
        under_prose = not last.is_lead or (last.text.endswith(":") and not _NOTE.fullmatch(last.text))
        if raw[0].lstrip().startswith("+--"):
            *full, last = _table(raw)
            yield from full
        elif is_indented and (under_prose or 0 <= example <= indent):
            example = example if 0 <= example <= indent else indent
            last = _Block("\n".join("    " + line[example:] for line in raw), verbatim=True)
        else:
            example = -1
            if is_indented:
                prose.append(indent)
            text = "\n".join(line.strip() for line in raw)
            if item := _ITEM.match(text):
                prose.append(indent + item.end())
                text = text[item.end() :] if item[0][0] in "*•-" else text
            text = _prose(text)
            if _REFERENCE.match(text):
                reference = indent
                continue
            last = _Block(text, is_lead=text.endswith(":") or bool(SIGNATURE.fullmatch(raw[0].strip())))
        yield last


def _table(lines: list[str]) -> Iterator[_Block]:
    """Splits a table into blocks of a few rows, each small enough for a passage."""
    rows: list[str] = []
    for row in _rows(lines):
        if sum(map(len, [*rows, row])) > LENGTH * 0.7:
            yield _Block("\n".join(rows), verbatim=True)
            rows = []
        rows.append(row)
    yield _Block("\n".join(rows), verbatim=True)


def _rows(table: list[str]) -> Iterator[str]:
    """Yields each row of a table as one line."""
    for rule, lines in groupby(table, key=lambda line: line.lstrip().startswith(("+", "|="))):
        if not rule:
            cells = zip(*(line.strip().strip("|").split(" | ") for line in lines), strict=False)
            yield "    " + " | ".join(_prose("\n".join(part.strip() for part in cell)) for cell in cells)


def _prose(text: str) -> str:
    """Joins wrapped lines and converts the markup to Markdown: "with" becomes `with`."""
    line = re.sub(r"(?<=\w-)\n(?=\w)", "", text).replace("\n", " ")
    line = re.sub(r"\s+\[\d+\]", "", line)
    line = _MARKUP.sub(lambda match: f"`{match['code']}`" if match["code"] else match["text"], line)
    return " ".join(line.split())


def _split_section(blocks: Iterable[_Block]) -> Iterator[str]:
    """Groups blocks into passages of similar length."""
    units = list(_units(part for block in blocks if "::=" not in block.text for part in _split_paragraph(block)))
    total = sum(map(_size, units))
    target = total / max(1, round(total / LENGTH))
    groups: list[list[_Block]] = [[]]
    for unit in units:
        if groups[-1] and _size(groups[-1]) + _size(unit) / 2 > target:
            groups.append([])
        groups[-1] += unit
    if len(groups) > 1 and _size(groups[-1]) < LENGTH / 4:
        tail = groups.pop()
        groups[-1] += tail
    return ("\n\n".join(block.text for block in group) for group in groups if _size(group) > 30)


def _split_paragraph(block: _Block) -> Iterator[_Block]:
    """Splits a paragraph between sentences until each part is short enough for a passage."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", block.text)
    if block.verbatim or len(block.text) <= LENGTH * 1.5 or len(sentences) == 1:
        yield block
        return
    middle = len(sentences) // 2
    yield from _split_paragraph(_Block(" ".join(sentences[:middle])))
    yield from _split_paragraph(_Block(" ".join(sentences[middle:]), is_lead=block.is_lead))


def _units(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Groups blocks that belong together: an example and its sentence, a name and its description."""
    unit: list[_Block] = []
    for block in blocks:
        continues = unit and (block.verbatim or unit[-1].is_lead or (unit[-1].verbatim and block.text[0].islower()))
        if unit and not (continues and _size(unit) < LENGTH * 0.7):
            yield unit
            unit = []
        unit.append(block)
    if unit:
        yield unit


def _size(blocks: list[_Block]) -> int:
    return sum(len(block.text) for block in blocks)


if __name__ == "__main__":
    for passage in passages():
        sys.stdout.write(f"{passage.title}\n\n{passage.text}\n\n{'-' * 80}\n\n")
