"""The emulator in place of what a recording does not have. It starts with the first such request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from threading import Lock
from typing import TYPE_CHECKING, Any

from together_adapters.transport.http_library import byte_stream
from together_adapters.transport.observation import Outgoing

if TYPE_CHECKING:
    from together_adapters.emulator.server import Emulator


class Emulation:
    """Sends requests to an emulator of its own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lock = Lock()
        self._emulator: Emulator | None = None

    def send(self, outgoing: Outgoing) -> Any:
        client = outgoing.http_library.module.Client(trust_env=False, verify=False)
        try:
            response = client.send(self._request(outgoing), stream=True)
        except BaseException:
            client.close()
            raise
        response.stream = byte_stream(outgoing.http_library, _LastStream)(response.stream, client)
        return response

    async def send_async(self, outgoing: Outgoing) -> Any:
        client = outgoing.http_library.module.AsyncClient(trust_env=False, verify=False)
        try:
            response = await client.send(self._request(outgoing), stream=True)
        except BaseException:
            await client.aclose()
            raise
        response.stream = byte_stream(outgoing.http_library, _LastStream)(response.stream, client)
        return response

    def can_answer(self, outgoing: Outgoing) -> bool:
        """Whether a request is for the service, or for a URL that the emulator gave."""
        roots = (outgoing.config.root, *(() if self._emulator is None else (_root(self._emulator),)))
        return outgoing.attempt.url.startswith(tuple(f"{root}/" for root in roots))

    def close(self) -> None:
        """Stops the emulator."""
        self._stack.close()

    def _request(self, outgoing: Outgoing) -> Any:
        request, emulator = outgoing.request, self._running()
        headers = [(name, value) for name, value in request.headers.multi_items() if name not in ("host", "authorization")]
        headers.append(("host", f"{emulator.host}:{emulator.port}"))
        url = str(request.url)
        if url.startswith(f"{outgoing.config.root}/"):
            url = _root(emulator) + url.removeprefix(outgoing.config.root)
            headers.append(("authorization", f"Bearer {emulator.api_key}"))
        return outgoing.http_library.module.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )

    def _running(self) -> Emulator:
        with self._lock:
            if self._emulator is None:
                from together_adapters.emulator import serve

                self._emulator = self._stack.enter_context(serve())
            return self._emulator


class _LastStream:
    """The body of the only response of a client, which is closed with it."""

    def __init__(self, stream: Any, client: Any) -> None:
        self._stream = stream
        self._client = client

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def close(self) -> None:
        self._stream.close()
        self._client.close()

    async def aclose(self) -> None:
        await self._stream.aclose()
        await self._client.aclose()


def _root(emulator: Emulator) -> str:
    return emulator.base_url.removesuffix("/v1")
