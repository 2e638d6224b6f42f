"""Settings of a control, checked: what is no limit, no sum of dollars or no path is an error at once."""

from __future__ import annotations

import os
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

from together_adapters.errors import ConfigurationError

_MAX_DOLLARS: Final = 1e15


def rate_limit(name: str, value: Any) -> float | None:
    """Returns a limit of so many in a minute; None for none."""
    if value is None:
        return None
    if not _is_number(value) or value <= 0:
        raise ConfigurationError(f"{name} must be a number above 0, or None for what the service allows, not {value!r}")
    return _plain(value)


def concurrency_limit(value: Any) -> int | None:
    """Returns a limit of so many at the same time; None for none."""
    if value is None:
        return None
    if not isinstance(value, Integral) or not _is_number(value) or value < 1:
        raise ConfigurationError(
            f"max_concurrency must be a whole number from 1, or None for what the service allows, not {value!r}"
        )
    return int(value)


def budget_dollars(value: Any) -> float | None:
    """Returns a sum of dollars; None for no limit."""
    if value is None:
        return None
    if not _is_number(value) or not 0 <= value <= _MAX_DOLLARS:
        raise ConfigurationError(f"budget must be dollars, not {value!r}")
    return _plain(value)


def location(name: str, value: Any, what: str = "the path of a file") -> str:
    """Returns a path or a URL as text; `~` is the home folder."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"{name} must be {what}, not {value!r}")
    return str(Path(text).expanduser()) if text.startswith("~") else text


def _plain(value: Any) -> float:
    return int(value) if isinstance(value, Integral) else float(value)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # an integer that is no float
        return False
