"""`chat.interactive`: messages and commands from a pipe and in a terminal, and what the conversation costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import MODEL, Run, Terminal, without_styles
from together_adapters.cli.chat.reply import LineBreaks
from together_adapters.emulator import Emulator
from together_adapters.finetune import check_jsonl

INTERACTIVE = ("chat.interactive", "--model", MODEL)


def test_interactive_conversation(run: Run, emulator: Emulator) -> None:
    emulator.inject("401")
    lines = "broken\nSay hello to Ann.\n\n/nonsense\nWhat did I say?\n/exit\nnever sent\n"
    result = run("chat.interactive", "--model", MODEL, "--system-message", "Be brief.", input=lines, code=3)
    assert result.out.startswith("Hello to Ann.\n")
    assert result.err.count("error: 401") == 1
    assert "/nonsense" in result.err
    assert [message["content"] for message in emulator.requests[-1].json["messages"]] == [
        "Be brief.",
        "Say hello to Ann.",
        "Hello to Ann.",
        "What did I say?",
    ]
    assert len(emulator.requests) == 3


def test_interactive_conversation_as_json(run: Run) -> None:
    messages = run("chat.interactive", "--model", MODEL, "--json", input="forgotten\n/reset\nSay hello to Ann.\n").json
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[1]["content"] == "Hello to Ann."


def test_commands_change_the_conversation(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    emulator.reply("One.", times=3)
    lines = "/system Be brief.\nfirst\n/model openai/gpt-oss-120b\n/save chat.jsonl\n/save chat.jsonl\n/save\n/system\nexit\n"
    result = run(*INTERACTIVE, input=lines)
    assert result.out == "One.\nOne.\n"
    assert result.err.splitlines() == [
        "saved 3 messages to chat.jsonl",
        "chat.jsonl exists: name another file",
        "/save needs a file, such as: /save chat.jsonl",
    ]
    first, second = (request.json for request in emulator.requests)
    assert [message["content"] for message in first["messages"]] == ["Be brief.", "first"]
    assert [message["content"] for message in second["messages"]] == ["first", "One.", "exit"]  # in a pipe each line is a message
    assert (first["model"], second["model"]) == (MODEL, "openai/gpt-oss-120b")
    saved = json.loads((tmp_path / "chat.jsonl").read_text())
    assert [message["role"] for message in saved["messages"]] == ["system", "user", "assistant"]
    assert check_jsonl(tmp_path / "chat.jsonl").valid == 1


def test_nothing_to_save(run: Run, tmp_path: Path) -> None:
    assert run(*INTERACTIVE, input="/save chat.jsonl\n").err == "there is nothing to save yet\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["exit", "Quit", ":q", "/exit"])
def test_a_conversation_in_a_terminal(word: str, terminal: Terminal, emulator: Emulator) -> None:
    emulator.reply("Twelve words of an answer that is too long for a line of forty columns.", times=2)
    typed = [
        (">>> ", "\x03"),
        ("/exit or Ctrl-D leaves\n>>> ", "Hello!\n"),
        ("columns.\n(", "Again!\n"),
        ("Again!\nTwelve words of an answer that is too\nlong for a line of forty columns.\n(", f"{word}\n"),
    ]
    screen = without_styles(terminal(*INTERACTIVE, typed=typed, columns=40))
    assert "Twelve words of an answer that is too\nlong for a line of forty columns.\n" in screen
    assert screen.count(" tokens in, ") == 3
    assert "In all: " in screen
    assert len(emulator.requests) == 2


def breaks(text: str, width: int, size: int) -> str:
    lines = LineBreaks(width)
    return "".join(lines.feed(text[start : start + size]) for start in range(0, len(text), size)) + lines.end()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_break_between_words(size: int) -> None:
    assert breaks("one two three\nfour", 8, size) == "one two\nthree\nfour"
    assert breaks("incomprehensibilities are long", 10, size) == "incomprehensibilities\nare long"
    assert breaks("a  b\n\n  c", 10, size) == "a  b\n\n  c"
    code = "see:\n```py\nx = 1 + 1 + 1 + 1\n```\nthat is it"
    assert breaks(code, 10, size) == code
