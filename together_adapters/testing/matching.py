"""Compares requests with recorded ones, and says how the nearest one differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, Final, NamedTuple

from together_adapters.testing.exchange import Exchange, path_of
from together_adapters.testing.redaction import MARK

_ABSENT: Final = "nothing"
_CONTEXT: Final = 30  # characters before the first that differs
_EXCERPT: Final = 100
_FOLDER: Final = re.compile(r"(?:\[\w+ folder\]|(?<![\w/]))(?:/[^\s/\"'<>|]+)*/(?=[^\s/])")
_PARTS: Final = ("query", "json", "form", "text", "sha256")
_MAX_COMPARED: Final = 2000  # characters of texts whose similarity is measured


class RecordingMissError(AssertionError):
    """A request that no recording answers. An AssertionError, so that no program takes it for a failure of the service."""


class Difference(NamedTuple):
    """A place where a request differs from a recorded one."""

    path: str
    expected: Any
    current: Any

    def __str__(self) -> str:
        expected, current = _excerpts(self.expected, self.current)
        return f"{self.path} differs\n    recorded: {expected}\n    current:  {current}"


class _Absent:
    def __repr__(self) -> str:
        return _ABSENT


ABSENT: Final = _Absent()


def differences(expected: Any, current: Any, path: str = "") -> Iterator[Difference]:
    """Yields where a value differs from a recorded one, whose redacted parts match anything."""
    if expected == MARK:
        return
    if isinstance(expected, str) and isinstance(current, str):
        if expected != current and not (MARK in expected and _pattern(expected).fullmatch(current)):
            yield Difference(path, expected, current)
    elif isinstance(expected, Mapping) and isinstance(current, Mapping):
        for name in dict.fromkeys([*expected, *current]):
            yield from differences(expected.get(name, ABSENT), current.get(name, ABSENT), f"{path}.{name}" if path else name)
    elif isinstance(expected, list) and isinstance(current, list):
        for index in range(max(len(expected), len(current))):
            yield from differences(_item(expected, index), _item(current, index), f"{path}[{index}]")
    elif expected != current or isinstance(expected, bool) is not isinstance(current, bool):
        yield Difference(path, expected, current)


class Index:
    """Finds the exchanges of a request. Headers and the host do not count.

    Most are found by a key; those with redacted parts, which match anything, are compared one by one.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = exchanges
        self._by_key: dict[str, list[Exchange]] = {}
        self._patterns: list[Exchange] = []
        for exchange in exchanges:
            key = _key(exchange.request)
            (self._patterns if MARK in key else self._by_key.setdefault(key, [])).append(exchange)

    def find(self, request: Mapping[str, Any]) -> list[Exchange]:
        """Returns the exchanges of a request, in their order."""
        matches = self._by_key.get(_key(request), []) + [exchange for exchange in self._patterns if _is_match(exchange, request)]
        if not matches:  # 1 and 1.0 have two keys
            matches = [exchange for exchange in self._exchanges if _is_match(exchange, request)]
        return sorted(matches, key=lambda exchange: exchange.number)


def _key(request: Mapping[str, Any]) -> str:
    parts = [request["method"], path_of(request), *(request.get(part) for part in _PARTS)]
    return json.dumps(parts, sort_keys=True, ensure_ascii=False)


def _is_match(exchange: Exchange, request: Mapping[str, Any]) -> bool:
    return next(_request_differences(exchange, request), None) is None


def nearest_exchange(exchanges: Iterable[Exchange], request: Mapping[str, Any]) -> Exchange | None:
    """Returns the exchange that is the most like a request."""
    return min(exchanges, key=lambda exchange: _distance(exchange, request), default=None)


def describe_miss(nearest: Exchange | None, request: Mapping[str, Any]) -> str:
    """Returns the nearest exchange and its first difference from a request, as text."""
    if nearest is None:
        return "the recording is empty"
    first, *others = _request_differences(nearest, request)
    more = f"\n    and {len(others)} more difference{'s' * (len(others) > 1)}" if others else ""
    return f"the nearest is {nearest}, where {first}{more}"


def describe_folder(nearest: Exchange, request: Mapping[str, Any]) -> str:
    """Says what to do if nothing but folders differs, and nothing otherwise."""
    pairs = [(expected, current) for _, expected, current in _request_differences(nearest, request)]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        return ""
    if any(_FOLDER.sub("", expected) != _FOLDER.sub("", current) for expected, current in pairs):
        return ""
    folders = zip(_FOLDER.findall(pairs[0][0]), _FOLDER.findall(pairs[0][1]), strict=False)
    expected, current = next(((pair[0].split("/"), pair[1].split("/")) for pair in folders if pair[0] != pair[1]), ([], []))
    while expected and expected[-1:] == current[-1:]:
        expected, current = expected[:-1], current[:-1]
    folder, substitute = "/".join(expected), "/".join(current)
    substitute = substitute if substitute.startswith("[") else MARK
    if not folder:
        return ""
    return f"Only folders differ: in the file, write {substitute} for {folder!r}; when you record, redact=[{re.escape(folder)!r}] does it"


def _request_differences(exchange: Exchange, request: Mapping[str, Any]) -> Iterator[Difference]:
    expected = exchange.request
    if expected["method"] != request["method"]:
        yield Difference("method", expected["method"], request["method"])
    yield from differences(path_of(expected), path_of(request), "path")
    for part in _PARTS:
        if part in expected or part in request:
            yield from differences(expected.get(part, ABSENT), request.get(part, ABSENT), part)


def _distance(exchange: Exchange, request: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """Returns how far a request is from that of an exchange: first by method and path, then by what differs and how much."""
    differing = list(_request_differences(exchange, request))
    is_elsewhere = any(difference.path in ("method", "path") for difference in differing)
    return is_elsewhere, exchange.is_used, sum(map(_weight, differing))


def _weight(difference: Difference) -> float:
    expected, current = difference.expected, difference.current
    if isinstance(expected, str) and isinstance(current, str):
        return 1 - SequenceMatcher(None, expected[:_MAX_COMPARED], current[:_MAX_COMPARED], autojunk=False).quick_ratio() / 2
    return 1


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


@lru_cache(maxsize=256)
def _pattern(expected: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, expected.split(MARK))), re.DOTALL)


def _excerpts(expected: Any, current: Any) -> tuple[str, str]:
    """Returns two values as far as a message shows them; of long texts the part where they differ."""
    start = 0
    if isinstance(expected, str) and isinstance(current, str) and max(len(expected), len(current)) > _EXCERPT:
        equal = next((index for index, pair in enumerate(zip(expected, current, strict=False)) if pair[0] != pair[1]), _EXCERPT)
        start = max(equal - _CONTEXT, 0)
    return _excerpt(expected, start), _excerpt(current, start)


def _excerpt(value: Any, start: int) -> str:
    if isinstance(value, str):
        end = start + _EXCERPT
        return f"{'...' * (start > 0)}{value[start:end]!r}{'...' * (len(value) > end)}"
    text = repr(value)
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."
