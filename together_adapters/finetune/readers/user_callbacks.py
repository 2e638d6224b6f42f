"""Functions of the user's, whose errors reach the user, while a record that a format cannot convert is only refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")

CONVERSION_ERRORS: Final = (AttributeError, TypeError, KeyError, IndexError, ValueError, RecursionError)
"""The exceptions of a format's code for a record with unexpected types somewhere deep within."""


class UserCallbackError(Exception):
    """Carries an error of a user's function through the code of a format."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@overload
def user_callback(function: None) -> None: ...


@overload
def user_callback(function: Callable[P, R]) -> Callable[P, R]: ...


def user_callback(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Return a function of the user's, whose errors are raised as `UserCallbackError`."""
    if function is None:
        return None

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise UserCallbackError(error) from error

    return wrapper
