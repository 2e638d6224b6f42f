"""Our errors as langchain-core's: what the transport raises is also a `Model...Error`, which LangChain's middleware acts on.

An error keeps its attributes and its traceback; a class that inherits from both sides takes the place of its own.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from langchain_core import exceptions as core

from together_adapters import errors
from together_adapters.errors import APIError, TogetherError


class StreamedContextLengthError(APIError):
    """The model's context overflowed, and the service said so in the middle of a stream."""

    is_retryable = False


class RefusedError(APIError):
    """The model refused to give the structured output that was asked for; the message is its explanation."""

    is_retryable = False


_COUNTERPARTS: tuple[tuple[type[TogetherError], tuple[type[Exception], ...]], ...] = (
    # ModelRefusalError is younger than the oldest langchain-core that is supported.
    (RefusedError, (getattr(core, "ModelRefusalError", core.ModelError),)),
    (StreamedContextLengthError, (core.ContextOverflowError, core.ModelAPIError)),
    (errors.ContextLengthError, (core.ContextOverflowError, core.ModelInvalidRequestError)),
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
"""The first that fits counts, so subclasses come before their bases. Settings that are wrong are no error of a model."""


class model_errors:
    """A block in which transport errors become langchain-core's as well."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(problem, TogetherError):
            # Changing the class in place keeps traceback, notes and cause, and shows no second exception.
            problem.__class__ = as_model_error(_told_apart(problem))


def _told_apart(error: TogetherError) -> type[TogetherError]:
    """The class of an error; in a stream nothing but its words says that the context overflowed."""
    if type(error) is APIError and (error.code == "context_length_exceeded" or "context length" in error.message.lower()):
        return StreamedContextLengthError
    return type(error)


def _counterpart(kind: type[TogetherError]) -> type[TogetherError]:
    if issubclass(kind, core.LangChainException):
        return kind
    bases = next((found for ours, found in _COUNTERPARTS if issubclass(kind, ours)), None)
    if bases is None:
        return kind
    body: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    # A class made here cannot be found by name, so a pickle names the one it was made from.
    body["__reduce__"] = lambda self: (_rebuilt, (kind, self.args, self.__dict__))
    return type(kind.__name__, (kind, *bases), body)


_made: dict[type[TogetherError], type[TogetherError]] = {}


def as_model_error(kind: type[TogetherError]) -> type[TogetherError]:
    """Return the class that is `kind` and langchain-core's counterpart at once: always the same one."""
    return _made.get(kind) or _made.setdefault(kind, _counterpart(kind))


def _rebuilt(kind: type[TogetherError], args: tuple[Any, ...], state: dict[str, Any]) -> TogetherError:
    error = as_model_error(kind)(*args)
    error.__dict__.update(state)
    return error
