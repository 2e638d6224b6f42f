"""The RAG recipes as a user runs them: their output, stderr and exit code."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, MODES, RunAgain, chats, run
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Emulator, serve

RECIPES = ["rag_langchain", "rag_llama_index"]
RANKER, WRITER = "Qwen/Qwen3.5-9B", "openai/gpt-oss-120b"
EMBEDDER = "BAAI/bge-large-en-v1.5"
CLOSING = re.compile(r"^\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; \d+\.\d s$", re.MULTILINE)
WRONG_KEY = re.compile(r"error: 401 from POST /v1/chat/completions: .*TOGETHER_API_KEY.*\n")
NO_VECTORS = "\nVectors:  none, as the service serves no embedding model\n"


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
def test_answers_on_a_given_service(recipe: str, mode: str, emulator: Emulator, run_again: RunAgain) -> None:
    start = run if mode == "default" else run_again
    process = start(recipe, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert (process.returncode, process.stderr) == (0, "")
    assert f"Service:  {emulator.base_url}\n" in process.stdout
    assert f"Models:   {RANKER} ranks, {WRITER} answers\n" in process.stdout
    assert (NO_VECTORS in process.stdout) == (mode == "strict")
    check_answer(process.stdout)
    assert "[1] The break statement\n" in process.stdout
    assert "skipping the optional `else` clause" in " ".join(process.stdout.split())
    assert f"\n{len(emulator.requests)} requests;" in process.stdout
    assert {request.headers["authorization"] for request in emulator.requests} == {f"Bearer {KEY}"}
    ranking, answer = chats(emulator)
    assert (ranking["model"], answer["model"]) == (RANKER, WRITER)
    embeddings = [request for request in emulator.requests if request.path == "/v1/embeddings"]
    assert len(embeddings) == 1 if mode == "strict" else 2 < len(embeddings) <= 6
    embedded, asked = re.search(
        r"^([\d,]+) tokens embedded; ([\d,]+) tokens in and [\d,]+ out", process.stdout, re.MULTILINE
    ).groups()
    assert (embedded == "0") == (mode == "strict")
    assert int(asked.replace(",", "")) > 1000


@pytest.mark.parametrize("setting", [None, *MODES])
@pytest.mark.parametrize("recipe", RECIPES)
def test_starts_an_emulator(recipe: str, setting: str | None, run_again: RunAgain) -> None:
    settings = {"TOGETHER_EMULATOR": setting, "TOGETHER_API_KEY": KEY} if setting else {}  # a key that is not used
    process = run_again(recipe, "--question", "What is a coroutine?", **settings)
    assert (process.returncode, process.stderr) == (0, "")
    reason = f"TOGETHER_EMULATOR={setting}" if setting else "TOGETHER_API_KEY is not set"
    assert f"Service:  emulator ({reason})" in process.stdout
    assert (NO_VECTORS in process.stdout) == (setting == "strict")
    check_answer(process.stdout)
    assert "coroutine function" in " ".join(process.stdout.partition("\n\n")[2].split())


def test_an_unknown_mode_is_an_error(run_again: RunAgain) -> None:
    process = run_again("rag_langchain", TOGETHER_EMULATOR="lenient")
    assert (process.returncode, process.stderr) == (2, "error: TOGETHER_EMULATOR must be default or strict, not 'lenient'\n")


@pytest.mark.parametrize("recipe", RECIPES)
def test_vectors_of_another_server(recipe: str, emulator: Emulator, run_again: RunAgain) -> None:
    """It gets its own key, or none, and never that of Together; its results are merged with those of keywords."""
    question = ("--question", "What does break do to the else clause of a loop?")
    service = {"TOGETHER_BASE_URL": emulator.base_url, "TOGETHER_API_KEY": KEY}
    with emulator.behave(strict=True), serve(models=[EMBEDDER]) as other:
        settings = service | {"EMBEDDING_BASE_URL": other.base_url, "EMBEDDING_MODEL": EMBEDDER}
        for key in ("sk-of-the-other-server", ""):
            process = run_again(recipe, *question, **settings | {"EMBEDDING_API_KEY": key})
            assert (process.returncode, process.stderr) == (0, "")
            assert f"\nVectors:  {EMBEDDER} at {other.base_url}\n" in process.stdout
            check_answer(process.stdout)
            assert {request.headers["authorization"] for request in other.requests} == {f"Bearer {key or 'none'}"}
            assert {request.path for request in other.requests} == {"/v1/embeddings"}
            assert sum(len(as_list(request.json["input"])) for request in other.requests) > 300
            other.clear()
        assert not [request for request in emulator.requests if request.path == "/v1/embeddings"]
        process = run_again(recipe, *question, **settings | {"EMBEDDING_MODEL": "acme/words"})
    assert process.returncode == 3
    assert re.fullmatch(r"error: 404 from POST /v1/embeddings: .*acme/words.*\n", process.stderr)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_error_is_one_line(emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again("rag_langchain", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert WRONG_KEY.fullmatch(process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout


def test_an_empty_question_is_an_error(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--question", "  "])
    with pytest.raises(SystemExit) as exit_info:
        recipe.main()
    assert exit_info.value.code == 2
    assert "--question must not be empty" in capsys.readouterr().err


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
    assert re.fullmatch(
        r"error: POST /v1/chat/completions at 127\.0\.0\.1:\d+ failed after 3 attempts: .*\n", capsys.readouterr().err
    )


def test_no_key(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(SystemExit) as exit_info:
        recipe.main()
    assert exit_info.value.code == 2
    assert re.fullmatch(r"error: .*TOGETHER_API_KEY.*\n", capsys.readouterr().err)


def test_continues_without_reranking(recipe: ModuleType, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    emulator.reply("I would rather not say.", when="<passage id", times=9)
    recipe.main()
    out, err = capsys.readouterr()
    assert re.fullmatch(r"note: continuing without reranking \(.*I would rather not say.*\)\n", err)
    check_answer(out)


GONE, UNSERVED = "meta-llama/Llama-3.3-70B-Instruct-Turbo", "essentialai/rnj-1-instruct"  # models-check: ignore: it is gone


@pytest.mark.parametrize("model", [GONE, UNSERVED])
def test_goes_on_where_a_model_is_gone(
    model: str, recipe: ModuleType, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the table, which says that one is gone; by the service, which refuses the other."""
    monkeypatch.setattr(recipe, "CHAT_MODEL", model)
    with emulator.behave(strict=True):
        recipe.main()
    out, err = capsys.readouterr()
    state = "gone since 20\\d\\d-\\d\\d-\\d\\d" if model == GONE else "not served"
    [used] = re.findall(rf"note: {model} is {state}; this run uses (\S+) \(TOGETHER_CHAT_MODEL names another one\)\n", err)
    assert err.count("\n") == 1
    assert f"Models:   {RANKER} ranks, {used} answers\n" in out
    assert chats(emulator)[-1]["model"] == used
    tried = [request.json["model"] for request in emulator.requests if request.path == "/v1/chat/completions"]
    assert (model in tried) == (model == UNSERVED)
    check_answer(out)


