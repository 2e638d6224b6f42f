"""Who observes calls: nobody, unless telemetry is switched on. Who admits their requests: nobody, unless a client has a control.

What stands between clients and the network: nothing, unless a test records exchanges or replays them. Says what each must offer, and
knows none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from together_adapters.errors import HTTPResponse
from together_adapters.transport.retry import Failure

if TYPE_CHECKING:
    from together_adapters.transport.config import Config
    from together_adapters.transport.exchange import Attempt
    from together_adapters.transport.http_library import HTTPLibrary, HTTPRequest


class Observation(Protocol):
    """One step under observation: a context around its performance. An exception that leaves it ends the observation."""

    @property
    def step(self) -> Any:
        """The step to perform in place of the original; it is not observed again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any, /) -> None: ...

    def result(self, value: Any) -> None:
        """Gets the result of the step. A stream, which is a result before its events, gets the observation itself."""

    def end(self, error: BaseException | None = None) -> None:
        """Ends the observation, unless it has ended: an error stopped the step or its stream, or the stream is closed."""


class Observer(Protocol):
    """Observes the steps that concern it."""

    def observe(self, step: Any, config: Config) -> Observation | None:
        """Returns the observation of a step, or None."""


observer: Observer | None = None
"""The observer of all clients."""


class Turn(Protocol):
    """A place in the queue for one request."""

    def wait(self, deadline: float | None) -> bool:
        """Blocks the thread until it is the turn of the request; False once the deadline passed or `cancel` was called.

        `deadline` is of the monotonic clock. Whatever ends the wait otherwise, an exception too, gives the place back.
        """
        ...

    async def wait_async(self, deadline: float | None) -> bool:
        """The same for a task. Its cancellation gives the place back."""
        ...

    def cancel(self) -> None:
        """Gives the place back; a thread or a task that waits goes on."""


class Meter(Protocol):
    """Admits and measures the requests of one call."""

    def turn(self) -> Turn | None:
        """Returns the turn for which the next request has to wait; None if it may be sent now."""

    def answer(self, outcome: HTTPResponse | Failure, *, is_open: bool) -> None:
        """Gets what came of a request; of a body that is kept open, as of a stream, the head."""


class MeteredObservation(Protocol):
    """The observation of a step under control: a context around its performance, as `Observation` is."""

    def __enter__(self) -> tuple[Any, Meter | None]:
        """Returns the step to perform in place of the original, and its meter if it is a call that has none."""
        ...

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any, /) -> None: ...

    def result(self, value: Any) -> None:
        """Gets the result of the step. A stream, which is a result before its events, gets the observation itself."""

    def end(self, error: BaseException | None = None) -> None:
        """Ends the observation, unless it has ended: an error stopped the step or its stream, or the stream is closed."""


class Controller(Protocol):
    """Controls the steps that use models or money."""

    def observe(self, step: Any, config: Config) -> MeteredObservation | None:
        """Returns the observation of a step, whose calls have a meter; None for a step that is free, or under control already."""

    def pass_by(self, name: str) -> None:
        """Admits what costs money and cannot be measured; raises a ConfigurationError if a budget forbids it."""


@dataclass(slots=True)
class Admission:
    """A step before an attempt: wait for its turn. The reply is whether it came before the deadline."""

    turn: Turn
    deadline: float | None  # of the monotonic clock


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request that is about to be sent."""

    attempt: Attempt
    request: HTTPRequest
    client: Any
    http_library: HTTPLibrary
    config: Config


ORIGIN: Final = "together_adapters.origin"
"""The extension of a response that a tape makes: where it comes from, which errors say."""


class Tape(Protocol):
    """What requests pass on their way to the network, or not: a recorder, or a player of recorded exchanges."""

    def send(self, outgoing: Outgoing, perform: Callable[[], Any]) -> Any:
        """Returns the response to a request, whose body may be unread; `perform` sends the request."""

    async def send_async(self, outgoing: Outgoing, perform: Callable[[], Awaitable[Any]]) -> Any:
        """The same for a task."""

    def refuse(self, feature: str) -> None:
        """Raises a ConfigurationError for what goes to the service by another way."""


tape: Tape | None = None
"""The tape of all clients."""
