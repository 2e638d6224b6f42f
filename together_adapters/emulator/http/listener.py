"""Uvicorn as the emulator needs it: in a thread, with the TCP transport in the scope of requests, and stopped at once."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from importlib.util import find_spec
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from together_adapters.emulator.http.middleware import TRANSPORT


def _with_transport(app: Any, transport: asyncio.Transport) -> ASGIApp:
    """Returns an application that gets the TCP transport in the scope, for faults that close the connection."""

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = transport
        await app(scope, receive, send)

    return with_transport


class _Protocol(H11Protocol):
    """Uvicorn's HTTP protocol, with the transport in the scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _with_transport(self.app, transport)


def _websocket(**options: Any) -> asyncio.Protocol:
    """Returns uvicorn's protocol of websockets, likewise; it is imported for the first of them, which takes 50 ms."""
    # Not `auto`: before uvicorn 0.50 it is the protocol of `websockets.legacy`, whose import is a DeprecationWarning.
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    protocol: Any = WebSocketsSansIOProtocol(**options)
    connection_made = protocol.connection_made

    def connect(transport: asyncio.Transport) -> None:
        connection_made(transport)
        protocol.app = _with_transport(protocol.app, transport)

    protocol.connection_made = connect
    return protocol  # type: ignore[no-any-return]


_TOLD_TO_CLIENTS = ("ASGI callable returned without completing handshake.", "Invalid HTTP request received.")


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn shows no header, as those of websockets at DEBUG do, and tells nothing that the client is told."""
    return record.levelno > logging.DEBUG and record.getMessage() not in _TOLD_TO_CLIENTS


class Server(uvicorn.Server):
    """Uvicorn that stops at once: not at its next tick, and not after the streams in progress."""

    def __init__(self, app: ASGIApp) -> None:
        websockets: Any = _websocket if find_spec("websockets") else "none"
        config = uvicorn.Config(
            app, http=_Protocol, ws=websockets, lifespan="off", loop="asyncio", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=120,
        )  # fmt: skip
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_may_be_logged)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def main_loop(self) -> None:
        """Serves until `stop`, and updates the date header every second."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.on_tick(0)
        self.ready.set()
        while not self._stop.is_set():
            try:
                await asyncio.wait_for(self._stop.wait(), timeout=1.0)
            except TimeoutError:
                await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes all connections."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=1.0)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        """Ends the main loop, from any thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket."""
    # asyncio disables Nagle's algorithm only for sockets with an explicit protocol number. Without that, each request on a
    # kept-alive connection waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
