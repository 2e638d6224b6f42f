"""What telemetry costs: chats with spans and metrics against chats without, streamed or not, with messages or not.

The providers are those of OpenTelemetry's SDK, without an exporter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.benchmarks import payloads
from tests.benchmarks.client_speed import achat, astream, chat, stream
from tests.benchmarks.measure import Bench, Builder, Operation, Work
from tests.benchmarks.payloads import KEY
from together_adapters import AsyncTogether, Together, telemetry


def _instrumented(work: Work, instrument: Callable[[], None], *, asynchronous: bool) -> Work:
    """Return a work that is recorded, while those of others are not."""

    def recorded() -> Any:
        instrument()
        try:
            return work()
        finally:
            telemetry.uninstrument()

    async def arecorded() -> Any:
        instrument()
        try:
            return await work()
        finally:
            telemetry.uninstrument()

    return arecorded if asynchronous else recorded


def _traced(name: str, bench: Bench, *, streamed: bool, capture_content: bool, asynchronous: bool) -> Operation:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from together_adapters.transport import observation

    providers: Any = {
        "tracer_provider": TracerProvider(shutdown_on_exit=False),
        "meter_provider": MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False),
    }
    telemetry.instrument(**providers, capture_content=capture_content)
    observer = observation.observer
    telemetry.uninstrument()
    client = bench.keep(
        (AsyncTogether if asynchronous else Together)(api_key=KEY, base_url=bench.url("coalesced" if streamed else "small"))
    )
    by = (astream if asynchronous else stream) if streamed else (achat if asynchronous else chat)
    work = by(client, payloads.chat_body())
    ours = _instrumented(work, partial(setattr, observation, "observer", observer), asynchronous=asynchronous)
    return Operation(name, ours, (work,), per=payloads.CHUNKS if streamed else 1)


def _of_both(name: str, **settings: Any) -> dict[str, Builder]:
    return {
        f"client{mark} {name}, vs untraced": partial(_traced, asynchronous=asynchronous, **settings)
        for mark, asynchronous in (("", False), (" async", True))
    }


OPERATIONS: Final[dict[str, Builder]] = {
    **_of_both("traced chat 1 KB", streamed=False, capture_content=False),
    **_of_both("traced chat 1 KB with content", streamed=False, capture_content=True),
    **_of_both("traced stream, a chunk", streamed=True, capture_content=False),
    **_of_both("traced stream with content, a chunk", streamed=True, capture_content=True),
}
