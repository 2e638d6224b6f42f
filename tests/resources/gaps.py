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
    variant = json.loads(json.dumps(sample))
    inner = variant
    for key in path[:-1]:
        inner = inner[key]
    if null:
        inner[path[-1]] = None
    else:
        del inner[path[-1]]
    return variant


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
            changed_sample = without(sample, path, null=null)
            name = f"{'.'.join(map(str, path))} {'null' if null else 'missing'}"
            try:
                if path[-1] not in but and not same(dump := read(changed_sample), changed_sample):
                    problems[name] = f"read as {dump}"
            except TogetherError as error:
                problems[name] = str(error)
    return problems


def same(dump: Any, changed_sample: Any) -> bool:
    """Whether a dump says what was sent; where null was sent, nothing at all or an empty value says the same."""
    if isinstance(changed_sample, dict) and isinstance(dump, dict):
        return dump.keys() <= changed_sample.keys() and all(same(dump.get(key), value) for key, value in changed_sample.items())
    if isinstance(changed_sample, list) and isinstance(dump, list):
        return len(changed_sample) == len(dump) and all(map(same, dump, changed_sample))
    if changed_sample is None:
        return dump is None or dump in ([], {})
    return isinstance(dump, bool) is isinstance(changed_sample, bool) and bool(dump == changed_sample)
