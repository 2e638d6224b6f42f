"""How one description becomes a method of both clients: descriptors that keep the builder's signature and docstring.

`method` binds a builder. On a synchronous client the method returns the answer, on an asynchronous one a coroutine, behind
`with_raw_response` the answer with its HTTP side.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, ForwardRef, Generic, ParamSpec, TypeVar, overload

from together_adapters.transport.call import Call, Flow, RawResponse
from together_adapters.types.requests import RequestOptions

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


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
    """A group of endpoints on one driver `D`, whose raw counterpart is `R`.

    A subclass declares the type of `with_raw_response`, which is itself on `R`: the type system cannot say so here.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    if not TYPE_CHECKING:

        @property
        def with_raw_response(self):
            """The same methods; each returns a `RawResponse`: the result with status and headers."""
            return type(self)(self._driver.raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._driver!r}>"


class method(Generic[P, T]):
    """A method from a builder of one `Call`, or from a generator function that describes a `Flow` of them."""

    def __init__(self, build: Callable[P, Call[T]] | Callable[P, Flow[T]], *, defaults: Mapping[str, Any] = {}) -> None:
        """Bind a builder.

        Args:
            build: The builder.
            defaults: Defaults of keywords that come from a TypedDict, for the signature; None where there is none.
        """
        self._build = build
        self._defaults = defaults
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
            self._made[returns] = _bound(self._build, returns, self._defaults)
        return MethodType(self._made[returns], obj)


def _bound(build: Callable[..., Any], returns: str, defaults: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a builder as a method that performs what it describes, with one flavour's signature."""

    def perform(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._driver.perform(build(*args, **kwargs))

    perform.__doc__ = build.__doc__
    perform.__name__ = build.__name__
    perform.__qualname__ = build.__qualname__
    perform.__module__ = build.__module__
    perform.__signature__ = _signature(build, returns, defaults)  # type: ignore[attr-defined]
    return perform


def _signature(build: Callable[..., Any], returns: str, defaults: Mapping[str, Any]) -> inspect.Signature:
    """Return a builder's signature as a method has it, with the type of the result in place of the description's."""
    signature = inspect.signature(build)
    described = str(signature.return_annotation)
    inner = re.fullmatch(r"\w+\[(.*)\]", described)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(
        parameters=[own, *_keywords(build, defaults)], return_annotation=returns.format(inner[1] if inner else described)
    )


def expand_keywords(function: F, defaults: Mapping[str, Any] = {}) -> F:
    """Decorates a function with `**params: Unpack[...]`, so that `help` and `inspect.signature` name every keyword."""
    function.__signature__ = inspect.signature(function).replace(  # type: ignore[attr-defined]
        parameters=_keywords(function, defaults)
    )
    return function


def _keywords(function: Callable[..., Any], defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Return the parameters with the keys of an unpacked TypedDict in place of `**params`: required first, per-call options last."""
    parameters = [*inspect.signature(function).parameters.values()]
    unpacked = re.fullmatch(r"Unpack\[(\w+)\]", str(parameters[-1].annotation)) if parameters else None
    if unpacked is None:
        return parameters
    params = function.__globals__[unpacked[1]]
    required, options = params.__required_keys__, RequestOptions.__annotations__
    hints = sorted(params.__annotations__.items(), key=lambda item: (item[0] not in required, item[0] in options))
    return parameters[:-1] + [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in required else defaults.get(name),
            annotation=hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint,
        )
        for name, hint in hints
    ]
