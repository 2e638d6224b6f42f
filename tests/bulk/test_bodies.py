"""What bodies have beside JSON that is ready to send: mistyped names, classes and functions."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.bulk.test_batch_runs import MODEL, bodies, sent
from together_adapters.bulk import run
from together_adapters.emulator import Emulator
from together_adapters.errors import DatasetError
from together_adapters.resources.batch_files import write_input

VIAS = ("online", "batch")


class Animal(BaseModel):
    name: str


class Sum(BaseModel):
    total: int


def weather(city: str) -> str:
    """Tells the weather."""
    return city


def perform(flavour: Any, inputs: Any, **options: Any) -> Any:
    return flavour.run(run(flavour.client(max_retries=0), inputs, poll_interval=0.02, **options))


def items(flavour: Any, results: Any) -> list[Any]:
    return list(flavour.iterate(aiter(results))) if flavour.is_async else list(results)


@pytest.mark.parametrize("via", VIAS)
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"max_token": 3}, r"request 1: unknown parameter 'max_token' \(do you mean 'max_tokens'\?\). Nothing was sent"),
        ({"max_completion_tokens": 3}, r"'max_completion_tokens' \(do you mean 'max_tokens'\?\)"),
        (
            {"max_token": 3, "temprature": 0},
            r"'max_token' \(do you mean 'max_tokens'\?\), 'temprature' \(do you mean 'temperature'\?\)",
        ),
        (
            {"extra_body": {"a": 1}, "timeout": 3},
            r"'extra_body' \(its fields .* body itself\), 'timeout' \(an option of single calls",
        ),
    ],
)
def test_a_mistyped_parameter(flavour: Any, emulator: Emulator, via: Any, extra: dict[str, Any], message: str) -> None:
    inputs = bodies(3)
    inputs[1] |= extra
    with pytest.raises(DatasetError, match=message):
        perform(flavour, inputs, via=via)
    with pytest.raises(DatasetError, match=message.replace("request 1", r"request 2 \(request-2\)").replace(". Nothing", ".*")):
        write_input(inputs, "never.jsonl")
    assert emulator.requests == []


@pytest.mark.parametrize("via", VIAS)
def test_names_that_resemble_none_are_sent_with_one_warning(flavour: Any, emulator: Emulator, via: Any) -> None:
    inputs = [{**body, "min_tokens": 1, **({"novel": 1} if i else {})} for i, body in enumerate(bodies(300))]
    with pytest.warns(UserWarning, match=r"sent unchanged: 'min_tokens' \(in 300\), 'novel' \(in 299\)") as caught:
        results = perform(flavour, inputs, via=via)
    assert len(caught) == 1 and len(results) == 300


def test_other_servers_have_names_of_others(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.config.Config.may_be_together", False)
    with pytest.warns(UserWarning, match="'max_completion_tokens'"):
        perform(flavour, [{**bodies(1)[0], "max_completion_tokens": 3}])
    with pytest.raises(DatasetError, match="'temperature'"):
        perform(flavour, [{**bodies(1)[0], "temprature": 3}])


def test_parameters_of_other_endpoints_are_not_checked(flavour: Any, emulator: Emulator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perform(flavour, [{"model": "BAAI/bge-base-en-v1.5", "input": "a", "inputs": 1}], endpoint="/v1/embeddings")


@pytest.mark.parametrize("via", VIAS)
def test_classes_and_functions(flavour: Any, emulator: Emulator, tmp_path: Path, via: Any) -> None:
    emulator.reply(lambda request: '{"name": "llama", "total": 3}')
    plain, animal, total, tools = bodies(4)
    inputs = [plain, {**animal, "response_format": Animal}, {**total, "response_format": Sum}, {**tools, "tools": [weather]}]
    path = tmp_path / "run.sqlite"
    for _ in range(2):  # the second time from the checkpoint
        answers = items(flavour, perform(flavour, inputs, via=via, checkpoint=path))
        parsed = [item.response.parsed for item in answers]
        assert parsed == [None, Animal(name="llama"), Sum(total=3), None]
    if via == "online":
        assert sent(emulator, "POST", "/v1/chat/completions") == 4
        requests = {request.json["messages"][0]["content"]: request.json for request in emulator.requests}
        formats = [requests[body["messages"][0]["content"]].get("response_format") for body in inputs]
        assert formats[1]["json_schema"]["name"] == "Animal" and formats[2]["json_schema"]["schema"]["required"] == ["total"]
        assert requests[tools["messages"][0]["content"]]["tools"][0]["function"]["description"] == "Tells the weather."


def test_what_has_no_schema_is_named(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="request 0: response_format= takes a dictionary or a class, not Animal"):
        perform(flavour, [{**bodies(1)[0], "response_format": Animal(name="x")}])
    path = write_input([{**bodies(1)[0], "response_format": Animal}], tmp_path / "in.jsonl")
    assert json.loads(path.read_text())["body"]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("text", ["hi", "Sum up. " * 999])
def test_a_text_is_a_path(flavour: Any, emulator: Emulator, text: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"a text is taken as the path of a JSON Lines file; requests are a list"):
        perform(flavour, text, model=MODEL)
