"""The other LlamaIndex recipes as a user runs them: their output, their requests and their exit code."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, chats, run
from tests.cookbook.test_recipes import CLOSING
from together_adapters.emulator import Emulator, serve


def output_of(recipe: str, **environment: str) -> str:
    return check_output(run(recipe, **environment))


def check_output(process: subprocess.CompletedProcess[str]) -> str:
    assert (process.returncode, process.stderr) == (0, "")
    assert all(len(line) < 80 for line in process.stdout.splitlines() if not line.startswith(("Question:", "Service:")))
    return process.stdout


@pytest.fixture
def service(emulator: Emulator) -> dict[str, str]:
    return {"TOGETHER_BASE_URL": emulator.base_url, "TOGETHER_API_KEY": KEY}


def test_agent_calls_tools_in_parallel(emulator: Emulator, service: dict[str, str]) -> None:
    output = output_of("agent_llama_index", **service)
    lines = re.findall(r"^ +\d\.\d s  (\w+)([(:])", output, re.MULTILINE)
    assert sorted(lines[:3]) == [("distance", "("), ("local_time", "("), ("local_time", "(")]  # all calls before any result
    assert sorted(lines[3:]) == [("distance", ":"), ("local_time", ":"), ("local_time", ":")]
    timing = re.search(r"The tools took (\d\.\d) s; one after the other they take 1\.5 s\.", output)
    assert timing
    assert 0.5 <= float(timing[1]) < 1.5
    answer = " ".join(output.partition("one after the other")[2].split())
    assert "From Lima to Tokyo it is 15,492 km." in answer
    assert len(re.findall(r"In (?:Tokyo|Lima) it is \d\d:\d\d on \w+day\.", answer)) == 2
    assert CLOSING.search(output)
    first, second = chats(emulator)
    assert first["stream"]
    assert {tool["function"]["name"] for tool in first["tools"]} == {"local_time", "distance"}
    [calls] = [message["tool_calls"] for message in second["messages"] if message.get("tool_calls")]
    results = {message["tool_call_id"] for message in second["messages"] if message["role"] == "tool"}
    assert {call["id"] for call in calls} == results
    assert len(results) == 3


def test_tool_error_is_sent_to_the_model(run_again: RunAgain) -> None:
    output = check_output(run_again("agent_llama_index", "--question", "What time is it in Atlantis?"))
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in output
    assert "local_time: Atlantis is not among Cairo, Lima, Nairobi, Oslo, Tokyo" in output


def test_agents_hand_over(emulator: Emulator, service: dict[str, str]) -> None:
    output = output_of("handoff_llama_index", **service)
    first, second = output.split("\n> ")[1:]
    assert re.findall(r"\[(\w+)\]|hands over to (\w+)", first) == [("Reception", ""), ("", "Parcels"), ("Parcels", "")]
    assert re.findall(r"\[(\w+)\]|hands over to (\w+)", second) == [("Parcels", ""), ("", "Payments"), ("Payments", "")]
    assert "    track: Order 1042, a desk lamp for 24.50 EUR, was delivered on 3 May." in first
    assert "    refund: 24.50 EUR for order 1042 go back to the card they came from." in second
    bodies = chats(emulator)
    tool_names = [{tool["function"]["name"] for tool in body["tools"]} for body in bodies]
    assert tool_names == [{"handoff"}, *[{"track", "handoff"}] * 3, *[{"refund", "handoff"}] * 2]
    conversations = [[message for message in body["messages"] if message["role"] != "system"] for body in bodies]
    assert all(after[: len(before)] == before for before, after in pairwise(conversations))  # one conversation, over all desks


def test_objects_are_printed_while_they_stream(emulator: Emulator, service: dict[str, str]) -> None:
    with emulator.behave(delay=0.004):
        output = output_of("extraction_llama_index", **service)
    by_schema, by_tool, announcement = output.split(":\n")[1:]
    rows = [
        ["Ada Okafor", "write", "14 May"],
        ["Ben Osei", "test", "18 May"],
        ["Chidi Lund", "invite", "20 May"],
        ["Dana Petrov", "order", "2 June"],
    ]
    for part in (by_schema, by_tool):
        matches = re.findall(r"^ +(\d\.\d) s  (.{12}) (\w+) +(.+)$", part, re.MULTILINE)
        assert [[who.strip(), kind, due] for _, who, kind, due in matches] == rows
        assert float(matches[0][0]) < float(matches[-1][0])
    assert re.findall(r"^  (\w+) +(.+)$", announcement, re.MULTILINE) == [
        ("title", "Search without tears"),
        ("city", "Lisbon"),
        ("date", "12 May 2026"),
        ("email", "ada@example.org"),
    ]
    schema, tool, event = chats(emulator)
    assert schema["response_format"]["json_schema"]["name"] == "Promises"
    assert (tool["tools"][0]["function"]["name"], tool["tool_choice"]) == ("Promises", "required")
    assert event["response_format"]["json_schema"]["name"] == "Event"


def test_texts_are_embedded_once(emulator: Emulator, service: dict[str, str]) -> None:
    output = output_of("ingestion_llama_index", **service)
    matches = re.findall(r"^([a-z ]+?)  +(\d+) +(\d+) +\d+\.\d s$", output, re.MULTILINE)
    counts = {name: (int(passages), int(requests)) for name, passages, requests in matches}
    passages = counts["the first"][0]
    assert passages > 300
    assert counts == {
        "the first": (passages, -(-passages // 128)),
        "the same again": (passages, 0),
        "with another key": (passages, 0),
        "after one passage changed": (passages, 1),
    }
    probe, *inputs = [request.json["input"] for request in emulator.requests]
    assert probe == "Python"  # the question whether the model is served
    assert sum(map(len, inputs[:-1])) == passages
    assert inputs[-1] == ["A new first passage."]


def test_ingestion_without_an_embedding_model_indexes_keywords(run_again: RunAgain) -> None:
    process = run_again("ingestion_llama_index", TOGETHER_EMULATOR="strict")
    assert process.returncode == 0
    notes = process.stderr.splitlines()
    assert [note.partition(":")[0] for note in notes] == ["note", "note"]
    assert "EMBEDDING_BASE_URL" in notes[0] and "docs/embeddings-elsewhere.md" in notes[1]
    assert "\nVectors:  none, as the service serves no embedding model\n" in process.stdout
    assert re.search(r"^\d{3} passages indexed by keywords in \d+\.\d s$", process.stdout, re.MULTILINE)
    assert re.search(r"^Best:     .*[Cc]oroutine", process.stdout, re.MULTILINE)


def test_ingestion_embeds_at_another_server(run_again: RunAgain) -> None:
    with serve(models=["acme/vectors=embedding"]) as server:
        settings = {"EMBEDDING_BASE_URL": server.base_url, "EMBEDDING_MODEL": "acme/vectors"}
        output = check_output(run_again("ingestion_llama_index", TOGETHER_EMULATOR="strict", **settings))
        assert {request.json["model"] for request in server.requests} == {"acme/vectors"}
    assert re.search(r"^the same again +\d+ +0 ", output, re.MULTILINE)


@pytest.mark.parametrize("recipe", ["agent_llama_index", "handoff_llama_index", "extraction_llama_index"])
def test_strict_mode_serves_the_others_too(recipe: str, run_again: RunAgain) -> None:
    check_output(run_again(recipe, TOGETHER_EMULATOR="strict"))


def test_error_is_one_line(service: dict[str, str], run_again: RunAgain) -> None:
    process = run_again("handoff_llama_index", **service | {"TOGETHER_API_KEY": BAD_KEY})
    assert process.returncode == 3
    assert re.fullmatch(r"error: 401 from POST /v1/chat/completions: .*TOGETHER_API_KEY.*\n", process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout
