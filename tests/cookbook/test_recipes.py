"""The RAG recipes as a user runs them: their output, stderr and exit code."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from types import ModuleType

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, run
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Emulator, Fault

RECIPES = ["rag_langchain", "rag_llama_index"]
CLOSING = re.compile(r"^\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; \d+\.\d s$", re.MULTILINE)
WRONG_KEY = re.compile(r"error: 401 from POST /v1/embeddings: .*TOGETHER_API_KEY.*\n")


def check_answer(output: str) -> None:
    """Checks that the answer cites passages, and that the list has exactly the titles of these."""
    header, citations = output.split("\nPassages cited:\n")
    answer = header.split("\n\n", 1)[1]
    numbers = sorted({int(number) for number in re.findall(r"\[(\d)\]", answer)})
    assert numbers
    assert [int(line[3]) for line in citations.splitlines() if re.match(r"  \[\d\] \S", line)] == numbers
    assert CLOSING.search(citations)
    assert all(len(line) < 80 for line in output.splitlines())


# Imports of the frameworks take seconds, so the tests below share one process where they can.


@pytest.mark.parametrize("recipe", RECIPES)
def test_answers_on_a_given_service(recipe: str, emulator: Emulator) -> None:
    process = run(recipe, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert (process.returncode, process.stderr) == (0, "")
    assert f"Service:  {emulator.base_url}\n" in process.stdout
    check_answer(process.stdout)
    assert "[1] The break statement\n" in process.stdout
    assert "skipping the optional `else` clause" in " ".join(process.stdout.split())
    assert f"\n{len(emulator.requests)} requests;" in process.stdout
    assert {request.headers["authorization"] for request in emulator.requests} == {f"Bearer {KEY}"}
    paths = [request.path for request in emulator.requests]
    assert paths.count("/v1/chat/completions") == 2  # one ranks, one answers
    assert paths.count("/v1/embeddings") <= 5


@pytest.mark.parametrize("recipe", RECIPES)
def test_starts_an_emulator(recipe: str, run_again: RunAgain) -> None:
    process = run_again(recipe, "--question", "What is a coroutine?")
    assert (process.returncode, process.stderr) == (0, "")
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in process.stdout
    check_answer(process.stdout)
    assert "coroutine function" in " ".join(process.stdout.partition("\n\n")[2].split())


def test_error_is_one_line(emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again("rag_langchain", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert WRONG_KEY.fullmatch(process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> ModuleType:
    """A recipe in this process, on the emulator, with a part of the corpus."""
    monkeypatch.syspath_prepend(COOKBOOK)
    monkeypatch.setattr(sys, "argv", [f"{request.param}.py"])
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    module = importlib.import_module(request.param)
    selection = [passage for passage in module.passages() if "statement" in passage.title]
    monkeypatch.setattr(module, "passages", lambda: selection)
    return module


def test_wrong_key(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", BAD_KEY)
    with pytest.raises(SystemExit) as exit_info:
        recipe.main()
    assert exit_info.value.code == 3
    assert WRONG_KEY.fullmatch(capsys.readouterr().err)


def test_dead_server(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        monkeypatch.setenv("TOGETHER_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(SystemExit) as exit_info:
            recipe.main()
    assert exit_info.value.code == 3
    assert re.fullmatch(r"error: POST /v1/embeddings at 127\.0\.0\.1:\d+ failed after 3 attempts: .*\n", capsys.readouterr().err)


def test_no_key(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(SystemExit) as exit_info:
        recipe.main()
    assert exit_info.value.code == 2
    assert re.fullmatch(r"error: .*TOGETHER_API_KEY.*\n", capsys.readouterr().err)


def test_continues_without_reranking(recipe: ModuleType, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.inject(
        Fault("400", path="/v1/chat/completions", message="This model needs an endpoint.", code="model_not_available")
    )
    recipe.main()
    out, err = capsys.readouterr()
    assert re.fullmatch(r"note: continuing without reranking; .*This model needs an endpoint.*\n", err)
    check_answer(out)


def test_question_without_an_answer(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--question", "How do I cook rice?"])
    recipe.main()
    out, err = capsys.readouterr()
    assert err == ""
    assert "I don't know" in out
    assert "\nNo passage is cited.\n" in out
    assert CLOSING.search(out)
