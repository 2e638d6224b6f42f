"""The library's errors as langchain-core's `Model...Error`s, which LangChain's middleware handles.

An error keeps its attributes and its traceback; its class is replaced by one that inherits from both.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from langchain_core import exceptions as core

from together_adapters import errors
from together_adapters.errors import APIError, ContextLengthError, TogetherError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


class StreamedContextLengthError(ContextLengthError):
    """The service reported an exceeded context length in the middle of a stream."""

    is_retryable = False


class RefusedError(APIError):
    """The model refused to give structured output, or a content filter has stopped it; the message is the explanation.

    Attributes:
        raw_message: The response, as `ModelRefusalError` of langchain-core has it.
    """

    is_retryable = False
    raw_message: BaseMessage | None = None


_COUNTERPARTS: tuple[tuple[type[TogetherError], tuple[type[Exception], ...]], ...] = (
    # The oldest supported langchain-core has no ModelRefusalError.
    (RefusedError, (getattr(core, "ModelRefusalError", core.ModelError),)),
    (StreamedContextLengthError, (core.ContextOverflowError, core.ModelAPIError)),
    (ContextLengthError, (core.ContextOverflowError, core.ModelInvalidRequestError)),
    (errors.BudgetExceededError, (core.ModelError,)),
    (errors.AuthenticationError, (core.ModelAuthenticationError,)),
    (errors.PermissionDeniedError, (core.ModelPermissionDeniedError,)),
    (errors.NotFoundError, (core.ModelNotFoundError,)),
    (errors.BadRequestError, (core.ModelInvalidRequestError,)),
    (errors.UnprocessableEntityError, (core.ModelInvalidRequestError,)),
    (errors.RateLimitError, (core.ModelRateLimitError,)),
    (errors.InternalServerError, (core.ModelAPIError,)),
    (errors.APIStatusError, (core.ModelError,)),
    (errors.APIError, (core.ModelAPIError,)),
    (errors.APITimeoutError, (core.ModelTimeoutError,)),
    (errors.APIConnectionError, (core.ModelConnectionError,)),
)
"""The first match counts, so subclasses come before their bases. A ConfigurationError is not an error of a model."""


class model_errors:
    """A context in which the library's errors become langchain-core's as well."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, TogetherError):
            # Changing the class in place keeps traceback, notes and cause, and shows no second exception.
            error.__class__ = as_model_error(_class_of(error))


def _class_of(error: TogetherError) -> type[TogetherError]:
    """Return the class of an error; an exceeded context length without a status was reported in a stream."""
    if type(error) is ContextLengthError and error.status_code is None:
        return StreamedContextLengthError
    return type(error)


_classes: dict[type[TogetherError], type[TogetherError]] = {}


def as_model_error(kind: type[TogetherError]) -> type[TogetherError]:
    """Return the class that inherits from `kind` and from langchain-core's counterpart; always the same one."""
    if kind in _classes:
        return _classes[kind]
    bases = next((counterparts for base, counterparts in _COUNTERPARTS if issubclass(kind, base)), None)
    if bases is None or issubclass(kind, core.LangChainException):
        return kind
    body: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    # pickle cannot find the new class by name, so it stores the original one.
    body["__reduce__"] = lambda self: (_unpickle, (kind, self.args, self.__dict__))
    return _classes.setdefault(kind, type(kind.__name__, (kind, *bases), body))


def _unpickle(kind: type[TogetherError], args: tuple[Any, ...], state: dict[str, Any]) -> TogetherError:
    error = as_model_error(kind)(*args)
    error.__dict__.update(state)
    return error
