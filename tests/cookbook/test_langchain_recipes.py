"""The other LangChain recipes as a user runs them: their output, their requests and their exit code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, chats, run
from tests.cookbook.test_recipes import CLOSING
from together_adapters.emulator import Emulator

Cook = Callable[..., str]


def check_output(process: subprocess.CompletedProcess[str]) -> str:
    """Checks that a recipe succeeds, prints nothing to stderr and fits a terminal; returns its output."""
    assert (process.returncode, process.stderr) == (0, "")
    assert all(len(line) < 80 for line in process.stdout.splitlines() if not line.startswith(("Question:", "Service:")))
    assert CLOSING.search(process.stdout)
    return process.stdout


@pytest.fixture
def cook(emulator: Emulator, run_again: RunAgain) -> Cook:
    """Runs a recipe on the emulator of the test: in its default mode as a new process."""

    def start(recipe: str, *arguments: str, mode: str = "default") -> str:
        begin = run if mode == "default" else run_again
        return check_output(begin(recipe, *arguments, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY))

    return start


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_agent_calls_tools_in_parallel(cook: Cook, emulator: Emulator) -> None:
    output = cook("agent_langchain")
    calls = re.findall(r"^ +\d+\.\d s  (\w+)\('([\w-]+)'\)$", output, re.MULTILINE)
    assert calls == [("installed_version", "httpx"), ("license_of", "tqdm"), ("requirements", "langgraph")]
    timing = re.search(r"The tools took (\d\.\d) s; one after the other they take 1\.5 s\.", output)
    assert timing
    assert 0.5 <= float(timing[1]) < 1.5
    answer = one_line(output.partition("one after the other")[2])
    assert re.search(
        r"Version [\d.]+ of httpx is installed\. .*license of tqdm is MPL-2\.0.*langgraph requires .*langchain-core", answer
    )
    first, second = chats(emulator)
    assert first["stream"]
    assert {tool["function"]["name"] for tool in first["tools"]} == {"installed_version", "license_of", "requirements"}
    [tool_calls] = [message["tool_calls"] for message in second["messages"] if message.get("tool_calls")]
    assert [call["id"] for call in tool_calls] == [
        message["tool_call_id"] for message in second["messages"] if message["role"] == "tool"
    ]
    assert len(tool_calls) == 3


def test_tool_error_is_sent_to_the_model(run_again: RunAgain) -> None:
    output = check_output(
        run_again("agent_langchain", "--question", "Which version has 'pydantic', and what license has 'rice'?")
    )
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in output
    assert "license_of failed: A package 'rice' is not installed." in output
    assert "license_of says: A package 'rice' is not installed." in one_line(output)


def test_graph_rewrites_a_question_without_results(cook: Cook, mode: str, emulator: Emulator) -> None:
    output = cook("agentic_rag_langchain", mode=mode)
    searches = re.findall(r"^Search (\d): (\d) of 6 passages help$", output, re.MULTILINE)
    assert searches[0] == ("1", "0")
    assert searches[1][0] == "2"
    assert int(searches[1][1]) >= 1
    assert "Rewritten: Do they nest, regarding decorator?\n" in output
    assert output.count("\n  yes  ") == int(searches[1][1])
    assert "Multiple decorators are applied in nested fashion [" in one_line(output)
    assert re.search(r"^  \[\d\] Function definitions \(\d of \d\)$", output, re.MULTILINE)
    bodies = chats(emulator)
    grades = [body for body in bodies if body.get("response_format", {}).get("type") == "json_schema"]
    assert (len(grades), len(bodies)) == (12, 14)  # the grades, one rewritten question and one answer
    assert emulator.most_in_flight > 1  # passages are graded in parallel
    assert bodies[-1]["stream"]
    assert "\n\n\n" not in output  # chunks of its reasoning are no answer


def test_graph_stops_after_three_searches(run_again: RunAgain) -> None:
    output = check_output(
        run_again("agentic_rag_langchain", "--earlier", "How do I cook rice?", "--question", "How long does that need to simmer?")
    )
    assert re.findall(r"^Search (\d): (\d) of", output, re.MULTILINE) == [("1", "0"), ("2", "0"), ("3", "0")]
    assert "I don't know" in output
    assert "\nNo passage is cited.\n" in output


def test_failed_bookings_are_requested_again(cook: Cook, emulator: Emulator) -> None:
    output = cook("extraction_langchain")
    rows = [line.split() for line in output.splitlines() if re.search(r"\d\.\d\d +\d+ \w+ 2026$", line)]
    assert rows == [
        ["Ben", "Osei", "Lisbon", "3", "80.00", "240.00", "12", "May", "2026"],
        ["Northern", "Readers", "Oslo", "2", "95.00", "190.00", "14", "May", "2026"],
        ["Dana", "Petrov", "Turin", "1", "110.00", "110.00", "5", "June", "2026"],
    ]
    assert "14 May 2026\n  (second request with a higher token limit)\n" in output
    assert output.count("second request") == 2
    assert "No booking in e-mail 3: 4 x 70.00 is 280.00, but the total is 290.00\n  This is Ada Okafor." in output
    bodies = chats(emulator)
    assert all(body["response_format"]["type"] == "json_schema" for body in bodies)
    assert [body["max_tokens"] for body in bodies] == [60, 60, 60, 60, 400, 400]
    assert [len(body["messages"]) for body in bodies[4:]] == [1, 3]
    assert "4 x 70.00 is 280.00, but the total is 290.00" in bodies[-1]["messages"][-1]["content"]


def test_two_searches_and_one_rerank(cook: Cook, mode: str, emulator: Emulator) -> None:
    output = cook("hybrid_rag_langchain", mode=mode)
    counts = re.search(r"10 results of keyword search, (\d+) of vector search, (\d+) in all\. Best:\n", output)
    assert counts
    assert (counts[1] == "10") == (mode == "default")
    table = re.findall(r"^  ([01]\.\d{3}) +(\d+|-) +(\d+|-)  (.+)$", output, re.MULTILINE)
    scores = [float(row[0]) for row in table]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert any(row[2] != "-" for row in table) == (mode == "default")
    assert table[0][3].startswith("Customizing attribute access: __slots__")
    assert "Without a __weakref__ variable for each instance" in one_line(output)
    assert "[1] Customizing attribute access: __slots__" in output
    ranking, answer = chats(emulator)
    assert str(ranking["messages"]).count("<passage id=") == int(counts[2])
    assert answer["stream"]


def test_continues_without_reranking(emulator: Emulator, run_again: RunAgain) -> None:
    emulator.reply("I would rather not say.", when="<passage id", times=9)
    process = run_again("hybrid_rag_langchain", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert process.returncode == 0
    assert re.fullmatch(r"note: continuing without reranking \(.*I would rather not say.*\)\n", process.stderr)
    assert process.stdout.count("\n      -  ") == 4
    assert "Passages cited:" in process.stdout


@pytest.mark.parametrize("recipe", ["agent_langchain", "extraction_langchain"])
def test_strict_mode_serves_the_others_too(recipe: str, run_again: RunAgain) -> None:
    check_output(run_again(recipe, TOGETHER_EMULATOR="strict"))


@pytest.mark.parametrize("recipe", ["agent_langchain", "extraction_langchain"])
def test_wrong_key_is_one_line(recipe: str, emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again(recipe, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert re.fullmatch(r"error: 401 from POST /v1/chat/completions: .*TOGETHER_API_KEY.*\n", process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout
