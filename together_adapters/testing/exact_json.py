"""JSON that is written again byte for byte as it was: numbers keep their digits, and one of a few styles gives the rest."""

from __future__ import annotations

import json
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, Final, NamedTuple


class Number(float):
    """A number that is no integer, with the digits of its source."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return Number, (self.text,)


class Style(NamedTuple):
    """How a program writes JSON."""

    name: str
    comma: str
    colon: str
    is_ascii: bool


STYLES: Final = {
    style.name: style
    for style in (
        Style("compact", ",", ":", False),
        Style("spaced", ", ", ": ", False),
        Style("compact-ascii", ",", ":", True),
        Style("spaced-ascii", ", ", ": ", True),
    )
}
COMPACT: Final = "compact"
"""The style of whoever says none, which is that of most services."""


def loads(text: str | bytes) -> Any:
    """Parses JSON; a ValueError for anything else, such as NaN."""
    return json.loads(text, parse_float=Number, parse_constant=_refuse)


def dumps(value: Any, style: str = COMPACT) -> str:
    """Writes JSON in a style."""
    parts: list[str] = []
    _write(value, STYLES[style], parts)
    return "".join(parts)


def exact(text: str) -> tuple[Any, str] | None:
    """Returns the value of a JSON object or array and the style that gives its text again; None if there is none."""
    try:
        value = loads(text)
        if not isinstance(value, dict | list):
            return None
        dumps(value).encode()  # half a surrogate pair is in no file
    except (ValueError, RecursionError):
        return None
    return next(((value, style) for style in STYLES if dumps(value, style) == text), None)


def _write(value: Any, style: Style, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring_ascii(value) if style.is_ascii else encode_basestring(value))
    elif isinstance(value, Number):
        parts.append(value.text)
    elif isinstance(value, dict):
        parts.append("{")
        for index, (name, item) in enumerate(value.items()):
            parts.append(style.comma if index else "")
            _write(str(name), style, parts)
            parts.append(style.colon)
            _write(item, style, parts)
        parts.append("}")
    elif isinstance(value, list):
        parts.append("[")
        for index, item in enumerate(value):
            parts.append(style.comma if index else "")
            _write(item, style, parts)
        parts.append("]")
    else:
        parts.append(json.dumps(value))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
