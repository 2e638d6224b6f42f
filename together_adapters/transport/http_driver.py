"""What both drivers share: everything that transfers nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from together_adapters.transport.binding import Driver
from together_adapters.transport.call import (
    Call,
    Response,
    StreamCall,
)
from together_adapters.transport.config import Config
from together_adapters.transport.exchange import parse_response, snapshot
from together_adapters.transport.sse import EventParser, parser_of

T = TypeVar("T")


class HTTPDriver(Driver):
    """The parts of both drivers that transfer nothing."""

    client_name: ClassVar[str]

    def __init__(self, config: Config, connections: Any, on_response: Callable[[Response], object] | None = None) -> None:
        self.config = config
        self.connections = connections
        self._on_response = on_response

    def __repr__(self) -> str:
        return f"{self.client_name} at {self.config.base_url}"

    def _parse(self, call: Call[T], http_response: Any, count: int) -> T:
        response = Response(http_response.status_code, http_response.headers, http_response.content, count, http_response.origin)
        if self._on_response:
            self._on_response(response)
        return parse_response(call, response, self.config)

    def _parser(self, call: StreamCall[T], http_response: Any, count: int) -> EventParser[T]:
        response = snapshot(http_response, count, b"")
        if self._on_response:
            self._on_response(response)
        return parser_of(call, response, self.config.secrets)
