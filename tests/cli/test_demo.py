"""The demo as a user runs it: in a pipe, in a terminal, with a key, without extras, interrupted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CTRL_C, KEY, Run, RunResult, Terminal, environment, without_styles
from tests.packaging.test_imports import BLOCK
from together_adapters.cli.demo.menu import QUESTIONS
from together_adapters.emulator import Emulator, Fault

pytest.importorskip("bm25s")

NO_SERVICE = {"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": ""}
UNANSWERED = QUESTIONS[-1]
TITLE = "ask Python's language reference\n"


def run_without(emulator: Emulator, *missing: str, **changes: str) -> RunResult:
    """Runs the demo in an interpreter without some modules."""
    block = BLOCK.replace("sys.argv[1:]", repr(missing))
    code = f"{block}\nfrom together_adapters.cli import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "demo"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(emulator.base_url, **changes),
        check=False,
    )
    assert "Traceback" not in done.stderr
    return RunResult(done.returncode, done.stdout, done.stderr)


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_all_of_it_in_a_pipe(run: Run) -> None:
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    result = run("demo", **NO_SERVICE)
    assert result.err == ""
    assert result.out.isascii()
    assert result.out.replace("\n", " ").isprintable()
    assert max(map(len, result.out.splitlines())) <= 80
    head, _, answer = result.out.partition("\n\n")
    assert TITLE in head
    assert "an emulator in this process, as TOGETHER_API_KEY is not set" in one_line(head)
    assert f"Question    {QUESTIONS[0]}\n" in answer
    answer, _, features = answer.partition("\nWhat else the library does\n")
    answer, features = one_line(answer), one_line(features)
    quotations = re.findall(r">>(.+?)<<", answer)
    assert quotations
    said = re.sub(r" \[\d\]", "", answer[: answer.index(">>")])
    assert all(quotation in said for quotation in quotations)
    for name in ("LangChain ChatTogether", "LlamaIndex TogetherLLM"):
        assert f"{name}, on the same client, streams the same answer, word for word (" in features
    assert re.search(r"429 injected, retry-after 0\.5 s: .* attempt 2 answered after 0\.[5-9]\d s; then slowed down", features)
    assert re.search(r"stream broken after \d+ of \d+ words: IncompleteStreamError, .* complete at attempt 2\.", features)
    assert re.search(r"\d{3} texts in [34] requests, [\d,]+ tokens, .* nearest to the question: \S", features)
    assert re.search(r"Tools 2 calls in one answer, .* count_passages\(word='yield'\) = \d+, python_version\(\) = 3\.", features)
    assert re.search(r"Ledger 11 calls \(1 estimated\), 1[45] requests: [\d,]+ tokens in, \d+ out; worth \$0\.\d+ at", features)


def test_as_json(run: Run) -> None:
    data = run("demo", "--answer-only", "--question", QUESTIONS[0], "--json", **NO_SERVICE).json
    assert data["answered"]
    assert data["features"] == []
    assert "The break statement" in [source["title"] for source in data["sources"]]
    for source in data["sources"]:
        for quotation in source["quotations"]:
            assert quotation.rstrip(".") in data["answer"]
    assert data["usage"]["requests"] == 2
    assert 0 < data["usage"]["cost"] < 0.01


@pytest.mark.parametrize("question", [UNANSWERED, "\u0915\u094d\u092f\u093e?"], ids=["unanswered", "no word in common"])
def test_what_nothing_answers_has_no_sources(run: Run, question: str) -> None:
    result = run("demo", "--answer-only", "--question", question, **NO_SERVICE)
    text = " ".join(result.out.split())
    assert "Sources none: the passages do not answer this question." in text
    assert ("The nearest are: " in text) == (question == UNANSWERED)
    assert "[1]" not in result.out
    assert ("No passage shares a word" in result.out) == (question != UNANSWERED)
    assert ("Used nothing: no call was made." in text) == (question != UNANSWERED)
    assert "\n\n\n" not in result.out


def test_features_of_a_short_answer(run: Run) -> None:
    text = one_line(run("demo", "--question", UNANSWERED, **NO_SERVICE).out)
    assert re.search(r"stream broken after all \d+ words, before the event that ends it: IncompleteStreamError", text)
    assert not re.search(r"word for word \([^)]* s\)", text)
    nothing = run("demo", "--question", "\u0915\u094d\u092f\u093e?", **NO_SERVICE).out
    assert "\n\n\n" not in nothing and "What else the library does" in nothing


def test_a_service_with_a_key_and_no_framework(emulator: Emulator) -> None:
    """What the service of today has is enough, and nothing is made to fail there."""
    with emulator.behave(strict=True):
        result = run_without(emulator, "langchain_core", "llama_index")
    assert (result.code, result.err) == (0, "")
    output = one_line(result.out)
    assert f"Service {emulator.base_url} " in output
    assert re.search(r"Price about \$0\.00\d+ for this question, at the prices of 20", output)
    for extra in ("langchain", "llama-index"):
        assert (
            f'pip install "together-adapters[{extra}]" (".[{extra}]" in a clone)); the answer above is the plain client\'s.'
            in output
        )
    assert "Tools 2 calls in one answer" in output
    assert "injected" not in output
    assert "A refused request, a broken stream and embeddings are left to --emulator default." in output
    assert KEY not in result.out
    assert {request.path for request in emulator.requests} == {"/v1/chat/completions"}
    assert {request.headers["authorization"] for request in emulator.requests} == {f"Bearer {KEY}"}
    assert len(emulator.requests) == 6  # two ask which models are served


def test_models_that_are_gone_are_replaced(run: Run, emulator: Emulator) -> None:
    with emulator.behave(strict=True):
        result = run("demo", "--answer-only", "--model", "deepseek-ai/DeepSeek-R1", "--json")
    assert result.json["models"]["answer"] != "deepseek-ai/DeepSeek-R1"
    assert result.json["answered"]


def test_a_wrong_key(run: Run) -> None:
    result = run("demo", "--answer-only", code=3, TOGETHER_API_KEY="bad-key")
    assert result.err.startswith("error: 401 ")
    assert result.err.count("\n") == 1


def test_strict_emulator_although_there_is_a_key(run: Run, emulator: Emulator) -> None:
    result = run("demo", "--answer-only", TOGETHER_EMULATOR="strict", HTTP_PROXY="http://127.0.0.1:9")
    assert "Service     an emulator in this process: it answers" in result.out
    assert emulator.requests == []


@pytest.mark.parametrize(("missing", "extra"), [("bm25s", "demo"), ("starlette", "demo"), ("rich", "demo")])
def test_a_missing_extra_is_one_line(emulator: Emulator, missing: str, extra: str) -> None:
    result = run_without(emulator, missing, **NO_SERVICE)
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(rf'error: the .* needs {missing}: pip install "together-adapters\[{extra}\]" .*\n', result.err)


def test_an_empty_question(run: Run) -> None:
    assert "--question must not be empty" in run("demo", "--question", " ", code=2).err


def test_help_says_what_it_needs_and_costs(run: Run) -> None:
    text = one_line(run("demo", "--help").out)
    for part in (
        "together-adapters[demo]",
        "less than a cent",
        "TOGETHER_API_KEY",
        "not tried on the live service",
        "--emulator",
    ):
        assert part in text


def test_the_title_comes_before_what_takes_time() -> None:
    code = (
        "import json, sys\n"
        "from together_adapters.cli.demo import command\n"
        "from together_adapters.cli.app import run\n"
        "command.write = lambda text: sys.exit(json.dumps(sorted(sys.modules)))\n"
        "run(['demo'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    modules = set(json.loads(done.stderr))
    assert "together_adapters.cli.demo.command" in modules
    assert not modules & {"httpx", "pydantic", "rich", "numpy", "bm25s", "starlette", "langchain_core", "llama_index"}


def test_a_terminal_without_unicode(terminal: Terminal) -> None:
    screen = terminal("demo", "--answer-only", "--question", "What does pass do?", PYTHONIOENCODING="ascii", **NO_SERVICE)
    assert "`pass` is a null operation -- when" in one_line(without_styles(screen))


def test_menu(terminal: Terminal) -> None:
    """A number that it does not have, one that it has, a question of one's own, and the word to leave."""
    typed = [
        ("> ", "9\n"),
        ("1 to 6.\n> ", "6\n"),
        ("do not answer this question.", "What does pass do?\nq\n"),
    ]
    screen = terminal("demo", "--answer-only", typed=typed, **NO_SERVICE)
    assert "\x1b[30;43m" in screen  # the cited sentence
    screen = without_styles(screen)
    assert screen.startswith("together-adapters ")
    assert screen.count(f"  6  {UNANSWERED}\nA number, or a question of your own. Enter: 1. q or Ctrl-D: leave.\n") == 3
    assert "I don't know" in screen
    assert re.search(r"^\[\d\] +The pass statement$", screen, re.MULTILINE)


