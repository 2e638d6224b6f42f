"""The files of a checkpoint: requests as they are sent, answers as they came, with the packages that make it fast and without."""

from __future__ import annotations

import datetime
import json
import math
import pickle
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.test_batch_runs import MODEL, bodies, echo, expected, run, sent, texts
from together_adapters import Together
from together_adapters.bulk import answer_files, inputs
from together_adapters.bulk.answer_files import AnswerFiles, State, trim
from together_adapters.bulk.inputs import body_of, read_requests
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


def test_requests_are_the_same_with_orjson_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("orjson")
    fast = [*read_requests(BODIES, CHAT, None)]
    monkeypatch.setattr(inputs, "_dumps", None)
    assert fast == [*read_requests(BODIES, CHAT, None)]
    assert [json.loads(body_of(line))["model"] for _, _, line in fast] == [MODEL] * len(BODIES)
    assert [json.loads(line)["custom_id"] for _, _, line in fast] == [id for id, _, _ in fast]


def test_the_order_of_keys_counts_only_where_it_can_change_an_answer(packages: str) -> None:
    def ids(*values: Any) -> int:
        return len({id for id, _, _ in read_requests(values, CHAT, MODEL)})

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
    answers.add(answers.read("a.jsonl", {"a": 0}, **options), MODEL, may_retry=True)
    return answers


@pytest.mark.parametrize("kind", LINES)
def test_lines_of_answers(packages: str, tmp_path: Path, kind: str) -> None:
    content, state, tokens = LINES[kind]
    answers = read(tmp_path, content)
    assert answers.states[0] == state
    assert answers.tokens[MODEL] == tokens
    if state == State.ANSWERED:
        assert answers.lines([0])[0].strip() in content


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
    assert [*(tmp_path / "run.sqlite-files").iterdir()] == []
    assert len(run(flavour, bodies(3), checkpoint=path)) == 3
    assert sent(emulator, "POST", "/v1/batches") == 1
