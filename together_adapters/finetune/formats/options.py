"""The options of a source, for all data formats alike, and the errors of functions that the user passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

Template = Callable[[Mapping[str, Any]], str]

CHAT_TEMPLATES: Final = ("chatml", "llama3", "llama2", "mistral")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the records of a source are converted; `load` and `from_langchain` describe what users set."""

    input_key: str | None = None
    output_key: str | None = None
    root: Path | None = None
    fetch: Callable[[str], bytes] | None = None
    template: Any = None
    join: str = "\n\n"
    form: Literal["conversation", "instruction"] | None = None
    text_dialect: str | None = None
    pair: str | None = None
    select: Callable[[Any], Any] | None = None
    collapse_prefixes: bool = True
    is_table: bool = False  # tables pad objects with nulls
    null_arguments: Literal["keep", "drop"] = "keep"
    prompt_weights: bool = True
    reasoning: Literal["keep", "drop"] = "keep"
    signed_reasoning: Literal["keep", "refuse"] = "keep"  # readable reasoning with a provider's signature
    tool_errors: Literal["keep", "drop_row"] = "keep"
    invalid_tool_calls: Literal["refuse", "keep", "drop"] = "refuse"


DEFAULTS: Final = Options()


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
