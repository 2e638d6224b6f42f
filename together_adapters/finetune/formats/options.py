"""The options of a source, for all data formats alike, and the errors of functions that the user passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

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


class Template:
    """A user's function of a record that makes a prompt; it notes the columns that the function reads."""

    def __init__(self, function: Callable[[Mapping[str, Any]], str]) -> None:
        self._function = function
        self.columns: set[str] = set()

    def __call__(self, record: dict[str, Any]) -> str:
        return self._function(_WatchedRecord(record, self.columns))


class _WatchedRecord(dict[str, Any]):
    """A record that adds the columns that are read of it to a set."""

    def __init__(self, record: dict[str, Any], columns: set[str]) -> None:
        super().__init__(record)
        self._columns = columns

    def __getitem__(self, key: str) -> Any:
        self._columns.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._columns.add(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self._columns.update(self.keys())
        return super().__iter__()

    def items(self) -> Any:
        self._columns.update(self.keys())
        return super().items()

    def values(self) -> Any:
        self._columns.update(self.keys())
        return super().values()


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
