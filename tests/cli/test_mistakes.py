"""Mistakes of the first hour: each is one line that names the thing and what to do, and nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TRAINABLE, Run, conversation, one_error
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
BOM = "\ufeff"


@pytest.mark.parametrize(("arguments", "text"), [
    (("chat", "--model", MODEL), "no such command 'chat' (do you mean 'chat.completions'?)"),
    (("images", "generate", "--model", MODEL, "--prompt", "x"), "PROMPT is passed without --prompt"),
    (("rerank", "--model", MODEL, "--query", "q"), "QUERY is passed without --query"),
    (("batches", "create", "nothing.jsonl"), "nothing.jsonl does not exist, and is no id of an uploaded file"),
    (("fine-tuning", "create", "-t", "nothing.jsonl", "--model", TRAINABLE), "nothing.jsonl does not exist"),
    (("fine-tuning", "create", "-t", "train.jsonl", "--model", TRAINABLE), "`together-adapters files upload train.jsonl`"),
    (("--base-url", "127.0.0.1:9", "models", "list"), "--base-url must be an http or https URL"),
    (("--base-url", "http://nowhere.invalid/v1", "models", "list"), "pass the key of that server as --api-key KEY"),
])  # fmt: skip
def test_wrong_usage(run: Run, emulator: Emulator, train: Path, arguments: tuple[str, ...], text: str) -> None:
    assert text in one_error(run(*arguments, code=2))
    assert emulator.requests == []


def test_a_server_without_tls(run: Run, emulator: Emulator) -> None:
    address = emulator.base_url.replace("http:", "https:")
    error = one_error(run("--base-url", address, "--max-retries", 0, "models", "list", code=3))
    assert error.endswith("begin the address, which was passed as --base-url, with http://")


def test_files_of_another_form(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, "utf-8")

    write("prompts.txt", "What is a llama?\n")
    write("array.jsonl", "[{}]\n")
    write("rows.jsonl", conversation(1))
    chat = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    write("typo.jsonl", json.dumps({"custom_id": "a", "body": {**chat, "max_token": 3}}) + "\n")
    write("empty.jsonl", json.dumps({"custom_id": "a", "body": {"model": MODEL}}) + "\n")
    for name in ("prompts.txt", "array.jsonl"):
        error = one_error(run("bulk", "run", name, "-o", "a.jsonl", "--model", MODEL, code=1))
        assert 'Each line is a request, such as {"model": ..., "messages": [...]}. Nothing was sent' in error
    assert "each line is a text as a JSON string" in one_error(run("bulk", "embed", "prompts.txt", "-o", "v.npy", code=1))
    rows = one_error(run("batches", "create", "rows.jsonl", code=1))
    assert (
        'a line is {"custom_id": "a", "body": {"model"' in rows
        and "`together-adapters ft check FILE --purpose batch-api`" in rows
    )
    assert "line 1 of empty.jsonl has no `messages`" in one_error(run("batches", "create", "empty.jsonl", code=1))
    for command in (("batches", "create", "typo.jsonl"), ("bulk", "run", "typo.jsonl", "-o", "a.jsonl")):
        error = one_error(run(*command, code=1))
        assert "line 1" in error and "typo.jsonl: unknown parameter 'max_token' (do you mean 'max_tokens'?). Nothing was" in error
    assert "there is one row" in one_error(run("ft", "split", "rows.jsonl", "--validation", 0.2, "-o", "s", code=1))
    assert emulator.requests == []


def test_files_with_a_byte_order_mark(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    (tmp_path / "in.jsonl").write_text(BOM + json.dumps(body) + "\n", "utf-8")
    run("bulk", "run", "in.jsonl", "-o", "out.jsonl", "--via", "online")
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8"))["request"] == body
    (tmp_path / "texts.jsonl").write_text(f'{BOM}"a text"\n', "utf-8")
    run("bulk", "embed", "texts.jsonl", "-o", "v.npy")
    assert emulator.requests[-1].json["input"] == ["a text"]
