"""The file: every body comes back byte for byte, a person can read and edit it, and it appears as a whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import signal
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.testing.conftest import NOWHERE, Session, chat
from together_adapters import ConfigurationError, Together
from together_adapters.emulator import Emulator
from together_adapters.testing import record, replay
from together_adapters.testing.contents import (
    content_bytes,
    events_content,
    sent_content,
    timed_bytes,
    whole_content,
    without_encoded,
)
from together_adapters.testing.exact_json import STYLES, Number, dumps, loads
from together_adapters.testing.exchange import Exchange
from together_adapters.testing.recording_file import load, save

NUMBERS = st.sampled_from(["1e-7", "-1.1920928955078125e-07", "0.10", "1.0", "-0.0", "1E5", "12.5e+3"]).map(Number)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda children: st.lists(children, max_size=12) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=12,
)


def round_trip(path: Path, response: dict[str, Any]) -> dict[str, Any]:
    save(path, [Exchange({"method": "GET", "path": "/x"}, {"status": 200, **response})], [], overwrite=True)
    (exchange,) = load(path)
    assert exchange.response is not None
    return exchange.response


@settings(max_examples=30)
@given(value=VALUES, style=st.sampled_from(list(STYLES)))
def test_json_comes_back_byte_for_byte(tmp_path_factory: pytest.TempPathFactory, value: Any, style: str) -> None:
    data = dumps({"": value}, style).encode()
    content = whole_content(data)
    assert "json" in content
    assert content_bytes(round_trip(tmp_path_factory.getbasetemp() / "json.yaml", content)) == data


@settings(max_examples=30)
@given(data=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@example("a\x85b\u2028c\u2029\n🌦".encode())
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert content_bytes(round_trip(tmp_path_factory.getbasetemp() / "bytes.yaml", whole_content(data))) == data


BLOCKS = st.sampled_from(
    [
        b'data: {"a": 1}\n\n', b'data: {"a":1.0}\n\n', b"data: [DONE]\n\n", b": comment\n\n", b'event: error\ndata: {"a":2}\n\n', b"data: x\r\n\r\n",
        b"id: 3\ndata: y\n\n", b"data: \xff\n\n", b"\n\n", b"data:{}\n\n", b"data: half",
    ]
)  # fmt: skip


@settings(max_examples=30)
@given(
    blocks=st.lists(BLOCKS, max_size=8),
    cuts=st.lists(st.integers(1, 60), max_size=8),
    times=st.lists(st.floats(0, 9), min_size=9),
)
def test_events_come_back_at_their_times(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], cuts: list[int], times: list[float]
) -> None:
    body = b"".join(blocks)
    starts = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    reads = [(moment, body[start:end]) for moment, start, end in zip(sorted(times), starts, starts[1:], strict=False)]
    response = round_trip(tmp_path_factory.getbasetemp() / "events.yaml", events_content(reads))
    assert b"".join(data for _, data in timed_bytes(response)) == b"".join(data for _, data in reads)
    if reads:
        assert sum(after for after, _ in timed_bytes(response)) == pytest.approx(reads[-1][0], abs=0.02)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a":1e400}', '{"a":NaN}', '{ "a":1}', '"text"', '{"a":"\\ud83d"}', "{", "yes"]
)
def test_other_texts_are_kept_as_they_are(tmp_path: Path, text: str) -> None:
    content = whole_content(text.encode())
    assert content_bytes(round_trip(tmp_path / "text.yaml", content)) == text.encode()


def test_a_person_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    value = {"content": "First line.\nSecond: 🌦 Zürich\n", "answer": "no", "vector": [0.25] * 9, "seed": 7}
    events = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    exchanges = [
        Exchange({"method": "POST", "path": "/v1/x"}, {"status": 200, **whole_content(dumps(value).encode())}),
        Exchange(
            {"method": "POST", "path": "/v1/x"}, {"status": 200, **events_content([(0.25, events[:20]), (0.5, events[20:])])}
        ),
    ]
    save(path, exchanges, ["https://api.example.com"], overwrite=False)
    text = path.read_text("utf-8")
    assert re.match(r"# Exchanges with https://api.example.com, recorded by together-adapters \S+ on \d{4}-\d\d-\d\d\.\n", text)
    assert "      content: |\n        First line.\n        Second: 🌦 Zürich\n      answer: 'no'\n" in text
    assert "      vector: [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]\n      seed: 7\n" in text
    assert "    events:\n    - {after: 0.5, data: {choices: [{delta: {content: Hi}}]}}\n    - {data: '[DONE]'}\n" in text


def test_a_person_can_edit_it(session: Session) -> None:
    def scenario(client: Any) -> Any:
        return session.flavour.run(client.chat.completions.create(**chat())).choices[0]

    session.record(scenario)
    text = session.path.read_text("utf-8")
    text = text.replace("Hello to Ann.", "no").replace("finish_reason: stop", "finish_reason: length").replace("stop", "yes")
    session.path.write_text(text, "utf-8")
    choice = session.replay(scenario)
    assert (choice.message.content, choice.finish_reason) == ("no", "length")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("format: 1", "format: 2", "is no recording of together_adapters.testing"),
        ("exchanges:", "exchange:", "is no recording"),
        ("- request:", "- requst:", "line 5: an exchange has an unknown key 'requst'; known are failure, request, response"),
        ("    method: POST\n", "", "line 5: the request needs 'method'"),
        ("    path:", "    paht:", "line 5: the request has an unknown key 'paht'"),
        ("    path: /v1/chat/completions\n", "", "line 5: the request needs 'path' or 'url'"),
        (
            "  response:\n",
            "  failure:\n    error: ConnectError\n  response:\n",
            "line 5: an exchange needs 'response' or 'failure'",
        ),
        ("    status: 200\n", "", "line 5: the response needs 'status'"),
        ("    json:", "   json:", "cannot be read as YAML: while parsing a block mapping\n  line 5, column 3\n"),
        ("    status: 200", "    status: 200\n    style: pretty", "'style' must be one of compact, spaced"),
        ("    status: 200", "    status: 200\n    events: [{dta: 1}]", r"events\[0\] has an unknown key 'dta'"),
        ("  response:\n", "  failure: {error: NoError}\n  respond:\n", "unknown key 'respond'"),
    ],
)
def test_mistakes_of_a_person_are_named_by_line(path: Path, emulator: Emulator, old: str, new: str, problem: str) -> None:
    with record(path), Together(base_url=emulator.base_url, api_key="any") as client:
        client.chat.completions.create(**chat())
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ConfigurationError, match=problem), replay(path):
        pytest.fail("it can be read")


def test_compressed_responses_are_readable(flavour: Any, path: Path) -> None:
    events = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

    def answer(request: Any) -> httpx.Response:
        headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
        stream = httpx.Response(200, content=[gzip.compress(events)] if not flavour.is_async else _async(gzip.compress(events)))
        return httpx.Response(200, headers=headers, stream=stream.stream)

    def scenario(client: Any) -> list[Any]:
        return list(flavour.iterate(flavour.run(client.chat.completions.create(**chat(stream=True)))))

    with record(path):
        recorded = scenario(flavour.client(http_client=flavour.mock_client(answer)))
    text = path.read_text("utf-8")
    assert "data: {id: '1', choices:" in text
    assert "content-encoding" not in text
    with replay(path):
        assert scenario(flavour.client(base_url=NOWHERE)) == recorded


async def _async(data: bytes) -> Any:
    yield data


def test_what_is_sent_is_kept_short() -> None:
    image = "data:image/png;base64," + b64encode(bytes(3000)).decode()
    kept = without_encoded({"content": [{"image_url": {"url": image}}, "a text " * 500, "A" * 999]})
    url = kept["content"][0]["image_url"]["url"]
    assert re.fullmatch(r"data:image/png;base64,\[4000 characters, sha256 [0-9a-f]{64}\]", url)
    assert kept["content"][1:] == ["a text " * 500, "A" * 999]
    assert sent_content("é".encode() * 10) == {"text": "é" * 10}
    assert sent_content(b"x" * 100_000).keys() == {"sha256", "size"}
    assert sent_content(b"\xff\x00").keys() == {"sha256", "size"}
    assert sent_content(b"") == {}


def test_an_existing_file_is_recorded_anew_only_when_told(path: Path, emulator: Emulator) -> None:
    with record(path):
        pass
    with pytest.raises(FileExistsError, match="overwrite=True"), record(path):
        pytest.fail("nothing is recorded")
    with record(path, overwrite=True), Together(base_url=emulator.base_url, api_key="any") as client:
        client.models.list()
    assert len(load(path)) == 1


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"session.yaml: make it with record\("), replay(path):
        pytest.fail("nothing is replayed")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_process_leaves_the_earlier_file(path: Path, emulator: Emulator) -> None:
    save(path, [], [], overwrite=False)
    before = path.read_bytes()
    child = os.fork()
    if not child:
        with record(path, overwrite=True), Together(base_url=emulator.base_url, api_key="any") as client:
            client.models.list()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_that_write_one_file_leave_a_whole_one(path: Path, emulator: Emulator) -> None:
    children = []
    for count in (1, 2, 3):
        children.append(os.fork())
        if not children[-1]:
            with record(path, overwrite=True), Together(base_url=emulator.base_url, api_key="any") as client:
                for _ in range(count):
                    client.models.list()
            os._exit(0)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert len(load(path)) in (1, 2, 3)
    assert os.listdir(path.parent) == [path.name]


def test_big_integers_and_keys_are_read_as_json() -> None:
    assert loads('{"a":123456789012345678901234567890}') == {"a": 123456789012345678901234567890}
