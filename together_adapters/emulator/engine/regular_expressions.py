"""Regular expressions of requests: those of the standard library, matched within a limit of time, because some backtrack for ever."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Final

import regex  # type: ignore[import-untyped,unused-ignore]

_parser: Final[Any] = importlib.import_module("re._parser")
_MAX_PATTERN, _MAX_SIZE, _MAX_SECONDS = 20_000, 100_000, 0.25


class Regex:
    """A pattern with its parse tree. Raises `ValueError` where it is invalid, and where a match takes too long."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _MAX_PATTERN:
            raise ValueError("the pattern is too long")
        try:
            self.tree = _parser.parse(pattern)
            if _size(self.tree) > _MAX_SIZE:  # `regex` has a copy of an expression for each repetition that it requires
                raise ValueError("the pattern requires too long a text")
            self._compiled: Any = regex.compile(pattern)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern cannot be compiled: {str(error)[:200]}") from None

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self.is_found(text, "fullmatch")

    def is_found(self, text: str, method: str = "search") -> bool:
        """Whether the pattern matches a part of the text."""
        try:
            return getattr(self._compiled, method)(text, timeout=_MAX_SECONDS) is not None
        except TimeoutError:
            raise ValueError("the pattern is too complex") from None


def _size(tree: Any) -> int:
    """How many nodes a parse tree has, those of required repetitions each time."""
    if isinstance(tree, tuple) and len(tree) == 3 and isinstance(tree[2], _parser.SubPattern):
        return max(1, int(tree[0])) * _size(tree[2])
    return 1 + sum(map(_size, tree)) if isinstance(tree, list | tuple | _parser.SubPattern) else 1


compile_regex = lru_cache(maxsize=512)(Regex)
