"""Chunks of HTTP that are joined before h11 gets them: it reads the same body, and refuses the same."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given, strategies

from tests.conftest import count_function_calls
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


def read(first: bytes, reads: list[bytes]) -> tuple[bytes, str]:
    """Return the body that h11 reads, and how it ends; the first bytes come with the head."""
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("host", "a")])
    connection.send(request)
    connection.send(h11.EndOfMessage())
    body = b""
    for data in [HEAD + first, *filter(None, reads), b""]:
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


@given(strategies.lists(CHUNKS, min_size=1, max_size=4))
def test_every_place_of_a_cut(chunks: list[bytes]) -> None:
    body = b"".join([*chunks, b"0\r\n\r\n"])
    expected = read(b"", [body])
    for cut in range(len(body) + 1):
        joiner = ChunkJoiner(body[:cut])
        assert read(body[:cut], [joiner.join(body[cut:])]) == expected
        joiner = ChunkJoiner(b"")
        assert read(b"", [joiner.join(body[:cut]), joiner.join(body[cut:])]) == expected


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
