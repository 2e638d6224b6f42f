"""The files of a checkpoint: requests as they are sent, answers as they came, with the packages that make it fast and without."""

from __future__ import annotations

import datetime
import json
import math
import pickle
import sqlite3
import sys
from array import array
from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.test_batch_runs import MODEL, bodies, echo, expected, run, sent, texts
from together_adapters import Together
from together_adapters.bulk import answer_files, inputs
from together_adapters.bulk.answer_files import AnswerFiles, AnswerLog, State, trim
from together_adapters.bulk.inputs import body_of, read_requests
from together_adapters.bulk.request_files import Pending, unpack
from together_adapters.bulk.status import read_status
from together_adapters.control.prices import Tokens
from together_adapters.emulator import Emulator
from together_adapters.errors import APIResponseValidationError, ConfigurationError, DatasetError, DownloadError
from together_adapters.types.chat import ChatCompletion

CHAT = "/v1/chat/completions"


class Word(StrEnum):
    ONE = "one"


def chat(content: Any = "Hello", **params: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **params}


BODIES = [
    chat(),
    chat(temperature=0.7, max_tokens=3, stop=["\n", "}"]),
    chat("a {brace} and a null"),
    chat("ä \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), seed=None, stream=True),
    chat([{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
    chat(
        tools=[
            {"type": "function", "function": {"name": "z", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}}}
        ]
    ),
    chat(seed=2**70, bias={1: 2.5}),
    chat(Word.ONE, at=datetime.date(2026, 1, 2)),
    {"model": MODEL, "prompt": "x", "top_p": 1e-7},
    {"messages": ({"content": None, "role": "assistant"},), "model": MODEL},
]


@pytest.fixture(params=["fast", "plain"])
def packages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with orjson and msgspec, and without."""
    if request.param == "plain":
        monkeypatch.setattr(inputs, "_dumps", None)
        monkeypatch.setattr(answer_files, "_decoder", lambda endpoint: (answer_files._refuse, ValueError))
    else:
        pytest.importorskip("orjson")
        pytest.importorskip("msgspec")
    return str(request.param)


def requests_of(values: Any, model: str | None = None) -> list[tuple[str, str, bytes]]:
    """The id, the model and the line of each request."""
    blocks = read_requests(values, "/v1/anything", model)
    return [
        request
        for block in blocks
        for request in zip(block.ids, block.models, block.lines().splitlines(keepends=True), strict=True)
    ]


def test_requests_are_the_same_with_orjson_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("orjson")
    fast = requests_of(BODIES)
    monkeypatch.setattr(inputs, "_dumps", None)
    assert fast == requests_of(BODIES)
    assert [json.loads(body_of(line))["model"] for _, _, line in fast] == [MODEL] * len(BODIES)
    assert [json.loads(line)["custom_id"] for _, _, line in fast] == [id for id, _, _ in fast]


ALIKE: dict[str, Callable[[int], Any]] = {
    "usual": lambda n: chat(f"text {n}", temperature=n / 7, stop=["a", str(n)]),
    "one at the end with objects": lambda n: chat("text" if n < 9 else [{"type": "text", "b": 1, "a": 2}]),
    "one with a tool": lambda n: chat("text", tools=["x"] if n < 9 else [{"b": 1, "a": 2}]),
    "one without a model": lambda n: {**chat("text"), "model": MODEL if n < 9 else None},
    "one with another key": lambda n: chat("text", **{"a" if n < 9 else "b": 1}),
    "one that would stream": lambda n: chat("text", **({"stream": True} if n == 9 else {"n": n})),
    "one with a null in a message": lambda n: {"model": MODEL, "messages": [{"role": "a", "content": "b" if n < 9 else None}]},
    "one that is no dict": lambda n: chat(str(n)) if n < 9 else UserDict(chat(str(n))),
    "without a model": lambda n: {"messages": [{"role": "user", "content": str(n)}], "seed": n},
    "with messages of any kind": lambda n: {"messages": ["text", {"b": "1", "a": "2"}, 3][: n % 4]},
    "with keys of another type": lambda n: chat("text", bias={n: 1}),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_bodies_that_are_alike_are_read_as_others_are(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    values = [ALIKE[kind](number) for number in range(10)] * 2
    together = requests_of(values, MODEL)
    monkeypatch.setattr(inputs, "_encode_alike", lambda bodies, model: None)
    assert together == requests_of(values, MODEL)
    assert len({id for id, _, _ in together}) <= 10


def test_the_order_of_keys_counts_only_where_it_can_change_an_answer(packages: str) -> None:
    def ids(*values: Any) -> int:
        return len({id for id, _, _ in requests_of(values, MODEL)})

    message = {"role": "user", "content": "a"}
    same = (
        {"messages": [message], "model": MODEL},
        {"model": MODEL, "messages": [dict(reversed(message.items()))]},
        {"messages": [message]},
    )
    assert ids(*same) == 1
    assert ids(chat(tools=[{"a": 1, "b": 2}]), chat(tools=[{"b": 2, "a": 1}])) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud83d", object()])
@pytest.mark.parametrize("place", ["body", "message"])
def test_what_json_cannot_express(packages: str, value: Any, place: str) -> None:
    body = chat(x=value) if place == "body" else chat(value)
    with pytest.raises(DatasetError, match="request 0 cannot be written as JSON"):
        list(read_requests([body], CHAT, None))


def test_errors_of_an_iterable_are_its_own(packages: str) -> None:
    def broken() -> Iterator[Any]:
        yield chat()
        raise ValueError("no more")

    with pytest.raises(ValueError, match=r"^no more$"):
        list(read_requests(broken(), CHAT, None))


# Answers


def line(custom_id: str, body: Any, **fields: Any) -> bytes:
    return json.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}, **fields}).encode() + b"\n"


def answer(content: Any = "A", **fields: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}], "usage": usage, **fields}


DETAILS = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "cached_tokens": 1,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
LINES = {
    "plain": (line("a", answer()), State.ANSWERED, Tokens(5, 0, 2, 0)),
    "other fields": (line("a", answer(id="x", object="y"), id="batch_req", error=None), State.ANSWERED, Tokens(5, 0, 2, 0)),
    "details": (line("a", answer(usage=DETAILS)), State.ANSWERED, Tokens(5, 3, 2, 1)),
    "without usage": (line("a", answer(usage=None)), State.ANSWERED, Tokens()),
    "usage that cannot be": (line("a", answer(usage={"prompt_tokens": -1})), State.ANSWERED, Tokens()),
    "text in parts": (line("a", answer([{"type": "text", "text": "A"}])), State.ANSWERED, Tokens(5, 0, 2, 0)),
    "half a character": (line("a", answer("\ud83d")), State.ANSWERED, Tokens(5, 0, 2, 0)),
    "no choices": (line("a", answer(choices=[])), State.RETRY, Tokens()),
    "choices of another kind": (line("a", answer(choices=["A"])), State.RETRY, Tokens()),
    "an error in the body": (line("a", {"error": {"message": "no", "code": "invalid_request"}}), State.REFUSED, Tokens()),
    "an error": (b'{"custom_id":"a","error":{"message":"slow down","code":"rate_limit"}}\n', State.RETRY, Tokens()),
    "an error without a code": (b'{"custom_id":"a","error":"no"}\n', State.FAILED, Tokens()),
    "of another run": (line("b", answer()), State.NEW, Tokens()),
    "twice": (line("a", answer()) * 2, State.ANSWERED, Tokens(5, 0, 2, 0)),
    "blank lines": (b"\n" + line("a", answer()) + b"\n", State.ANSWERED, Tokens(5, 0, 2, 0)),
    "without an end": (line("a", answer())[:-1], State.ANSWERED, Tokens(5, 0, 2, 0)),
}


def read(folder: Path, content: bytes, **options: Any) -> AnswerFiles:
    answers = AnswerFiles(folder, CHAT)
    answers.grow(1)
    (folder / "a.jsonl").write_bytes(content)
    answers.add(answers.read("a.jsonl", Pending("a", range(1)), **options), MODEL, may_retry=True)
    return answers


@pytest.mark.parametrize("kind", LINES)
def test_lines_of_answers(packages: str, tmp_path: Path, kind: str) -> None:
    content, state, tokens = LINES[kind]
    answers = read(tmp_path, content)
    assert answers.states[0] == state
    assert answers.tokens[MODEL] == tokens
    if state == State.ANSWERED:
        assert answers.lines([0])[0].strip() in content


@pytest.mark.parametrize("order", ["abcdefgh", "hgfedcba", "abcdhgfe", "abcdefgabz", "abzcdaefgh"])
def test_answers_in_any_order(packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(answer_files, "_BLOCK", 2 * len(line("a", answer())) - 9)  # two lines
    content = b"".join(line(id, answer(f"{id} at {position}")) for position, id in enumerate(order))
    answers, pending = AnswerFiles(tmp_path, CHAT), Pending("abcdefgh", range(8))
    answers.grow(8)
    (tmp_path / "a.jsonl").write_bytes(content)
    answers.add(answers.read("a.jsonl", pending), MODEL, may_retry=True)
    found = {id for id in "abcdefgh" if id in order}
    assert [*pending.by_id] == [id for id in "abcdefgh" if id not in found]
    assert answers.tokens[MODEL] == Tokens(5 * len(found), 0, 2 * len(found), 0)
    for number, id in enumerate("abcdefgh"):
        text = f'"{id} at {order.index(id)}"'.encode() if id in found else b""
        assert text in answers.lines(range(number, number + 1))[0]
        assert answers.states[number] == (State.ANSWERED if id in found else State.NEW)


@pytest.mark.parametrize("content", [b'{"custom_id":"a"', b"[]\n", b"no\n", line("a", answer())[:-9]])
def test_lines_that_are_damaged(packages: str, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DownloadError, match="is damaged"):
        read(tmp_path, content)


def test_the_end_of_a_file_whose_process_was_killed(packages: str, tmp_path: Path) -> None:
    whole, path = line("a", answer()), tmp_path / "log.jsonl"
    assert read(tmp_path, whole + whole[:30], is_growing=True).states[0] == State.ANSWERED
    for content, rest in ((whole + b"x" * 200_000, whole), (whole, whole), (b"x", b""), (b"", b"")):
        path.write_bytes(content)
        trim(path)
        assert path.read_bytes() == rest


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to the size of files")
def test_a_line_for_which_there_is_no_room_leaves_no_part_of_itself(tmp_path: Path) -> None:
    import resource

    log = AnswerLog(tmp_path / "log.jsonl")
    log.add(b"one\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, before[1]))
    try:
        with pytest.raises(OSError, match=r"log\.jsonl"):
            log.add(b"two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert log.add(b"three\n") == (4, 6)
    log.close()
    assert log.path.read_bytes() == b"one\nthree\n"


# Runs


def test_runs_without_the_packages(packages: str, flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    results = run(flavour, bodies(30) + bodies(3), checkpoint=tmp_path / "run.sqlite")
    assert texts(flavour, results) == expected(30) + expected(3)
    bill = emulator.bill.total()
    assert (results.usage.prompt_tokens, results.usage.completion_tokens) == (bill.input_tokens, bill.output_tokens)


def test_a_response_is_parsed_when_it_is_read(emulator: Emulator, tmp_path: Path) -> None:
    with Together(api_key="emulator", base_url=emulator.base_url) as client:
        results = client.batches.run(bodies(2), checkpoint=tmp_path / "run.sqlite", poll_interval=0.02)
        item = next(iter(results))
        results.close()
    assert type(item.response) is ChatCompletion and item.response is item.response and item.ok
    copy = pickle.loads(pickle.dumps(item))
    assert (copy.index, copy.id, copy.response, copy.error) == (item.index, item.id, item.response, item.error)
    item._line, item._response = line("a", answer(usage=[1])), None
    with pytest.raises(APIResponseValidationError, match="the response to request 0 cannot be parsed"):
        _ = item.response


@pytest.mark.parametrize("change", ["missing", "shorter"])
@pytest.mark.parametrize("kind", ["bulk-*", "answers-*"])
def test_files_that_are_lost(flavour: Any, emulator: Emulator, tmp_path: Path, kind: str, change: str) -> None:
    path = tmp_path / "run.sqlite"
    run(flavour, bodies(2), checkpoint=path).close()
    [file] = (tmp_path / "run.sqlite-files").glob(kind)
    file.unlink() if change == "missing" else file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ConfigurationError, match=rf"{file.name}, a file of the checkpoint .*run\.sqlite, is (missing|damaged)"):
        run(flavour, bodies(2), checkpoint=path)
    with pytest.raises(ConfigurationError, match="a file of the checkpoint"):
        read_status(path)


def test_files_of_a_run_that_could_not_begin(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with pytest.raises(DatasetError):
        run(flavour, [*bodies(150), "text"], checkpoint=path)
    assert [*tmp_path.iterdir()] == []
    assert len(run(flavour, bodies(3), checkpoint=path)) == 3
    assert sent(emulator, "POST", "/v1/batches") == 1


def test_a_checkpoint_of_the_layout_before(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    """There, numbers that follow each other were written like others."""
    echo(emulator)
    path = tmp_path / "run.sqlite"
    run(flavour, bodies(30), checkpoint=path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column in (("requests", "numbers"), ("shards", "numbers"), ("run", "inputs")):
            [(blob,)] = connection.execute(f"SELECT {column} FROM {table}").fetchall()
            numbers = array("I", unpack(blob)).tobytes()
            assert len(blob) < len(numbers) == 4 * 30
            connection.execute(f"UPDATE {table} SET {column} = ?", (numbers,))
        connection.execute("PRAGMA user_version = 2")
    assert texts(flavour, run(flavour, bodies(40), checkpoint=path)) == expected(40)
    assert sent(emulator, "POST", "/v1/batches") == 2
    assert read_status(path).total == 40
