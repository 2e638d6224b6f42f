"""Who observes calls: nobody, unless telemetry is switched on. Says what an observer must offer, and knows none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from together_adapters.transport.config import Config


class Observation(Protocol):
    """One step under observation: a context around its performance. An exception that leaves it ends the observation."""

    @property
    def step(self) -> Any:
        """The step to perform in place of the original; it is not observed again."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: Any) -> None: ...

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
