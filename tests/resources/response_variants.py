"""Variants of a response: every field in turn null, then missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from together_adapters import TogetherError

Path = tuple[str | int, ...]


def fields(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the path of every object field of a JSON value, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from fields(inner, (*path, key))


def without(sample: Any, path: Path, *, null: bool) -> Any:
    """Returns a copy of a value with one field null or missing."""
    variant = json.loads(json.dumps(sample))
    inner = variant
    for key in path[:-1]:
        inner = inner[key]
    if null:
        inner[path[-1]] = None
    else:
        del inner[path[-1]]
    return variant


def find_unreadable(sample: Any, read: Callable[[Any], Any], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Returns the variants that are not read, or lose a field, each with the problem.

    Args:
        sample: A full response.
        read: Returns the dump of a response.
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
    """Whether a dump equals the response; for null, a missing or empty value is equal, too."""
    if isinstance(changed_sample, dict) and isinstance(dump, dict):
        return dump.keys() <= changed_sample.keys() and all(same(dump.get(key), value) for key, value in changed_sample.items())
    if isinstance(changed_sample, list) and isinstance(dump, list):
        return len(changed_sample) == len(dump) and all(map(same, dump, changed_sample))
    if changed_sample is None:
        return dump is None or dump in ([], {})
    return isinstance(dump, bool) is isinstance(changed_sample, bool) and bool(dump == changed_sample)
