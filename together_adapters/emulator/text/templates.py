"""Templates over the columns of a row: of Jinja2, what names a column, or a part of one, in `{{ }}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_FIELD: Final = re.compile(r"\{\{(.*?)(\}\}|\Z)", re.DOTALL)
_PATH: Final = re.compile(r"""\s*([^\W\d][\w.]*)((?:\.\w+|\[\d+\]|\['[^']*'\]|\["[^"]*"\])*)\s*""")
_STEP: Final = re.compile(r"[^\[\]'\".]+")


def fill_template(template: str, row: Mapping[str, Any]) -> str:
    """Inserts columns of a row; raises a `ValueError` for what the row does not have, or what this is not able to read."""
    return _FIELD.sub(lambda match: _text(_field(match, row)), template)


def _field(match: re.Match[str], row: Mapping[str, Any]) -> Any:
    if not match[2]:
        raise ValueError(f"The template has no }}}} after {match[0][:60]!r}.")
    path = _PATH.fullmatch(match[1])
    if path is None:
        raise ValueError(f"The emulator reads names of columns in templates, such as {{{{prompt}}}}, but not {match[0]!r}.")
    name = path[1] + path[2]
    if name in row:
        return row[name]
    column, *steps = _STEP.findall(name)
    if column not in row:
        raise ValueError(f"The template names the column {column!r}, but a row has only {', '.join(map(repr, row))}.")
    value = row[column]
    for step in steps:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"The template has {match[0]!r}, but in a row {column!r} has no {step!r}.") from None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
