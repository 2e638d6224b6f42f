"""Network streams beneath the HTTP library: limits that it does not keep, and connections that died while they were idle.

It limits each read, so a server that sends a byte now and then holds a call for ever; it reports a connection that the server had
closed after the last response like one that failed with the request; and it takes many steps for a chunk of a body, of which streamed
events have one for each token: it reads the first here, and all that is not a complete chunk. Both flavours side by side. Connections
of an HTTP client that the caller supplies do not have this: there a limit is checked between parts of the body, and httpcore tells
which connection is reused.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from together_adapters.transport.http_library import error_names

if TYPE_CHECKING:
    from together_adapters.transport.http_library import HTTPResponse

MAX_HEAD = 256 * 1024  # bytes before the body; only a server that sends informational responses without end gets there
READ_SIZE = 64 * 1024
_WRITE_SIZE = 16 * 1024
_OF_CLIENTS = ("BoundSyncStream", "BoundAsyncStream")  # around the body of a transport, to measure how long it takes
_BROKEN = ("ReadError", "WriteError")
_HEAD = re.compile(rb"HTTP/1\.1 2.*?\n\r?\n", re.DOTALL)
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})\r\n")
_PART_OF_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}\r?")


class Until(float):
    """Seconds that one read or write may take, but not beyond a deadline. To other code it is a number."""

    deadline: float
    seconds: float | None  # apart from the deadline

    def left(self) -> float:
        """Returns the seconds that are left now; a timeout if there are none."""
        return _positive(min(self, self.deadline - time.monotonic()))


def until(seconds: float | None, deadline: float) -> Until:
    """Returns a limit of so many seconds that ends at a time of the monotonic clock."""
    left = max(deadline - time.monotonic(), 0.001)
    limit = Until(left if seconds is None else min(seconds, left))
    limit.deadline, limit.seconds = deadline, seconds
    return limit


class TransferError(Exception):
    """A failure of a transfer that this library finds. Not of an HTTP library, which passes on what it does not know."""


class ReadTimeout(TransferError):
    """No time is left."""


class OversizedHead(TransferError):
    """What comes before the body of a response does not end."""


class StaleConnection(TransferError):
    """A connection that has served a request before died without a byte of a response to this one."""

    unsent = False  # the server cannot have the request: not even its head went out


def begin_body(response: HTTPResponse, read_timeout: float | None) -> None:
    """Ends the head of a response: a limit for each read holds from here on, which an `Until` makes one for all."""
    timeouts = response.request.extensions.get("timeout")
    if timeouts is not None:
        timeouts["read"] = read_timeout
    stream = response.extensions.get("network_stream")
    if isinstance(stream, _Stream):
        if not stream.in_body:
            stream.begin_body(response)
        if type(read_timeout) is Until:
            vars(stream).pop("read", None)
        else:
            vars(stream)["read"] = stream.read_body  # so that a read of a stream costs little


def complete_chunks(response: HTTPResponse) -> ChunkJoiner | None:
    """Returns what reads the chunks of an event stream from the connection, past the HTTP library; None for other responses.

    Around a body that is not that of our transport there is somebody who reads it as well, as a recorder does.
    """
    stream, body = response.extensions.get("network_stream"), response.stream
    if type(body).__name__ in _OF_CLIENTS:
        body = body._stream  # type: ignore[union-attr]
    is_direct = getattr(body, "is_direct", False)
    return stream.chunks if is_direct and isinstance(stream, _Stream) else None


def watch(transport: Any) -> Any:
    """Returns a transport of either library and flavour whose connections will have streams of this module."""
    pool = transport._pool
    backend = AsyncBackend if hasattr(transport, "handle_async_request") else Backend
    pool._network_backend = backend(pool._network_backend)
    return transport


class ChunkJoiner:
    """Makes one chunk of those that are complete in a read, or reads them past the HTTP library, which takes many steps for each.

    All else is passed on as it is, for the library to judge. Nothing follows what it does not know, such as the end of the body or
    the extensions of a chunk.
    """

    def __init__(self, content: bytes, read: Any = None) -> None:
        """`content` is what the HTTP library has of the body already, `read` reads from the network."""
        self.is_between = False  # the library got nothing but complete chunks in the last read, and has the content of no other
        self._read = read
        self._remainder: bytes | None = None  # what the library gets in place of the next read
        self._rest = 0  # bytes to come of the last chunk, with the end of its line
        self._line = b""  # what has come of the line with the size of the next chunk
        self._is_over = False
        self._split(content)

    def join(self, data: bytes) -> bytes:
        """Returns what to pass on in place of a read: what is complete as one chunk."""
        begin, contents, end = self._split(data)
        self.is_between = begin == 0 and end == len(data) > 0
        if len(contents) < 2:
            return data
        content = b"".join(contents)
        return b"%b%x\r\n%b\r\n%b" % (data[:begin], len(content), content, data[end:])

    def take(self, data: bytes) -> bytes:
        """Returns the content of a read of which the HTTP library gets nothing but what is not a complete chunk."""
        _, contents, end = self._split(data)
        if end < len(data) or not data:
            self.is_between, self._remainder = False, data[end:]
        return b"".join(contents)

    def release(self) -> bytes | None:
        """Returns, once, what the HTTP library gets in place of a read."""
        remainder, self._remainder = self._remainder, None
        return remainder

    def read(self, timeout: float | None) -> bytes:
        """Reads past the HTTP library, which `is_between` allows."""
        return self.take(self._read(READ_SIZE, seconds_of(timeout)))

    async def read_async(self, timeout: float | None) -> bytes:
        """The same for a task."""
        return self.take(await self._read(READ_SIZE, seconds_of(timeout)))

    def _split(self, data: bytes) -> tuple[int, list[bytes], int]:
        """Returns where complete chunks begin, their contents, and where they end."""
        if self._is_over:
            return 0, [], 0
        begin = position = self._end_of_begun_chunk(data) if self._rest or self._line else 0
        contents: list[bytes] = []
        while position < len(data):
            size = _SIZE.match(data, position)
            if size is None:
                self._line = data[position:]
                self._is_over = not _PART_OF_SIZE.fullmatch(self._line)
                break
            start, end = size.end(), size.end() + int(size[1], 16)
            if end + 2 > len(data):
                self._rest = end + 2 - len(data)
                break
            if start == end or data[end : end + 2] != b"\r\n":
                self._is_over = True
                break
            contents.append(data[start:end])
            position = end + 2
        return begin, contents, position

    def _end_of_begun_chunk(self, data: bytes) -> int:
        """Returns where a chunk ends that has begun in an earlier read."""
        if self._line:
            line = self._line + data
            size = _SIZE.match(line)
            if size is None or not int(size[1], 16):
                self._line = line
                self._is_over = size is not None or not _PART_OF_SIZE.fullmatch(line)
                return len(data)
            self._rest = size.end() - len(self._line) + int(size[1], 16) + 2
            self._line = b""
        end = min(self._rest, len(data))
        self._rest -= end
        return end


class _Stream:
    """What the streams of both flavours know of the response that is being read."""

    read_body: Any  # reads when the head has come

    def __init__(self, stream: Any) -> None:
        self.inner = stream
        self.has_served = False  # a response has arrived on this connection
        self.in_body = False
        self.chunks: ChunkJoiner | None = None  # of a stream of events
        self._head = b""  # the head, and what came with it
        self._head_size = 0  # bytes of the head
        self._deadline: float | None = None  # for the head

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)

    def begin_body(self, response: HTTPResponse) -> None:
        """Ends the head: joins the chunks of what follows, if it is a stream of events."""
        self.has_served = self.in_body = True
        self.read_body = self.inner.read
        is_chunked = response.headers.get("transfer-encoding", "").lower() == "chunked"
        if is_chunked and "event-stream" in response.headers.get("content-type", "") and (head := _HEAD.match(self._head)):
            self.chunks = ChunkJoiner(self._head[head.end() :], self.inner.read)
            self.read_body = self._joining(self.chunks)
        self._head = b""

    def _joining(self, chunks: ChunkJoiner) -> Any:
        """Returns the method of the flavour that reads and joins chunks."""
        raise NotImplementedError

    def _begin_request(self) -> bool:
        """Called before every write; returns whether it is the first one of a request."""
        if not self._head_size:
            return False
        self._head_size, self._deadline, self.in_body, self._head, self.chunks = 0, None, False, b"", None
        vars(self).pop("read", None)
        return True

    def _limit(self, timeout: float | None) -> float | None:
        """Returns the limit of a read of the head, of which all reads together may take as long as one."""
        if self._head_size > MAX_HEAD:
            raise OversizedHead(f"the response has more than {MAX_HEAD // 1024} KB before its body")
        if timeout is None:
            return None
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + seconds_of(timeout)  # type: ignore[operator]
        return _positive(self._deadline - now)

    def _count(self, data: bytes) -> bytes:
        """Counts bytes of the head."""
        if not data and self.has_served and not self._head_size:
            raise StaleConnection("the server had closed the connection")
        self._head_size += len(data)
        self._head += data
        return data

    def _failure(self, error: Exception, *, unsent: bool = False) -> Exception:
        """Returns the error to raise for one of a read of the head, or of the first write."""
        if not self.has_served or self._head_size or error_names(error).isdisjoint(_BROKEN):
            return error
        stale = StaleConnection("the server had closed the connection")
        stale.unsent = unsent
        return stale


class Stream(_Stream):
    """A synchronous network stream."""

    def _joining(self, chunks: ChunkJoiner) -> Any:
        read = self.inner.read

        def read_and_join(max_bytes: int, timeout: float | None = None) -> bytes:
            remainder = chunks.release()
            return chunks.join(read(max_bytes, timeout)) if remainder is None else remainder

        return read_and_join

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.in_body:
            return self.read_body(max_bytes, seconds_of(timeout))  # type: ignore[no-any-return]
        try:
            data = self.inner.read(max_bytes, self._limit(timeout))
        except Exception as error:
            raise self._failure(error) from None
        return self._count(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        first = self._begin_request()
        try:
            if type(timeout) is not Until or len(buffer) <= _WRITE_SIZE:
                self.inner.write(buffer, seconds_of(timeout))
            else:
                for start in range(0, len(buffer), _WRITE_SIZE):
                    self.inner.write(buffer[start : start + _WRITE_SIZE], timeout.left())
        except Exception as error:
            raise (self._failure(error, unsent=True) if first else error) from None

    def close(self) -> None:
        self.inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Stream:
        return Stream(self.inner.start_tls(ssl_context, server_hostname, seconds_of(timeout)))


class AsyncStream(_Stream):
    """An asynchronous network stream."""

    def _joining(self, chunks: ChunkJoiner) -> Any:
        read = self.inner.read

        async def read_and_join(max_bytes: int, timeout: float | None = None) -> bytes:
            remainder = chunks.release()
            return chunks.join(await read(max_bytes, timeout)) if remainder is None else remainder

        return read_and_join

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.in_body:
            return await self.read_body(max_bytes, seconds_of(timeout))  # type: ignore[no-any-return]
        try:
            data = await self.inner.read(max_bytes, self._limit(timeout))
        except Exception as error:
            raise self._failure(error) from None
        return self._count(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        first = self._begin_request()
        try:
            await self.inner.write(buffer, seconds_of(timeout))
        except Exception as error:
            raise (self._failure(error, unsent=True) if first else error) from None

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> AsyncStream:
        return AsyncStream(await self.inner.start_tls(ssl_context, server_hostname, seconds_of(timeout)))


class _Backend:
    """What opens streams, but for the streams."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class Backend(_Backend):
    """Opens synchronous streams."""

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        return Stream(self._backend.connect_tcp(host, port, seconds_of(timeout), *args, **options))


class AsyncBackend(_Backend):
    """Opens asynchronous streams."""

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        return AsyncStream(await self._backend.connect_tcp(host, port, seconds_of(timeout), *args, **options))


def seconds_of(timeout: float | None) -> float | None:
    """Returns the seconds that a limit leaves now; a timeout if there are none."""
    return timeout.left() if type(timeout) is Until else timeout


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ReadTimeout("no time is left")
    return seconds
