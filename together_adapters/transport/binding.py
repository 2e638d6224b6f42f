"""How one description becomes a method of both clients: descriptors that keep the builder's signature and docstring.

`one` binds a builder of a `Call`, `flow` a generator function. On a synchronous client the method returns the answer, on an
asynchronous one a coroutine, behind `with_raw_response` the answer with its HTTP side.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import Any, ClassVar, ForwardRef, Generic, ParamSpec, TypeVar, overload

from together_adapters.transport.call import Call, Flow, RawResponse

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


class one(Generic[P, T]):
    """A method from a builder of one `Call`."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._methods = _methods(build)

    @overload
    def __get__(self, obj: None, owner: Any = None) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, obj: Resource[Sync, Any], owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, obj: Resource[Async, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, obj: Resource[SyncRaw, Any], owner: Any = None) -> Callable[P, RawResponse[T]]: ...
    @overload
    def __get__(self, obj: Resource[AsyncRaw, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, RawResponse[T]]]: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self._methods(obj)


class flow(Generic[P, T]):
    """A method from a generator that describes several exchanges."""

    def __init__(self, build: Callable[P, Flow[T]]) -> None:
        self._methods = _methods(build)

    @overload
    def __get__(self, obj: None, owner: Any = None) -> Callable[P, Flow[T]]: ...
    @overload
    def __get__(self, obj: Resource[Sync, Any], owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, obj: Resource[Async, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, obj: Resource[SyncRaw, Any], owner: Any = None) -> Callable[P, RawResponse[T]]: ...
    @overload
    def __get__(self, obj: Resource[AsyncRaw, Any], owner: Any = None) -> Callable[P, Coroutine[Any, Any, RawResponse[T]]]: ...
    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self._methods(obj)


def _methods(build: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return what binds `build` to an object; one function is kept for each flavour, with that flavour's signature."""
    made: dict[str, Callable[..., Any]] = {}

    def bind(obj: Any) -> Any:
        if obj is None:
            return build
        returns = obj._driver.returns
        if returns not in made:
            made[returns] = _method(build, returns)
        return MethodType(made[returns], obj)

    return bind


def _method(build: Callable[..., Any], returns: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._driver.perform(build(*args, **kwargs))

    method.__doc__ = build.__doc__
    method.__name__ = build.__name__
    method.__qualname__ = build.__qualname__
    method.__module__ = build.__module__
    method.__signature__ = method_signature(build, returns)  # type: ignore[attr-defined]
    return method


def method_signature(build: Callable[..., Any], returns: str) -> inspect.Signature:
    """Return a builder's signature as a method has it, with the answer's type in place of the description's."""
    signature = inspect.signature(build)
    described = str(signature.return_annotation)
    inner = re.fullmatch(r"\w+\[(.*)\]", described)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(
        parameters=[own, *signature.parameters.values()],
        return_annotation=returns.format(inner[1] if inner else described),
    )


def shows(params: type) -> Callable[[T], T]:
    """Show the keys of a TypedDict as keyword parameters of a function that takes them as `**params`."""

    def show(function: T) -> T:
        required: frozenset[str] = params.__required_keys__  # type: ignore[attr-defined]
        shown = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if name in required else None,
                annotation=_shown_hint(hint),
            )
            for name, hint in sorted(_annotations(params).items(), key=lambda item: item[0] not in required)
        ]
        signature = inspect.signature(function)  # type: ignore[arg-type]
        kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
        return function

    return show


def _annotations(params: type) -> dict[str, Any]:
    """The keys of a TypedDict and of its bases, its own first. Annotations stay unevaluated: evaluating them is slow."""
    return dict(params.__annotations__)


def _shown_hint(hint: Any) -> Any:
    text = hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint
    return re.sub(r"^Required\[(.*)\]$", r"\1", text) if isinstance(text, str) else text
