"""Fixtures of the telemetry tests: calls of this process are recorded in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from together_adapters import telemetry


class Recording:
    """What is recorded: spans and metrics."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])

    def instrument(self, **options: Any) -> None:
        telemetry.instrument(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def only_span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    def clear(self) -> None:
        self._exporter.clear()

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def close(self) -> None:
        telemetry.uninstrument()
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Recording without content."""
    recording = Recording()
    recording.instrument()
    yield recording
    recording.close()


@pytest.fixture
def recording_content(recording: Recording) -> Recording:
    """Recording with content."""
    recording.instrument(capture_content=True)
    return recording
