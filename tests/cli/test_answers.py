"""Chats, completions, embeddings, rerank, images and models: for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.emulator import Emulator, Fault

CHAT = ("chat.completions", "--model", MODEL)
IMAGE = ("images", "generate", "a cat", "--model", "black-forest-labs/FLUX.1-schnell", "--width", 64, "--height", 64)


def test_a_chat_streams_and_comes_whole_alike(run: Run, emulator: Emulator) -> None:
    options = (*CHAT, "--message", "system", "Be brief.", "--message", "user", "Say hello to Ann.")
    streamed = run(*options)
    whole = run(*options, "--no-stream")
    assert streamed.out == whole.out == "Hello to Ann.\n"
    document = run(*options, "--json").json
    assert document["choices"][0]["message"]["content"] == "Hello to Ann."
    assert [request.json.get("stream") for request in emulator.requests] == [True, None, None]


def test_what_a_chat_sends(run: Run, emulator: Emulator) -> None:
    run(
        *CHAT,
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
        "model": MODEL,
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


def test_raw_chunks_are_lines_of_json(run: Run) -> None:
    chunks = [json.loads(line) for line in run(*CHAT, "--message", "user", "Hello", "--raw").out.splitlines()]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"]).startswith("Hello")
    whole = json.loads(run(*CHAT, "--message", "user", "Hello", "--raw", "--no-stream").out)
    assert whole["object"] == "chat.completion"


def test_several_answers_have_headings_and_do_not_stream(run: Run) -> None:
    assert run(*CHAT, "--message", "user", "Hello", "--n", 2).out.count("===== Completion") == 2


def test_reasoning_stays_out_of_a_pipe(run: Run) -> None:
    done = run("chat.completions", "--model", "deepseek-ai/DeepSeek-R1", "--message", "user", "Say hello to Ann.")
    assert done.out == "Hello to Ann.\n"


def test_completions_read_stdin(run: Run, emulator: Emulator) -> None:
    streamed = run("completions", "-", "--model", MODEL, "--max-tokens", 8, input="Once upon a time")
    assert streamed.out.strip()
    assert emulator.requests[0].json["prompt"] == "Once upon a time"
    whole = run("completions", "Once upon a time", "--model", MODEL, "--max-tokens", 8, "--json").json
    assert whole["choices"][0]["text"] == streamed.out.rstrip("\n")


def test_a_stream_that_breaks_is_an_error(run: Run, emulator: Emulator) -> None:
    emulator.inject(Fault("cut", path="/v1/chat/completions"))
    done = run(*CHAT, "--message", "user", "Say hello to Ann.", code=3)
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_a_conversation_turn_by_turn(run: Run, emulator: Emulator) -> None:
    emulator.inject("401")
    lines = "broken\nSay hello to Ann.\n\n/nonsense\nWhat did I say?\n/exit\nnever sent\n"
    done = run("chat.interactive", "--model", MODEL, "--system-message", "Be brief.", input=lines, code=3)
    assert done.out.startswith("Hello to Ann.\n")
    assert done.err.count("error: 401") == 1
    assert "/nonsense" in done.err
    assert [message["content"] for message in emulator.requests[-1].json["messages"]] == [
        "Be brief.",
        "Say hello to Ann.",
        "Hello to Ann.",
        "What did I say?",
    ]
    assert len(emulator.requests) == 3


def test_a_conversation_as_json(run: Run) -> None:
    told = run("chat.interactive", "--model", MODEL, "--json", input="forgotten\n/reset\nSay hello to Ann.\n").json
    assert [message["role"] for message in told] == ["user", "assistant"]
    assert told[1]["content"] == "Hello to Ann."


def test_embeddings(run: Run, emulator: Emulator) -> None:
    options = ("embeddings", "--model", "BAAI/bge-base-en-v1.5", "first", "-")
    table = run(*options, input="second\n\nthird\n")
    assert [line.split()[1] for line in table.out.splitlines()] == ["Text", "first", "second", "third"]
    document = run(*options, "--json", input="second\n").json
    assert [len(item["embedding"]) for item in document["data"]] == [768, 768]
    assert emulator.requests[0].json["input"] == ["first", "second", "third"]


def test_rerank(run: Run, tmp_path: Path) -> None:
    options = ("rerank", "a cat", "--model", "Salesforce/Llama-Rank-V1")
    table = run(*options, "a dog in the sun", "a cat on a mat", "--top-n", 1)
    assert table.out.splitlines()[1].endswith("1  a cat on a mat")
    objects = tmp_path / "documents.jsonl"
    objects.write_text('{"title": "dogs"}\n{"title": "cat"}\n', "utf-8")
    found = run(*options, "--documents-file", objects, "--rank-field", "title", "--json").json
    assert found["results"][0]["index"] == 1
    objects.write_text('{"title": "dogs"}\n{"title"\n', "utf-8")
    assert "line 2" in one_error(run(*options, "--documents-file", objects, code=1))
    assert "no documents" in one_error(run(*options, code=2))


def test_images_are_saved_and_never_replaced_unasked(run: Run, tmp_path: Path, emulator: Emulator) -> None:
    done = run(*IMAGE, "--n", 2, "--seed", 3)
    assert done.out.splitlines()[0] == f"Image [1/2] saved to {tmp_path / 'image-0.png'}"
    first = (tmp_path / "image-0.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert (tmp_path / "image-1.png").exists()
    refused = one_error(run(*IMAGE, code=2))
    assert "--overwrite" in refused
    assert len(emulator.requests) == 1
    assert (tmp_path / "image-0.png").read_bytes() == first
    jpeg = run(*IMAGE, "--output-format", "jpeg", "--prefix", "other-", "--json").json
    assert Path(jpeg["images"][0]["path"]).read_bytes().startswith(b"\xff\xd8")
    run(*IMAGE, "--seed", 4, "--overwrite")
    assert (tmp_path / "image-0.png").read_bytes() != first


def test_models(run: Run, emulator: Emulator) -> None:
    table = run("models", "list").out.splitlines()
    assert table[0].split()[:2] == ["ID", "Name"]
    assert any(line.startswith(MODEL) for line in table)
    everything, dedicated = run("models", "list", "--json").json, run("models", "list", "--type", "dedicated", "--json").json
    assert MODEL in {model["id"] for model in everything}
    assert len(dedicated) <= len(everything)
    token = "hf_secrettoken123456"
    options = ("models", "upload", "--model-name", "mine", "--model-source", "me/model", "--hf-token", token)
    started = run(*options)
    assert json.loads(started.out)["job_id"]
    assert run(*options, "--json").json["job_id"]
    emulator.inject("401")
    assert token not in one_error(run(*options, code=3))


@pytest.mark.parametrize("command", ["chat.completions", "completions"])
def test_an_argument_is_missing(run: Run, command: str) -> None:
    assert "--help" in one_error(run(command, "--model", MODEL, code=2))
