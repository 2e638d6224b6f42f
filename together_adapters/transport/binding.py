"""How one description becomes a method of both clients: descriptors that keep the builder's signature and docstring.

`method` binds a builder. On a synchronous client the method returns the answer, on an asynchronous one a coroutine, behind
`with_raw_response` the answer with its HTTP side.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import Any, ClassVar, ForwardRef, Generic, ParamSpec, TypeVar, overload

from together_adapters.transport.call import Call, Flow, RawResponse
from together_adapters.types.requests import RequestOptions

P = ParamSpec("P")
T = TypeVar("T")


class Driver(ABC):
    """Performs calls, streams and flows; what it returns depends on its flavour."""

    returns: ClassVar[str]

    @abstractmethod
    def perform(self, step: Any) -> Any:
        """Perform a `Call`, a `Streamed` or a `Flow`."""

    @property
    @abstractmethod
    def raw(self) -> Driver:
        """The driver that answers with a `RawResponse`."""


class Sync(Driver):
    """Returns answers."""

    returns = "{}"


class Async(Driver):
    """Returns coroutines."""

    returns = "Coroutine[Any, Any, {}]"


class SyncRaw(Driver):
    """Returns answers with their HTTP side."""

    returns = "RawResponse[{}]"


class AsyncRaw(Driver):
    """Returns coroutines of answers with their HTTP side."""

    returns = "Coroutine[Any, Any, RawResponse[{}]]"


D = TypeVar("D", bound=Driver, covariant=True)
R = TypeVar("R", bound=Driver, covariant=True)


class Resource(Generic[D, R]):
    """A group of endpoints on one driver `D`, whose raw counterpart is `R`."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._driver!r}>"


class method(Generic[P, T]):
    """A method from a builder of one `Call`, or from a generator function that describes a `Flow` of them."""

    def __init__(self, build: Callable[P, Call[T]] | Callable[P, Flow[T]]) -> None:
        self._build = build
        self._made: dict[str, Callable[..., Any]] = {}

    @overload
    def __get__(self, obj: None, owner: Any = None) -> Callable[P, Any]: ...
    @overload
    def __get__(self, obj: Resource[Sync, Any], owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, obj: Resource[Async, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, obj: Resource[SyncRaw, Any], owner: Any = None) -> Callable[P, RawResponse[T]]: ...
    @overload
    def __get__(self, obj: Resource[AsyncRaw, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, RawResponse[T]]]: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            return self._build
        returns = obj._driver.returns
        if returns not in self._made:
            self._made[returns] = _bound(self._build, returns)
        return MethodType(self._made[returns], obj)


def _bound(build: Callable[..., Any], returns: str) -> Callable[..., Any]:
    """Return a builder as a method that performs what it describes, with one flavour's signature."""

    def perform(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._driver.perform(build(*args, **kwargs))

    perform.__doc__ = build.__doc__
    perform.__name__ = build.__name__
    perform.__qualname__ = build.__qualname__
    perform.__module__ = build.__module__
    perform.__signature__ = _signature(build, returns)  # type: ignore[attr-defined]
    return perform


def _signature(build: Callable[..., Any], returns: str) -> inspect.Signature:
    """Return a builder's signature as a method has it, with the answer's type in place of the description's."""
    signature = inspect.signature(build)
    described = str(signature.return_annotation)
    inner = re.fullmatch(r"\w+\[(.*)\]", described)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(
        parameters=[own, *_spelled_out(signature, RequestOptions)],
        return_annotation=returns.format(inner[1] if inner else described),
    )


def shows(params: type) -> Callable[[T], T]:
    """Show the keys of a TypedDict as keyword parameters of a function that takes them as `**params`."""

    def show(function: T) -> T:
        signature = inspect.signature(function)  # type: ignore[arg-type]
        function.__signature__ = signature.replace(parameters=_spelled_out(signature, params))  # type: ignore[attr-defined]
        return function

    return show


def _spelled_out(signature: inspect.Signature, params: type) -> list[inspect.Parameter]:
    """A signature's parameters with `**params` replaced by names: the required first, the per-call options last."""
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(kept) == len(signature.parameters):
        return kept
    required: frozenset[str] = params.__required_keys__  # type: ignore[attr-defined]
    options = RequestOptions.__annotations__
    hints = sorted(params.__annotations__.items(), key=lambda item: (item[0] not in required, item[0] in options))
    return kept + [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in required else None,
            annotation=hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint,
        )
        for name, hint in hints
    ]
