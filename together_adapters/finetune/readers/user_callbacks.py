"""Functions of the user, whose errors are raised, while errors of a format's code only refuse the record."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

CONVERSION_ERRORS: Final = (AttributeError, TypeError, KeyError, IndexError, ValueError, RecursionError)
"""The exceptions of a format's code for a record with unexpected types somewhere deep within."""


class UserCallbackError(Exception):
    """Wraps an error of a user's function until `load` raises the error itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def user_callback(function: F | None) -> F | None:
    """Wraps a function of the user so that its errors are raised as `UserCallbackError`."""
    if function is None:
        return None

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise UserCallbackError(error) from error

    return cast("F", wrapper)
