"""`chat.completions` and `completions`: streamed, complete, and as JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.emulator import Emulator, Fault

CHAT = ("chat.completions", "--model", MODEL)


def test_streamed_and_complete_output_are_equal(run: Run, emulator: Emulator) -> None:
    options = (*CHAT, "--message", "system", "Be brief.", "--message", "user", "Say hello to Ann.")
    stream_result = run(*options)
    response = run(*options, "--no-stream")
    assert stream_result.out == response.out == "Hello to Ann.\n"
    document = run(*options, "--json").json
    assert document["choices"][0]["message"]["content"] == "Hello to Ann."
    assert [request.json.get("stream") for request in emulator.requests] == [True, None, None]


def test_options_in_the_request(run: Run, emulator: Emulator) -> None:
    run(
        *CHAT[:-1],
        "Qwen/Qwen3.5-9B",
        *("--message", "user", "-", "--audio-url", "https://x.test/a.wav", "--max-tokens", 5, "--stop", "a", "--stop", "b"),
        *("--temperature", 0, "--top-p", 0.5, "--top-k", 40, "--min-p", 0.1, "--repetition-penalty", 1.1, "--no-stream"),
        *("--presence-penalty", 0.1, "--frequency-penalty", 0.2, "--extra-body", '{"seed": 7}'),
        input="from stdin",
    )
    body = dict(emulator.requests[0].json)
    assert body.pop("messages") == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "from stdin"},
                {"type": "audio_url", "audio_url": {"url": "https://x.test/a.wav"}},
            ],
        }
    ]
    assert body == {
        "model": "Qwen/Qwen3.5-9B",
        "max_tokens": 5,
        "stop": ["a", "b"],
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "seed": 7,
    }


def test_a_message_without_a_role_is_the_users(run: Run) -> None:
    assert run(*CHAT, "--message", "Say hello to Ann.", "--max-tokens=9").out == "Hello to Ann.\n"
    assert run("chat.completions", "--model", MODEL, "--message", "Say hello to Ann.").out == "Hello to Ann.\n"


def test_raw_chunks_are_lines_of_json(run: Run) -> None:
    chunks = [json.loads(line) for line in run(*CHAT, "--message", "user", "Say hello.", "--raw").out.splitlines()]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"]).startswith("Hello")
    response = json.loads(run(*CHAT, "--message", "user", "Hello", "--raw", "--no-stream").out)
    assert response["object"] == "chat.completion"


def test_several_choices_have_headings_and_are_not_streamed(run: Run) -> None:
    assert run(*CHAT, "--message", "user", "Hello", "--n", 2).out.count("===== Completion") == 2


def test_no_reasoning_in_a_pipe(run: Run) -> None:
    result = run("chat.completions", "--model", "deepseek-ai/DeepSeek-R1", "--message", "user", "Say hello to Ann.")
    assert result.out == "Hello to Ann.\n"


def test_completion_of_stdin(run: Run, emulator: Emulator) -> None:
    stream_result = run("completions", "-", "--model", MODEL, "--max-tokens", 8, input="Once upon a time")
    assert stream_result.out.strip()
    assert emulator.requests[0].json["prompt"] == "Once upon a time"
    response = run("completions", "Once upon a time", "--model", MODEL, "--max-tokens", 8, "--json").json
    assert response["choices"][0]["text"] == stream_result.out.rstrip("\n")


def test_interrupted_stream_is_an_error(run: Run, emulator: Emulator) -> None:
    emulator.inject(Fault("cut", path="/v1/chat/completions"))
    result = run(*CHAT, "--message", "user", "Say hello to Ann.", code=3)
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["chat.completions", "completions"])
def test_missing_argument(run: Run, command: str) -> None:
    assert "--help" in one_error(run(command, "--model", MODEL, code=2))
