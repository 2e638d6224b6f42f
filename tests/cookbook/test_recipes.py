"""Each recipe as a user runs it: what it prints, what it leaves on stderr, how it ends."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from types import ModuleType

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, Again, run
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Emulator, Fault

RECIPES = ["rag_langchain", "rag_llama_index"]
CLOSING = re.compile(r"^\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; \d+\.\d s$", re.MULTILINE)
WRONG_KEY = re.compile(r"error: 401 from POST /v1/embeddings: .*TOGETHER_API_KEY.*\n")


def check_answer(output: str) -> None:
    """The answer cites passages, and each that it cites is listed by its title, with nothing said twice or left over."""
    header, listed = output.split("\nPassages cited:\n")
    answer = header.split("\n\n", 1)[1]
    cited = sorted({int(number) for number in re.findall(r"\[(\d)\]", answer)})
    assert cited
    assert [int(line[3]) for line in listed.splitlines() if re.match(r"  \[\d\] \S", line)] == cited
    assert CLOSING.search(listed)
    assert all(len(line) < 80 for line in output.splitlines())


# One process each is slow: the frameworks alone take seconds to import. Whatever can share one process does so below.


@pytest.mark.parametrize("recipe", RECIPES)
def test_answers_on_a_given_service(recipe: str, emulator: Emulator) -> None:
    done = run(recipe, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Service:  {emulator.base_url}\n" in done.stdout
    check_answer(done.stdout)
    assert "[1] The break statement\n" in done.stdout
    assert "skipping the optional `else` clause" in " ".join(done.stdout.split())
    assert f"\n{len(emulator.requests)} requests;" in done.stdout
    assert {request.headers["authorization"] for request in emulator.requests} == {f"Bearer {KEY}"}
    paths = [request.path for request in emulator.requests]
    assert paths.count("/v1/rerank") == paths.count("/v1/chat/completions") == 1
    assert paths.count("/v1/embeddings") <= 5


@pytest.mark.parametrize("recipe", RECIPES)
def test_starts_an_emulator_of_its_own(recipe: str, again: Again) -> None:
    done = again(recipe, "--question", "What is a coroutine?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in done.stdout
    check_answer(done.stdout)
    assert "coroutine function" in " ".join(done.stdout.partition("\n\n")[2].split())


def test_ends_in_one_line(emulator: Emulator, again: Again) -> None:
    done = again("rag_langchain", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert done.returncode == 3
    assert WRONG_KEY.fullmatch(done.stderr)
    assert BAD_KEY not in done.stderr + done.stdout


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> ModuleType:
    """A recipe in this process, on the emulator, with a part of the corpus."""
    monkeypatch.syspath_prepend(COOKBOOK)
    monkeypatch.setattr(sys, "argv", [f"{request.param}.py"])
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    module = importlib.import_module(request.param)
    some = [passage for passage in module.passages() if "statement" in passage.title]
    monkeypatch.setattr(module, "passages", lambda: some)
    return module


def test_wrong_key(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", BAD_KEY)
    with pytest.raises(SystemExit) as ended:
        recipe.main()
    assert ended.value.code == 3
    assert WRONG_KEY.fullmatch(capsys.readouterr().err)


def test_dead_server(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        monkeypatch.setenv("TOGETHER_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SystemExit) as ended:
            recipe.main()
    assert ended.value.code == 3
    assert re.fullmatch(r"error: POST /v1/embeddings failed after 3 attempts: .*\n", capsys.readouterr().err)


def test_no_key(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(SystemExit) as ended:
        recipe.main()
    assert ended.value.code == 2
    assert re.fullmatch(r"error: .*TOGETHER_API_KEY.*\n", capsys.readouterr().err)


def test_goes_on_without_reranking(recipe: ModuleType, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.inject(Fault("400", path="/v1/rerank", message="This model needs an endpoint.", code="model_not_available"))
    recipe.main()
    out, err = capsys.readouterr()
    assert re.fullmatch(r"note: continuing without reranking; .*This model needs an endpoint.*\n", err)
    check_answer(out)


def test_says_that_it_does_not_know(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--question", "How do I cook rice?"])
    recipe.main()
    out, err = capsys.readouterr()
    assert err == ""
    assert "I don't know" in out
    assert "\nNo passage is cited.\n" in out
    assert CLOSING.search(out)
