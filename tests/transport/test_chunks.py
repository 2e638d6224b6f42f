"""Chunks of HTTP that are joined before h11 gets them, or pass it by: the body is the same, and what is refused."""

from __future__ import annotations

import socket
import time
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given, strategies

import together_adapters as ta
from tests.conftest import Flavour, count_function_calls
from tests.transport.conftest import RawServer
from together_adapters.transport.network import ChunkJoiner

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SIZES = strategies.sampled_from([1, 2, 3, 9, 10, 15, 16, 17, 300])
CHUNKS = strategies.builds(
    lambda size, upper, zeros: (
        b"0" * zeros
        + (b"%X" if upper else b"%x") % size
        + b"\r\n"
        + bytes(range(65, 75))[: size % 11].ljust(size, b"\n")
        + b"\r\n"
    ),
    SIZES,
    strategies.booleans(),
    strategies.integers(0, 2),
)
ODD = strategies.sampled_from(
    [b"3;a=b\r\nabc\r\n", b"3\nabc\n", b"3\r\nabc", b"3\r\nabcd\r\n", b"3\r\nab\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n",
     b"1_0\r\n" + b"a" * 16 + b"\r\n", b"\r\n", b"zz", b"00000000000000003\r\nabc\r\n", b"ffffffffffffffffff\r\n"]
)  # fmt: skip
ENDS = strategies.sampled_from(
    [b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nx-more: 1\r\n\r\n", b"0;a=b\r\n\r\n", b"0\r\n\r\nHTTP/1.1 200 OK\r\n", b""]
)
BODIES = strategies.tuples(strategies.lists(CHUNKS, max_size=8), strategies.lists(ODD, max_size=1), ENDS).map(
    lambda parts: b"".join([*parts[0], *parts[1], parts[2]])
)


def read(first: bytes, reads: list[bytes], joiner: ChunkJoiner | None = None) -> tuple[bytes, str]:
    """Return the body that h11 reads, and how it ends; the first bytes come with the head. A joiner may read past h11."""
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("host", "a")])
    connection.send(request)
    connection.send(h11.EndOfMessage())
    body = b""
    for data in [HEAD + first, *filter(None, reads), b""]:
        if joiner and joiner.is_between:
            body += joiner.take(data)
            if (remainder := joiner.release()) is None:
                continue
            data = remainder
        elif joiner and not data.startswith(HEAD):
            data = joiner.join(data)
        connection.receive_data(data)
        try:
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.EndOfMessage):
                    return body, f"complete {event.headers.raw_items()}"
                body += bytes(event.data) if isinstance(event, h11.Data) else b""
        except h11.RemoteProtocolError:
            return body, "refused"
    return body, "open"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return data in reads that end at the cuts."""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(BODIES, strategies.lists(strategies.integers(0, 5000), max_size=12))
def test_h11_reads_the_same(body: bytes, cuts: list[int]) -> None:
    first, *reads = split(body, cuts)
    joiner = ChunkJoiner(first)
    joined = [joiner.join(data) for data in reads]
    assert read(first, joined) == read(first, reads)
    assert all(joined[index] for index, data in enumerate(reads) if data)
    assert read(first, reads, ChunkJoiner(first)) == read(first, reads)


@given(strategies.lists(CHUNKS, min_size=1, max_size=4))
def test_every_place_of_a_cut(chunks: list[bytes]) -> None:
    body = b"".join([*chunks, b"0\r\n\r\n"])
    expected = read(b"", [body])
    for cut in range(len(body) + 1):
        joiner = ChunkJoiner(body[:cut])
        assert read(body[:cut], [joiner.join(body[cut:])]) == expected
        joiner = ChunkJoiner(b"")
        assert read(b"", [joiner.join(body[:cut]), joiner.join(body[cut:])]) == expected
        assert read(b"", [b"1\r\na\r\n", body[:cut], body[cut:]], ChunkJoiner(b"")) == (b"a" + expected[0], expected[1])


def test_content_is_never_held_back() -> None:
    joiner = ChunkJoiner(b"5\r\nab")
    assert joiner.join(b"cde\r\n2\r\nfg\r\n3\r\nhij\r\n4\r\nk") == b"cde\r\n5\r\nfghij\r\n4\r\nk"
    assert joiner.join(b"lmn\r\n1") == b"lmn\r\n1"
    assert (
        joiner.join(b"0\r\n0123456789012345\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n") == b"0\r\n0123456789012345\r\n2\r\nab\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize("count", [2, 200])
def test_a_read_is_one_step_of_h11(count: int) -> None:
    connection: Any = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD)
    connection.next_event()
    connection.receive_data(ChunkJoiner(b"").join(b"2\r\nab\r\n" * count))
    assert bytes(connection.next_event().data) == b"ab" * count
    assert connection.next_event() is h11.NEED_DATA
    assert count_function_calls(lambda: ChunkJoiner(b"").join(b"2\r\nab\r\n" * count)) < 12


def chunk(content: bytes) -> bytes:
    """Return a chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


