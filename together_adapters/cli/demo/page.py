"""What the demo prints: an answer as it arrives, its sources, and what the library did. Plain text where stdout is no terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final

from together_adapters.cli.chat.reply import LineBreaks
from together_adapters.cli.terminal import bold, has_styles, is_terminal, printable, spinner, write

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from together_adapters.demo.citations import Source

_LABEL_WIDTH: Final = 12
_MAX_WIDTH: Final = 100
_MIN_WIDTH: Final = 20
_PIPE_WIDTH: Final = 80
# Colours of the 16 that every theme has; black on yellow reads well on light and on dark.
_LABEL: Final = "bold"
_HIGHLIGHT: Final = "black on yellow"
_CITATION: Final = "\x1b[1;36m{}\x1b[22;39m"
_ASCII: Final = str.maketrans(
    {"\u2014": "--", "\u2013": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "...", "\u2022": "*"}
)


class Page:
    """Prints in two columns, names and what belongs to them, or nothing if it is quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._is_terminal = is_terminal(sys.stdout)
        self._width = min(shutil.get_terminal_size().columns, _MAX_WIDTH) if self._is_terminal else _PIPE_WIDTH
        self._has_styles = has_styles()
        self._is_unicode = self._is_terminal and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        system = "auto" if self._has_styles else None
        return Console(color_system=system, force_terminal=self._is_terminal, width=self._width, highlight=False)  # type: ignore[arg-type]

    def line(self, name: str, text: str, style: str = "") -> None:
        """Prints a text behind its name."""
        from rich.text import Text

        self._print(name, Text(self._clean(text), style))

    def heading(self, text: str) -> None:
        """Prints a heading after an empty line."""
        if not self._quiet:
            write(f"\n{bold(text)}\n")

    def gap(self) -> None:
        """Prints an empty line."""
        if not self._quiet:
            write("\n")

    def stream(self, chunks: Iterable[str]) -> str:
        """Prints a text as it arrives; returns it."""
        iterator = iter(chunks)
        with spinner("Waiting for the answer"):
            text = next((chunk for chunk in iterator if chunk.strip()), "").lstrip()
        lines = LineBreaks(self._width)
        self._write(lines.feed(self._clean(text)))
        try:
            for chunk in iterator:
                text += chunk
                self._write(lines.feed(self._clean(chunk)))
        finally:  # an error has a line of its own
            self._write(lines.end() + "\n")
        return text.strip()

    def source(self, source: Source) -> None:
        """Prints a passage with the sentences that are cited."""
        from rich.text import Text

        self._print(f"[{source.number}]", Text(self._clean(source.title), _LABEL))
        self._print("", self._excerpt(source))
        self.gap()

    def _excerpt(self, source: Source) -> Text:
        from rich.text import Text

        text = Text()
        excerpt = source.excerpt
        for previous, sentence, following in zip((None, *excerpt[:-1]), excerpt, (*excerpt[1:], None), strict=True):
            is_first = sentence.is_cited and not (previous and previous.is_cited)
            is_last = sentence.is_cited and not (following and following.is_cited)
            style = _HIGHLIGHT if sentence.is_cited else "dim"
            if previous:
                gap = "\n" if previous.is_example or sentence.is_example else " "
                text.append(gap, "" if is_first else style)
            first, last = ("", "") if self._has_styles else (">>" * is_first, "<<" * is_last)
            text.append(f"{first}{self._clean(sentence.text)}{last}", style)
        return text

    def _print(self, name: str, text: Text) -> None:
        """Prints a name and a text beside it, without spaces at the ends of lines."""
        from rich.text import Text

        if self._quiet:
            return
        for line in text.wrap(self._console, max(self._width - _LABEL_WIDTH, _MIN_WIDTH)):
            line.rstrip()
            self._console.print(Text.assemble((name.ljust(_LABEL_WIDTH), _LABEL), line), soft_wrap=True)
            name = ""

    def _write(self, text: str) -> None:
        if text and not self._quiet:
            write(self._with_citations(text) if self._has_styles else text)

    def _with_citations(self, text: str) -> str:
        from together_adapters.demo.citations import MARK

        return MARK.sub(lambda mark: _CITATION.format(mark[0]), text)

    def _clean(self, text: str) -> str:
        """Returns a text without control characters; without typographic ones for programs, and for terminals that have none."""
        return printable(text) if self._is_unicode else printable(text).translate(_ASCII)
