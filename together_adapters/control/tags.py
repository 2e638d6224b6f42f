"""Tags of calls: names with texts, which hold in the block of a `with` statement, in its tasks and in our own threads."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, Final

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_tags: ContextVar[Mapping[int, Mapping[str, str]]] = ContextVar("together-adapters-tags", default=MappingProxyType({}))
"""The tags of each control."""


class Tags:
    """A context in which the calls under a control have tags, besides those of the contexts around it."""

    def __init__(self, owner: int, tags: Mapping[str, Any]) -> None:
        self._owner = owner
        self._tags = {name: _text(name, value) for name, value in tags.items()}
        self._tokens: list[Token[Mapping[int, Mapping[str, str]]]] = []

    def __enter__(self) -> None:
        tags = _tags.get()
        self._tokens.append(_tags.set({**tags, self._owner: {**tags.get(self._owner, _NONE), **self._tags}}))

    def __exit__(self, *exception: object) -> None:
        _tags.reset(self._tokens.pop())


def current_tags(owner: int) -> Mapping[str, str]:
    """Returns the tags of a control that hold here."""
    return _tags.get().get(owner, _NONE)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"the tag {name} must be a text, not {type(value).__name__}")
