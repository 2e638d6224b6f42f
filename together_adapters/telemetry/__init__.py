"""Spans and metrics of every call, after OpenTelemetry's conventions for generative AI. Nothing is recorded until `instrument()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import require
from together_adapters.transport import observation

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument", "uninstrument"]


def instrument(
    *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None, capture_content: bool = False
) -> None:
    """Records a span and metrics for every operation of all clients and adapters of this process: chat, completions, embeddings, ...

    The span of an operation hangs under the span that is current when it starts, covers its retries, and ends with its response or
    its stream. A second call replaces the settings of the first.

    Args:
        tracer_provider: Where spans go; None for the global one of OpenTelemetry.
        meter_provider: Where metrics go; None for the global one of OpenTelemetry.
        capture_content: Whether spans carry messages, instructions, tool definitions and the messages of errors. They are as private
            as your users' data. The key is never among them.

    Raises:
        ImportError: OpenTelemetry is not installed (`pip install "together-adapters[otel]"`).

    Example:
        ```python
        from together_adapters import telemetry

        telemetry.instrument()
        ```
    """
    require("telemetry", "otel", "opentelemetry")
    from opentelemetry import metrics, trace

    from together_adapters._version import __version__
    from together_adapters.telemetry.observer import GenAIObserver

    observation.observer = GenAIObserver(
        trace.get_tracer("together_adapters", __version__, tracer_provider),
        metrics.get_meter("together_adapters", __version__, meter_provider),
        capture_content,
    )


def uninstrument() -> None:
    """Stops recording. Operations that are under way still end their spans."""
    observation.observer = None
