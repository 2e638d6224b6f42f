"""The LlamaIndex recipes but for RAG, each as a user runs it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cookbook.test_recipes import KEY, run
from together_adapters.emulator import Emulator

USUAL = "default::DeprecationWarning:__main__"
"""As a user runs it: LlamaIndex's own workflows use deprecated parts of pydantic."""


def on(emulator: Emulator, recipe: str, *arguments: str) -> str:
    done = run(recipe, *arguments, warnings=USUAL, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Service:  {emulator.base_url}\n" in done.stdout
    assert KEY not in done.stdout
    return done.stdout


def bodies(emulator: Emulator, path: str) -> list[dict[str, Any]]:
    return [request.json for request in emulator.requests if request.path == path]


def test_the_agent_calls_its_tools_at_the_same_time(emulator: Emulator) -> None:
    shown = on(emulator, "agent_llama_index")
    lines = re.findall(r"turn (\d), after (\d+\.\d) s: (\w+)\(city='(\w+)'\) -> (.*)", shown)
    assert {(turn, tool, city) for turn, _, tool, city, _ in lines} == {
        ("1", "weather", "Paris"), ("1", "weather", "Cairo"), ("1", "population", "Oslo"),
    }  # fmt: skip
    times = [float(seconds) for _, seconds, *_ in lines]
    assert max(times) - min(times) < 0.5, "each waits half a second, so they would end one after the other"
    answer = shown.rpartition(lines[-1][-1])[2]
    assert "18 °C" in answer and "720,000" in answer
    first, second = bodies(emulator, "/v1/chat/completions")
    assert first["stream"] and {tool["function"]["name"] for tool in first["tools"]} == {"weather", "population"}
    assert len(second["messages"][-4]["tool_calls"]) == 3
    assert [message["role"] for message in second["messages"][-3:]] == ["tool"] * 3


def test_one_agent_hands_over_to_the_other(emulator: Emulator) -> None:
    shown = on(emulator, "handoff_llama_index")
    researcher, writer = shown.split("\nWriter:\n")
    assert "Researcher:\n" in researcher and "handoff(to_agent='Writer')" in researcher
    assert "45 m deep" in researcher.partition("Researcher:")[2] and "45 m deep" in writer
    assert "2 notes were taken" in writer
    roles = [body["messages"][0]["content"] for body in bodies(emulator, "/v1/chat/completions")]
    assert "look up lakes" in roles[0] and "write a report" in roles[-1]


def test_the_form_fills_while_it_streams(emulator: Emulator) -> None:
    shown = on(emulator, "extraction_llama_index")
    streaming, whole = shown.split("\nAs a whole:\n")
    steps = streaming.partition("While it streams:\n")[2].splitlines()
    assert len(steps) >= 3 and len(steps[0]) < len(steps[-1])
    for value in ("name='Ann Baker'", "age=34", "city='Oslo'", "email='ann.baker@example.com'"):
        assert value in whole
    assert whole.endswith("Asked asynchronously:\n  the same\n")
    asked = bodies(emulator, "/v1/chat/completions")
    assert [bool(body.get("stream")) for body in asked] == [True, False, False]
    assert all("Ann Baker" in json.dumps(body["messages"]) for body in asked)


def test_the_cache_saves_requests(emulator: Emulator) -> None:
    shown = on(emulator, "ingestion_llama_index")
    runs = re.findall(r"^(.+?)  +(\d+) passages embedded, (\d+) requests$", shown, re.MULTILINE)
    assert [name for name, *_ in runs] == ["the first time", "again", "with another key", "one document was edited"]
    assert len({passages for _, passages, _ in runs}) == 1
    assert [int(requests) > 0 for *_, requests in runs] == [True, False, False, True]
    assert sum(int(requests) for *_, requests in runs) == len(emulator.requests)


@pytest.mark.parametrize("recipe", ["agent", "handoff", "extraction", "ingestion"])
def test_they_need_no_key(recipe: str) -> None:
    done = run(f"{recipe}_llama_index", warnings=USUAL)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in done.stdout