WORDS = [f"word{number} " for number in range(12)]
EVENTS = [chunk(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % word.encode()) for word in WORDS]
DONE = chunk(b"data: [DONE]\n\n")
END = b"0\r\n\r\n"
PACED: dict[str, tuple[list[bytes], type[Exception] | None, int]] = {
    # Writes, the error, and for how many reads of the body h11 is asked at most.
    "alone": ([*EVENTS, DONE, END], None, 3),
    "end with the last": ([*EVENTS, DONE + END], None, 3),
    "several": ([b"".join(EVENTS[:5]), b"".join(EVENTS[5:]), DONE, END], None, 4),
    "extension": ([*EVENTS[:6], EVENTS[6].replace(b"\r\n", b";a=b\r\n", 1), *EVENTS[7:], DONE, END], None, 16),
    "cut in a chunk": ([*EVENTS[:6], EVENTS[6][:20], EVENTS[6][20:], *EVENTS[7:], DONE, END], None, 6),
    "cut in a size": ([*EVENTS[:6], EVENTS[6][:1], EVENTS[6][1:], *EVENTS[7:], DONE, END], None, 6),
    "no end": ([*EVENTS], ta.IncompleteStreamError, 3),
    "ends in a chunk": ([*EVENTS, DONE[:9]], ta.IncompleteStreamError, 4),
    "no size": ([*EVENTS, b"zz\r\n" + DONE], ta.IncompleteStreamError, 3),
    "no end of a chunk": ([*EVENTS, b"3\r\n:a\n" + DONE], ta.IncompleteStreamError, 3),
}


@pytest.mark.parametrize(("kind", "options"), [*((kind, {}) for kind in PACED), ("alone", {"transport": "fast"})])
def test_chunks_that_come_alone_pass_by_h11(
    flavour: Flavour, raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any]
) -> None:
    writes, error, limit = PACED[kind]
    connections: list[Any] = []
    fed: list[bytes] = []
    receive = h11.Connection.receive_data

    def send(connection: socket.socket) -> None:
        connections.append(connection.getpeername())
        for data in [HEAD, *writes]:
            connection.sendall(data)
            time.sleep(0.02)

    def counted(connection: Any, data: bytes) -> None:
        fed.append(data)
        receive(connection, data)

    monkeypatch.setattr(h11.Connection, "receive_data", counted)
    raw_server.answer(send, close=error is not None)
    client = flavour.client(base_url=raw_server.base_url, max_retries=0, **options)
    for _ in range(2):
        texts: list[str] = []
        fed.clear()
        stream = flavour.run(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}], stream=True))
        with pytest.raises(error) if error else nullcontext():
            texts.extend(piece.choices[0].delta.content for piece in flavour.iterate(stream))
        assert texts == WORDS
        assert len(fed) - 1 <= limit
    assert error or len({*connections}) == 1
