"""Variants of an answer: every field in turn null, then missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from together_adapters import TogetherError

Path = tuple[str | int, ...]


def fields(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every object field of a JSON value, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from fields(inner, (*path, key))


def without(sample: Any, path: Path, *, null: bool) -> Any:
    """A copy of a value with one field null or missing."""
    changed = json.loads(json.dumps(sample))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if null:
        inner[path[-1]] = None
    else:
        del inner[path[-1]]
    return changed


def unread(sample: Any, read: Callable[[Any], Any], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """The gaps that a reader does not take, or loses something over, each with what happens; none when all is well.

    Args:
        sample: A full answer.
        read: Gives the dump of an answer that was sent.
        but: Fields that may not be missing.
    """
    problems = {}
    for path in fields(sample):
        for null in (True, False):
            sent = without(sample, path, null=null)
            name = f"{'.'.join(map(str, path))} {'null' if null else 'missing'}"
            try:
                if path[-1] not in but and not same(dumped := read(sent), sent):
                    problems[name] = f"read as {dumped}"
            except TogetherError as error:
                problems[name] = str(error)
    return problems


def same(dumped: Any, sent: Any) -> bool:
    """Whether a dump says what was sent; where null was sent, nothing at all or an empty value says the same."""
    if isinstance(sent, dict) and isinstance(dumped, dict):
        return dumped.keys() <= sent.keys() and all(same(dumped.get(key), value) for key, value in sent.items())
    if isinstance(sent, list) and isinstance(dumped, list):
        return len(sent) == len(dumped) and all(map(same, dumped, sent))
    if sent is None:
        return dumped is None or dumped in ([], {})
    return isinstance(dumped, bool) is isinstance(sent, bool) and bool(dumped == sent)
