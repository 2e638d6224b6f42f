"""Regular expressions of requests: those of the standard library, matched within a limit of time, because some backtrack for ever."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Final

import regex  # type: ignore[import-untyped,unused-ignore]

_parser: Final[Any] = importlib.import_module("re._parser")
_MAX_PATTERN: Final = 20_000
_MAX_SECONDS: Final = 0.25


class Regex:
    """A pattern with its parse tree. Raises `ValueError` where it is invalid, and where a match takes too long."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _MAX_PATTERN:
            raise ValueError("the pattern is too long")
        try:
            self.tree = _parser.parse(pattern)
            self._compiled: Any = regex.compile(pattern)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern cannot be compiled: {str(error)[:200]}") from None

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._within_limit(self._compiled.fullmatch, text)

    def is_found(self, text: str) -> bool:
        """Whether the pattern matches a part of the text."""
        return self._within_limit(self._compiled.search, text)

    def _within_limit(self, find: Any, text: str) -> bool:
        try:
            return find(text, timeout=_MAX_SECONDS) is not None
        except TimeoutError:
            raise ValueError("the pattern is too complex") from None


compile_regex = lru_cache(maxsize=512)(Regex)
