"""Binds one description to both clients, keeping its signature and docstring.

`method` is a descriptor for a builder. On a synchronous client the method returns the result, on an asynchronous one a coroutine,
behind `with_raw_response` the result with its HTTP response.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, ParamSpec, TypeVar, overload

from together_adapters.transport.call import Call, Flow, RawResponse
from together_adapters.types.requests import RequestOptions, attribute_docs, split_annotation

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Driver(ABC):
    """Performs calls, streams and flows; what it returns depends on its flavour."""

    returns: ClassVar[str]
    perform: Callable[[Any], Any]  # performs a `Call`, a `StreamCall` or a `Flow`

    @property
    @abstractmethod
    def raw(self) -> Driver:
        """The driver that returns each result as a `RawResponse`; for several requests, with the response of the last."""


class Sync(Driver):
    """Returns results."""

    returns = "{}"


class Async(Driver):
    """Returns coroutines."""

    returns = "Coroutine[Any, Any, {}]"


class _RawDriver(Driver):
    """Performs steps like another driver; each result is a `RawResponse`."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.perform = driver.perform_raw

    def __repr__(self) -> str:
        return repr(self._driver)

    @property
    def raw(self) -> Driver:
        return self


class SyncRaw(_RawDriver):
    """Returns results with their HTTP response."""

    returns = "RawResponse[{}]"


class AsyncRaw(_RawDriver):
    """Returns coroutines of results with their HTTP response."""

    returns = "Coroutine[Any, Any, RawResponse[{}]]"


D = TypeVar("D", bound=Driver, covariant=True)
R = TypeVar("R", bound=Driver, covariant=True)


ELSEWHERE: Final[Mapping[str, str]] = {
    "responses": ": Together has no Responses API; use client.chat.completions.create",
    "messages": ": use client.chat.completions.create",
    "beta": ": client.chat.completions.create takes a class as response_format=, and its answer has .parsed",
    "parse": ": create takes a class as response_format=, and its answer has .parsed",
    "moderations": ": a moderation model is asked like a chat model, with client.chat.completions.create",
    "assistants": ": agents are those of LangChain and LlamaIndex, with this package's models",
    "vector_stores": ": vector stores are those of LangChain and LlamaIndex, with this package's embeddings",
    "fine_tunes": ": use client.fine_tuning",
    "finetune": ": use client.fine_tuning",
    "fine_tune": ": use client.fine_tuning",
}
"""What users of other SDKs look for, and what there is in its place."""


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

        def __getattr__(self, name: str) -> Any:
            from together_adapters.suggestions import suggestion

            names = [each for each in dir(type(self)) if not each.startswith("_")]
            hint = "" if name.startswith("_") else ELSEWHERE.get(name) or suggestion(name, names, {}) or self._hint_inside(name)
            # With a name, the interpreter would add a suggestion of its own to the traceback.
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name="")

    def _hint_inside(self, name: str) -> str:
        """Returns a hint for a name that a resource inside has."""
        resources = {each: value for each, value in vars(type(self)).items() if not each.startswith("_")}
        paths = [each for each in resources if isinstance(inner := getattr(self, each), Resource) and hasattr(type(inner), name)]
        return f" (do you mean {f'{paths[0]}.{name}'!r}?)" if paths else ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._driver!r}>"


