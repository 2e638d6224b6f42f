"""Functions of the user's, whose errors are theirs to see, while a record that a dialect stumbles over is only refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")

STUMBLES: Final = (AttributeError, TypeError, KeyError, IndexError, ValueError, RecursionError)
"""What the code of a dialect raises for a record that has the wrong form somewhere deep within."""


class RaisedByUser(Exception):
    """Carries an error out of a dialect."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@overload
def theirs(function: None) -> None: ...


@overload
def theirs(function: Callable[P, R]) -> Callable[P, R]: ...


def theirs(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return a function of the user's, whose errors are carried."""
    if function is None:
        return None

    @wraps(function)
    def carried(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except Exception as error:
            raise RaisedByUser(error) from error

    return carried
