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
    """How the records of a source are converted.

    Attributes:
        input_key: The field that holds the question, where a record has several.
        output_key: The field that holds the answer.
        root: The folder below which images named by path are read; None reads none.
        fetch: Called with the URL of an image, returns its bytes; None refuses such images.
        template: Makes the text of a prompt: from a record of Alpaca, or a question with its contexts.
        join: The text between the instruction of an Alpaca record and its input.
        form: Whether a question with its answer becomes a conversation or an instruction; None takes the format's own.
        text_dialect: The chat template that rendered texts were made with.
        pair: `best_vs_worst` makes a preference of answers that are scored or labelled.
        select: Called with each call of a trace; False drops it.
        collapse_prefixes: Whether to drop the calls of a trace whose conversation a longer call continues.
        is_table: Whether the source is a table, which pads objects with nulls.
        null_arguments: Whether nulls in arguments and schemas of tools, which tables add, are kept or dropped.
        prompt_weights: Whether the messages of a prompt that is a chat get the weight 0.
        reasoning: Whether the reasoning of a framework's messages is kept, or dropped and counted.
        signed_reasoning: Whether readable reasoning that its provider signed is kept or refused.
        tool_errors: Whether LangChain's conversations in which a tool failed are kept and counted, or dropped.
        invalid_tool_calls: Whether calls that LangChain could not parse refuse the conversation, are kept, or dropped.
    """

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
    is_table: bool = False
    null_arguments: Literal["keep", "drop"] = "keep"
    prompt_weights: bool = True
    reasoning: Literal["keep", "drop"] = "keep"
    signed_reasoning: Literal["keep", "refuse"] = "keep"
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