class method(Generic[P, T]):
    """A method from a builder of one `Call`, or from a generator function that describes a `Flow` of them.

    The method's docstring is the builder's, completed by `document`.
    """

    def __init__(self, build: Callable[P, Call[T]] | Callable[P, Flow[T]], *, defaults: Mapping[str, Any] = {}) -> None:
        """Binds a builder; `defaults` are those of `expand_keywords`."""
        self._build = build
        self._defaults = defaults
        self._methods: dict[str, Callable[..., Any]] = {}
        self._names = build.__name__, build.__qualname__

    def __set_name__(self, owner: type, name: str) -> None:
        self._names = name, f"{owner.__qualname__}.{name}"

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
        returns = "{}" if obj is None else obj._driver.returns
        if returns not in self._methods:
            self._methods[returns] = self._bind(returns)
        return self._build if obj is None else MethodType(self._methods[returns], obj)

    def _bind(self, returns: str) -> Callable[..., Any]:
        """Returns the builder as a method that performs what it describes, with one flavour's signature."""
        build: Callable[..., Any] = self._build
        signature = _signature(build, returns, self._defaults)
        document(build, signature.parameters)

        @wraps(build)
        def perform(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._driver.perform(build(*args, **kwargs))

        perform.__name__, perform.__qualname__ = self._names
        perform.__signature__ = signature  # type: ignore[attr-defined]
        return perform


def _signature(build: Callable[..., Any], returns: str, defaults: Mapping[str, Any]) -> inspect.Signature:
    """Returns a builder's signature as a method has it, with the type of the result in place of the description's."""
    signature = inspect.signature(build)
    annotation = str(signature.return_annotation)
    inner = re.fullmatch(r"\w+\[(.*)\]", annotation)
    self_parameter = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(
        parameters=[self_parameter, *_keywords(build, defaults)],
        return_annotation=returns.format(inner[1] if inner else annotation),
    )


def expand_keywords(function: F, defaults: Mapping[str, Any] = {}) -> F:
    """Makes `help` and `inspect.signature` name every keyword of `**params: Unpack[...]`; optional ones default to None."""
    parameters = _keywords(function, defaults)
    function.__signature__ = inspect.signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
    document(function, [parameter.name for parameter in parameters])
    return function


def _unpacked(function: Any) -> Any:
    """Returns the TypedDict of `**params: Unpack[...]`, or None."""
    matches = [re.fullmatch(r"Unpack\[(\w+)\]", str(hint)) for hint in function.__annotations__.values()]
    return next((function.__globals__[match[1]] for match in matches if match), None)


def _keywords(function: Callable[..., Any], defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Returns the parameters with the keys of an unpacked TypedDict in place of `**params`: required first, per-call options last."""
    parameters = [*inspect.signature(function).parameters.values()]
    params = _unpacked(function)
    if params is None or hasattr(function, "__signature__"):
        return parameters
    required, options = params.__required_keys__, RequestOptions.__annotations__
    hints = sorted(params.__annotations__.items(), key=lambda item: (item[0] not in required, item[0] in options))
    return parameters[:-1] + [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if name in required else defaults.get(name),
            annotation=split_annotation(hint)[0],
        )
        for name, hint in hints
    ]


_OPTION_DOCS = attribute_docs(RequestOptions)
_ID_DOCS = dict.fromkeys(("id", "endpoint_id"), "The id, as returned by the service.")
_WAIT_DOCS = {
    "poll_interval": "The most seconds between two status requests: they come after 1, 1.5, 2.3 and so on.",
    "timeout": "Seconds until waiting ends with an `APITimeoutError`; None waits without limit. The job itself continues.",
    "progress": "Called with a `Progress` whenever the status of the job changes.",
}
_ERROR_DOCS = {
    "APIStatusError": "The service refused the request; the subclass names the reason.",
    "APIConnectionError": "No complete response arrived; an `APITimeoutError` if the time ran out.",
}


def document(function: Any, parameters: Collection[str]) -> None:
    """Adds to a function's docstring the entries that methods with request options or with `poll_interval` share.

    `Args` gets ids, keywords of a TypedDict, and the options or those of waiting; `Raises` gets the errors of a request. What the
    docstring describes itself is kept: `**options` stands for all options, `APIError` for `APIStatusError`.
    """
    if not {"poll_interval", "extra_body"} & set(parameters):
        return
    waiting = _WAIT_DOCS if "poll_interval" in parameters else {}
    docs = {**_ID_DOCS, **attribute_docs(_unpacked(function)), **_OPTION_DOCS, **waiting}
    arguments = {name: docs[name] for name in parameters if name in docs}
    doc = inspect.cleandoc(function.__doc__ or "")
    entries = {line.partition(":")[0].strip() for line in doc.splitlines()}
    if "**options" not in entries and "**params" not in entries:
        doc = _with_entries(doc, "Args", {n: t for n, t in arguments.items() if n not in entries})
    if "APIError" in entries:
        entries.add("APIStatusError")
    function.__doc__ = _with_entries(doc, "Raises", {n: t for n, t in _ERROR_DOCS.items() if n not in entries})


_SECTIONS = ("Args", "Returns", "Raises", "Warns", "Example")


def _with_entries(doc: str, section: str, entries: dict[str, str]) -> str:
    """Returns a docstring with entries at the end of a section, which is added where it is missing."""
    if not entries:
        return doc
    later_sections = _SECTIONS[_SECTIONS.index(section) + 1 :]
    end = min((i for later in later_sections if (i := doc.find(f"\n\n{later}:\n")) >= 0), default=len(doc))
    header = "" if f"\n\n{section}:\n" in doc else f"\n\n{section}:"
    return doc[:end] + header + "".join(f"\n    {name}: {text}" for name, text in entries.items()) + doc[end:]
