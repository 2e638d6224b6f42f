"""The pages of the repository: their examples, their commands and their links.

A block that says `python` runs; one that says `py` is not whole, or needs what no test has. The blocks of a page run one after another and
see the names of those before, as the cells of a notebook do; those of a framework do not see the names of the other's. A `text` block right behind one is what it prints.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from tests.requirements import imports

ROOT = Path(__file__).parents[2]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*SITE, *(ROOT / name for name in ("README.md", "README.zh.md", "MIGRATION.md", "cookbook/README.md"))]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n*```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE_COMMAND = re.compile(r"`(together-adapters [^`\n]+)`")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])+\]\(([^)\s]+)\)")
_LOCAL = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+/v1")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass
class Example:
    """A block of a page, its place there, and what it prints, where the page says so."""

    source: str
    place: str
    output: str | None

    @property
    def names_local_server(self) -> bool:
        return _LOCAL.search(self.source) is not None

    def frameworks(self, own: dict[str, dict[str, Any]]) -> set[str]:
        """The frameworks that it imports, and those whose names it goes on with, if it imports none."""
        roots = {name.partition(".")[0].partition("_together")[0].partition("_core")[0] for name in imports(self.source)}
        used = {node.id for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.Name)}
        return own.keys() & roots or {name for name, names in own.items() if names.keys() & used}

    def run(self, local_server: str, names: dict[str, Any]) -> None:
        """Runs the block; `await` may stand outside of functions. For each server of this machine that it names, one stands in."""
        names["__name__"] = "__main__"
        source = _LOCAL.sub(local_server, self.source)
        code = compile(source, self.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        assert isinstance(code, CodeType)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))
        else:
            exec(code, names)


def examples(page: Path) -> list[Example]:
    """The blocks of a page that run."""
    text = page.read_text("utf-8")
    return [
        Example(match[1], f"{name_of(page)}:{text[: match.start()].count(chr(10)) + 1}", match[2])
        for match in _EXAMPLE.finditer(text)
    ]


def shell_blocks(page: Path) -> list[str]:
    """The blocks of commands of a page, without those that install."""
    blocks = _COMMANDS.findall(page.read_text("utf-8"))
    return [re.sub(r"^pip install .*\n", "", block, flags=re.MULTILINE) for block in blocks]


def commands(page: Path) -> Iterator[list[str]]:
    """The commands of ours that a page shows, as words."""
    text = page.read_text("utf-8")
    for block in (*_COMMANDS.findall(text), *_INLINE_COMMAND.findall(text)):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "together-adapters":
                yield [word for word in words if word != "&"]


def requirements(text: str) -> list[str]:
    """What a page says to install: extras of this package, and others. What a comment offers instead counts."""
    words = re.findall(r"pip install ([^\n`]*)", text)
    extras = {
        extra
        for line in words
        for names in re.findall(r"(?:together-adapters|(?<![\w-]))\[([\w,-]+)\]", line)
        for extra in names.split(",")
    }
    others = {word for line in words for word in re.findall(r"(?<![\w.\"'-])[a-z][\w-]+(?=\s|$)", line.partition("#")[0])}
    return [f"together-adapters[{','.join(sorted(extras))}]", *sorted(others)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its headings, as MkDocs and code hosts name them."""
    heads = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def links(page: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))
