"""One exchange with an engine, in the thread of its caller; another thread may end it.

The client is that of the standard library: an exchange needs no pool, no proxy of the environment and no redirect, and must be ended
when the emulator's client leaves, so that the model stops.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

from together_adapters.emulator.remote.engines import Engine
from together_adapters.emulator.remote.failures import cut, too_slow, unreachable

_CONNECT_SECONDS: Final = 5.0
_MAX_ANSWER: Final = 256 * 2**20
HOP: Final = "x-emulator-hop"  # header of the requests to an engine, by which an emulator knows that it is its own engine


class Exchange:
    """A request to an engine and its answer. Its methods raise `ApiError`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_cancelled = False
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: HTTPResponse | None = None

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Sends a request; returns the status and the media type of the answer when it begins."""
        self.close()
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json", HOP: "1"}
        if self.engine.key:
            headers["authorization"] = f"Bearer {self.engine.key}"
        try:
            self._connect()
            assert self._connection is not None
            self._connection.request(method, f"{urlsplit(self.engine.url).path}{path}", content, headers)
            self._response = self._connection.getresponse()
        except TimeoutError:
            raise too_slow(self.engine) from None
        except (HTTPException, OSError) as error:
            raise cut(self.engine, error) from None
        return self._response.status, self._response.headers.get_content_type()

    def _connect(self) -> None:
        parts = urlsplit(self.engine.url)
        assert parts.hostname is not None
        secure = parts.scheme == "https"
        connection = (HTTPSConnection if secure else HTTPConnection)(parts.hostname, parts.port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
        except (OSError, HTTPException) as error:
            connection.close()
            raise unreachable(self.engine, error) from None
        connection.sock.settimeout(self.engine.timeout)
        self._connection, self._socket = connection, connection.sock
        if self.is_cancelled:
            raise cut(self.engine)

    def read(self) -> bytes:
        """Reads the whole answer."""
        assert self._response is not None
        try:
            content = self._response.read(_MAX_ANSWER + 1)
        except TimeoutError:
            raise too_slow(self.engine) from None
        except (HTTPException, OSError, ValueError) as error:
            raise cut(self.engine, error) from None
        if len(content) > _MAX_ANSWER:
            raise cut(self.engine)
        return content

    def lines(self) -> Iterator[bytes]:
        """Yields the lines of an answer as they arrive, then closes the connection."""
        assert self._response is not None
        try:
            while line := self._response.readline(_MAX_ANSWER):
                yield line
        except TimeoutError:
            raise too_slow(self.engine) from None
        except (HTTPException, OSError, ValueError) as error:
            raise cut(self.engine, error) from None
        finally:
            self.close()

    def cancel(self) -> None:
        """Ends the exchange, from any thread: whoever waits for the engine gets an error."""
        self.is_cancelled = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        for resource in (self._response, self._connection):
            if resource is not None:
                with suppress(OSError, HTTPException):
                    resource.close()
        self._response = self._connection = self._socket = None


def read_json(content: bytes) -> Any:
    """Parses an answer; None where it is no JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
