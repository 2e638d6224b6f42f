"""The corpus of the recipes: Python's language reference, cut into passages of some 150 words that carry a title.

Every Python brings the reference along: it is what `help("with")` prints, kept in `pydoc_data.topics`. Its topics are
reStructuredText rendered as plain text, 70 columns wide. Here the rendering is undone: sections become titles, wrapped
lines become paragraphs, examples stay as they are, and what only a reader of the whole manual needs (grammar, footnotes,
pointers elsewhere) is left out. Some topics repeat sections of others; the smallest topic that has one keeps it.

    python cookbook/corpus.py        # prints all passages
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pydoc_data.topics import topics

LENGTH = 900
"""About how many characters a passage has: 150 words. Many embedding models read some 500 tokens and no more."""

_UNDERLINE = re.compile(r"([*=\-~\"^'.])\1{2,}")
_ITEM = re.compile(r"(?:[*•-]|\d+\.|[a-z]\)) +")
_SIGNATURE = re.compile(r"(?:class |async |await )?[\w.]+\(.*\)(?: -> .*)?|[\w.]+|[a-z(|)]+ \[.*\]|\w+\(\w+\).*")
_NOTE = re.compile(r"(?:Note|Tip|Warning|Caution|Important|(?:Changed|New|Added|Deprecated)\b[^:]*):")
_ELSEWHERE = re.compile(r"See also|Source code:|Raises an auditing event|=+$")
_MARKUP = re.compile(
    r"[\u201c\u2018]?\"(?! )(?P<code>[^\"]+?)(?<! )\"[\u201d\u2019]?"
    r"|(?<![\w*])(?P<stars>\*\*?)(?=[^\s*])(?P<text>[^*]+?)(?P=stars)(?![\w*])"
)


@dataclass(frozen=True)
class Passage:
    """A piece of the reference under a title of its own, such as `Function definitions (2 of 4)`."""

    title: str
    text: str


@dataclass(frozen=True)
class _Block:
    """A paragraph on one line, or an example or table as it stands.

    Attributes:
        text: What it says.
        verbatim: Whether it is an example or a table.
        leads: Whether it says nothing without what follows: a name, the word "Note:", a paragraph that ends with a colon.
    """

    text: str
    verbatim: bool = False
    leads: bool = False


def passages() -> list[Passage]:
    """Return the reference as passages, in alphabetical order of its topics."""
    known: set[str] = set()
    cut: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        cut[name] = [
            (title, text) for title, blocks in _sections(topics[name]) if _is_new(blocks, known) for text in _cut(blocks)
        ]
    return list(_numbered([piece for name in sorted(cut) for piece in cut[name]]))


def _numbered(pieces: list[tuple[str, str]]) -> Iterator[Passage]:
    """Tell passages of one title apart."""
    total = Counter(title for title, _ in pieces)
    count: Counter[str] = Counter()
    for title, text in pieces:
        count[title] += 1
        yield Passage(title if total[title] == 1 else f"{title} ({count[title]} of {total[title]})", text)


def _is_new(blocks: list[_Block], known: set[str]) -> bool:
    """Whether other topics have brought less than half of a section; from now on it is known."""
    paragraphs = {block.text for block in blocks if not block.verbatim}
    new = sum(map(len, paragraphs - known))
    known |= paragraphs
    return new > sum(map(len, paragraphs)) / 2


def _sections(text: str) -> Iterator[tuple[str, list[_Block]]]:
    """Split a topic at its headings, each a line with an underline, and title its parts `Topic: Section`."""
    lines = text.partition("-[ Footnotes ]-")[0].strip().splitlines()
    heads = [
        at for at, (line, below) in enumerate(pairwise(lines)) if _UNDERLINE.fullmatch(below) and 0 < len(line) <= len(below)
    ]
    topic = _prose(lines[heads[0]]) if heads else ""
    for start, end in pairwise([*heads, len(lines)]):
        own = _prose(lines[start])
        title = topic if own == topic else f"{topic}: {own}"
        yield title.replace("`", ""), list(_blocks(lines[start + 2 : end]))


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """Undo the layout. Text indented under a paragraph is an example; under a list item, a name or a note it is more text."""
    prose, example, elsewhere, last = [0], -1, -1, _Block("")  # indents of running text; where an example or pointer began
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        if blank:
            continue
        raw = list(group)
        indent = len(raw[0]) - len(raw[0].lstrip())
        if 0 <= elsewhere < indent:
            continue
        elsewhere = -1
        while indent < prose[-1]:
            prose.pop()
        opened = indent > prose[-1]
        under_prose = not last.leads or (last.text.endswith(":") and not _NOTE.fullmatch(last.text))
        if raw[0].lstrip().startswith("+--"):
            *full, last = _table(raw)
            yield from full
        elif opened and (under_prose or 0 <= example <= indent):
            example = example if 0 <= example <= indent else indent
            last = _Block("\n".join("    " + line[example:] for line in raw), verbatim=True)
        else:
            example = -1
            if opened:
                prose.append(indent)
            text = "\n".join(line.strip() for line in raw)
            if item := _ITEM.match(text):
                prose.append(indent + item.end())
                text = text[item.end() :] if item[0][0] in "*•-" else text
            text = _prose(text)
            if _ELSEWHERE.match(text):
                elsewhere = indent
                continue
            last = _Block(text, leads=text.endswith(":") or bool(_SIGNATURE.fullmatch(raw[0].strip())))
        yield last


def _table(lines: list[str]) -> Iterator[_Block]:
    """Turn a table into blocks of a few rows, each small enough for a passage."""
    rows: list[str] = []
    for row in _rows(lines):
        if sum(map(len, [*rows, row])) > LENGTH * 0.7:
            yield _Block("\n".join(rows), verbatim=True)
            rows = []
        rows.append(row)
    yield _Block("\n".join(rows), verbatim=True)


def _rows(table: list[str]) -> Iterator[str]:
    """Turn a table drawn with lines into one line for each row."""
    for rule, lines in groupby(table, key=lambda line: line.lstrip().startswith(("+", "|="))):
        if not rule:
            cells = zip(*(line.strip().strip("|").split(" | ") for line in lines), strict=False)
            yield "    " + " | ".join(_prose("\n".join(part.strip() for part in cell)) for cell in cells)


def _prose(text: str) -> str:
    """Join wrapped lines, and turn the markup into what one would write today: "with" becomes `with`."""
    joined = re.sub(r"(?<=\w-)\n(?=\w)", "", text).replace("\n", " ")
    joined = re.sub(r"\s+\[\d+\]", "", joined)
    joined = _MARKUP.sub(lambda found: f"`{found['code']}`" if found["code"] else found["text"], joined)
    return " ".join(joined.split())


def _cut(blocks: Iterable[_Block]) -> Iterator[str]:
    """Gather blocks into passages, of even length within a section."""
    units = list(_units(part for block in blocks if "::=" not in block.text for part in _halved(block)))
    whole = sum(map(_size, units))
    aim = whole / max(1, round(whole / LENGTH))
    cut: list[list[_Block]] = [[]]
    for unit in units:
        if cut[-1] and _size(cut[-1]) + _size(unit) / 2 > aim:
            cut.append([])
        cut[-1] += unit
    if len(cut) > 1 and _size(cut[-1]) < LENGTH / 4:
        tail = cut.pop()
        cut[-1] += tail
    return ("\n\n".join(block.text for block in passage) for passage in cut if _size(passage) > 30)


def _halved(block: _Block) -> Iterator[_Block]:
    """Split a paragraph between sentences until no part is too long for a passage."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", block.text)
    if block.verbatim or len(block.text) <= LENGTH * 1.5 or len(sentences) == 1:
        yield block
        return
    middle = len(sentences) // 2
    yield from _halved(_Block(" ".join(sentences[:middle])))
    yield from _halved(_Block(" ".join(sentences[middle:]), leads=block.leads))


def _units(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Keep together what belongs together: an example and the sentence around it, a name and what is said about it."""
    unit: list[_Block] = []
    for block in blocks:
        goes_on = unit and (block.verbatim or unit[-1].leads or (unit[-1].verbatim and block.text[0].islower()))
        if unit and not (goes_on and _size(unit) < LENGTH * 0.7):
            yield unit
            unit = []
        unit.append(block)
    if unit:
        yield unit


def _size(blocks: list[_Block]) -> int:
    return sum(len(block.text) for block in blocks)


if __name__ == "__main__":
    for passage in passages():
        print(f"{passage.title}\n\n{passage.text}\n\n{'-' * 80}\n")