@pytest.mark.filterwarnings("ignore:the context window of acme/chat is not known")
def test_goes_on_where_the_table_is_out_of_date(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(models=["acme/vectors=embedding", "acme/chat"]) as service:
        monkeypatch.setenv("TOGETHER_BASE_URL", service.base_url)
        recipe.main()
    out, err = capsys.readouterr()
    assert "Models:   acme/chat ranks, acme/chat answers\n" in out
    assert [line.split(";")[0] for line in err.splitlines()] == [f"note: {WRITER} is not served", f"note: {RANKER} is not served"]
    check_answer(out)


@pytest.mark.filterwarnings("ignore:the context window of acme/chat is not known")
def test_the_user_names_the_model(
    recipe: ModuleType, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOGETHER_CHAT_MODEL", "zai-org/GLM-5.2")
    recipe.main()
    assert capsys.readouterr().err == ""
    assert {body["model"] for body in chats(emulator)} == {"zai-org/GLM-5.2"}
    monkeypatch.setenv("TOGETHER_CHAT_MODEL", "acme/chat")
    with emulator.behave(strict=True), pytest.raises(SystemExit):
        recipe.main()
    assert re.search(r"^error: 404 from POST /v1/chat/completions: .*acme/chat", capsys.readouterr().err, re.MULTILINE)


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