def test_an_error_ends_one_answer_of_the_menu(terminal: Terminal, emulator: Emulator) -> None:
    emulator.inject(Fault("stream-error", after=20))
    screen = without_styles(terminal("demo", "--answer-only", typed=[("> ", "1\n"), ("error: ", "q\n")]))
    assert re.search(r"^error: .*stream", screen, re.MULTILINE)
    assert screen.count("Ctrl-D: leave.\n") == 2


def test_end_of_input_at_the_menu(terminal: Terminal) -> None:
    assert without_styles(terminal("demo", typed=[("> ", "\x04")], **NO_SERVICE)).endswith("> \n")


@pytest.mark.parametrize("moment", ["> ", "Starting", "keeps the best"], ids=["menu", "imports", "stream"])
def test_ctrl_c_ends_it(terminal: Terminal, moment: str) -> None:
    question = [] if moment == "> " else ["--question", QUESTIONS[0]]
    screen = terminal("demo", *question, typed=[(moment, CTRL_C)], code=130, **NO_SERVICE)
    assert "Traceback" not in screen
    assert "KeyboardInterrupt" not in screen
    assert "Ledger" not in screen
    assert screen.count("\x1b[?25l") <= screen.count("\x1b[?25h")  # the cursor is back


def test_without_colours(terminal: Terminal) -> None:
    screen = terminal("demo", "--answer-only", "--question", QUESTIONS[0], columns=60, NO_COLOR="1", **NO_SERVICE)
    assert not re.search(r"\x1b\[[\d;]*m", screen)
    assert re.search(r">>.+<<", screen, re.DOTALL)
    assert max(map(len, without_styles(screen).splitlines())) <= 60


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("text", ["--help", 'it\'s "so" \U0001f40d $HOME'])
def test_any_question_reaches_the_demo(text: str) -> None:
    """What `make demo` runs, printed in place of the program."""
    settings = os.environ | {"QUESTION": text}
    root = Path(__file__).parents[2]
    listing = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=root, env=settings, capture_output=True, text=True, check=True
    ).stdout
    (command,) = [line for line in listing.splitlines() if "together-adapters demo" in line]
    shell = f'set -- {command.partition(" demo ")[2]}; printf %s "$*"'
    printed = subprocess.run(["sh", "-c", shell], env=settings, capture_output=True, text=True, check=True).stdout
    assert printed == f"--question={text}"
