"""One stream, from its admission to its row in the ledger, which is written when it ends, however it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Self, TypeVar

from together_adapters.control import estimates
from together_adapters.control.metering import RequestMeter
from together_adapters.transport.call import AudioStreamCall

T = TypeVar("T")

_CHARACTERS_PER_TOKEN: Final = 4


class StreamMeter(RequestMeter):
    """The meter of a call whose response is a stream."""

    _is_streamed = True
    _chunks = _characters = 0

    def __enter__(self) -> tuple[Any, Self]:
        step = self._step  # not the one that is performed is kept: a stream that is lost would not be freed at once
        if isinstance(step, AudioStreamCall):
            step = replace(step, from_bytes=self._chunk_parser(step.from_bytes))
        return self._admit(replace(step, parse=self._chunk_parser(step.parse))), self

    def __del__(self) -> None:
        # A garbage collection may run while this thread holds a lock of the ledger or of the limiter.
        if not self._end_lock.locked():
            self.control.abandon(self)

    def result(self, value: Any) -> None:
        """Has the stream tell when it ends."""
        value.observations.append(self)
        self.control.keep(self)

    def _streamed_tokens(self) -> int:
        return max(self._chunks, self._characters // _CHARACTERS_PER_TOKEN)

    def _chunk_parser(self, parse: Callable[[bytes], T]) -> Callable[[bytes], T]:
        def parse_chunk(data: bytes) -> T:
            chunk = parse(data)
            if self.first_chunk is None:
                self.first_chunk = time.perf_counter() - self.start
            if characters := estimates.chunk_characters(chunk):
                self._chunks += 1
                self._characters += characters
            if b'"usage"' in data and (usage := estimates.usage_tokens(estimates.field_of(chunk, "usage"))) is not None:
                self._usage = usage
            return chunk

        return parse_chunk
