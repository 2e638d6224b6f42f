"""The event decoder, with reads that end at every position."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.transport.call import Response, StreamCall, request
from together_adapters.transport.sse import Decoder, EventParser, is_done

CASES: dict[str, tuple[bytes, list[tuple[bytes, bytes]]]] = {
    "plain": (b"data: one\n\ndata: two\n\n", [(b"one", b""), (b"two", b"")]),
    "no space": (b"data:one\n\n", [(b"one", b"")]),
    "two spaces": (b"data:  one\n\n", [(b" one", b"")]),
    "crlf": (b"data: one\r\n\r\ndata: two\r\n\r\n", [(b"one", b""), (b"two", b"")]),
    "cr": (b"data: one\r\rdata: two\r\r", [(b"one", b""), (b"two", b"")]),
    "mixed ends": (b"data: one\r\n\ndata: two\n\r\n", [(b"one", b""), (b"two", b"")]),
    "several lines": (b"data: one\ndata: two\n\n", [(b"one\ntwo", b"")]),
    "empty data": (b"data:\n\n", [(b"", b"")]),
    "empty data field alone": (b"data\n\n", [(b"", b"")]),
    "comment": (b": keepalive\n\ndata: one\n\n", [(b"one", b"")]),
    "comment inside": (b": hm\ndata: one\n: hm\n\n", [(b"one", b"")]),
    "id and retry": (b"id: 7\nretry: 10\ndata: one\n\n", [(b"one", b"")]),
    "named": (b"event: error\ndata: one\n\n", [(b"one", b"error")]),
    "name alone": (b"event: ping\n\ndata: one\n\n", [(b"one", b"")]),
    "blank lines": (b"\n\n\n\ndata: one\n\n\n\n\ndata: two\n\n", [(b"one", b""), (b"two", b"")]),
    "byte order mark": (b"\xef\xbb\xbfdata: one\n\n", [(b"one", b"")]),
    "line separator inside": ("data: a\u2028b\u0085c\n\n".encode(), [("a\u2028b\u0085c".encode(), b"")]),
    "many-byte characters": ("data: \U0001f31f\u00e9\n\n".encode(), [("\U0001f31f\u00e9".encode(), b"")]),
    "colon in data": (b'data: {"a": "b: c"}\n\n', [(b'{"a": "b: c"}', b"")]),
    "no blank line at the end": (b"data: one\n\ndata: [DONE]", [(b"one", b""), (b"[DONE]", b"")]),
    "one line end at the end": (b"data: one\n\ndata: two\n", [(b"one", b""), (b"two", b"")]),
    "nothing": (b"", []),
    "comments alone": (b": a\n\n: b\n\n", []),
}


def decode(reads: list[bytes]) -> list[tuple[bytes, bytes]]:
    decoder = Decoder()
    return [event for read in reads for event in decoder.feed(read)] + decoder.end()


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES.keys())
def test_two_reads_give_the_same_events(body: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    for cut in range(len(body) + 1):
        assert decode([body[:cut], body[cut:]]) == expected, cut


@pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES.keys())
def test_byte_by_byte_gives_the_same_events(body: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert decode([body[i : i + 1] for i in range(len(body))]) == expected


def test_events_are_returned_as_soon_as_they_are_complete() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: one\n") == []
    assert decoder.feed(b"\ndata: tw") == [(b"one", b"")]
    assert decoder.feed(b"o\r") == []
    assert decoder.feed(b"\r") == [(b"two", b"")]


LINES = st.lists(
    st.sampled_from([b"data: ", b"data:", b": c", b"event: e", b"id: 1", b"", b"data: x\xc3\xa9", b"data: [DONE]", b"nonsense"]),
    max_size=12,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(LINES, ENDS, st.data())
def test_any_reads_of_a_body_give_the_same_events(lines: list[bytes], end: bytes, data: st.DataObject) -> None:
    body = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    reads = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    events = decode([body])
    assert decode(reads) == events
    assert decode([b"".join(line + b"\n" for line in lines)]) == events


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(body: bytes) -> None:
    decode([body])


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE] ", b"[done]", b"[DONE]\n"])
def test_end_marker(data: bytes) -> None:
    assert is_done(data)


def test_a_large_event_in_small_reads_takes_linear_time() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: ") == []
    for _ in range(20_000):
        assert decoder.feed(b"x" * 100) == []
    assert [len(data) for data, _ in decoder.feed(b"\n\n")] == [2_000_000]


def test_events_of_one_read_are_parsed_when_they_are_taken() -> None:
    taken: list[bytes] = []
    call: StreamCall[None] = StreamCall(
        request("POST", "/", lambda response: None, {}), taken.append, lambda chunk, finished: None
    )
    events = iter(EventParser(call, Response(200, {})).feed(b"data: one\n\ndata: two\n\ndata: three\n\n"))
    for expected in ([b"one"], [b"one", b"two"], [b"one", b"two", b"three"]):
        next(events)
        assert taken == expected
