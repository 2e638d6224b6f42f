"""`audio`, `videos` and `code`: files are written whole and never overwritten by accident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, one_error
from together_adapters.emulator import Emulator, serve

SPEECH = ("audio", "speech", "--model", "cartesia/sonic", "--voice", "calm lady")


def test_speech_to_a_file_and_back(run: Run, emulator: Emulator, tmp_path: Path) -> None:
    assert run(*SPEECH, "Hello, Ann.", "--output", "hello.wav").out == "hello.wav\n"
    assert emulator.requests[-1].json["response_format"] == "wav"
    assert (tmp_path / "hello.wav").read_bytes()[:4] == b"RIFF"
    sent = len(emulator.requests)
    assert "hello.wav" in one_error(run(*SPEECH, "Again.", "--output", "hello.wav", code=2))
    assert len(emulator.requests) == sent
    details = run(*SPEECH, "-", "--output", "hello.wav", "--overwrite", "--json", input="Again.").json
    assert details["bytes"] == (tmp_path / "hello.wav").stat().st_size
    text = run("audio", "transcribe", "hello.wav").out
    assert text.strip()
    assert run("audio", "transcribe", "hello.wav", "--verbose", "--json").json["segments"]
    assert run("audio", "translate", "hello.wav").out.strip()
    assert "nothing.wav" in one_error(run("audio", "transcribe", "nothing.wav", code=2))


@pytest.mark.parametrize(("name", "format"), [("a.pcm", "raw"), ("a.MP3", "mp3"), ("a", None)])
def test_the_suffix_is_the_format_of_speech(run: Run, emulator: Emulator, name: str, format: str | None) -> None:
    run(*SPEECH, "Hello.", "--output", name)
    assert emulator.requests[-1].json.get("response_format") == format


def test_a_suffix_without_a_format(run: Run, emulator: Emulator) -> None:
    assert "--response-format" in one_error(run(*SPEECH, "Hello.", "--output", "a.ogg", code=2))
    assert emulator.requests == []
    run(*SPEECH, "Hello.", "--output", "a.ogg", "--response-format", "wav")


def test_voices(run: Run) -> None:
    rows = run("audio", "voices").out
    model = run("audio", "voices", "--json").json["data"][0]
    assert model["model"] in rows
    assert model["voices"][0]["name"] in rows


def test_a_video(run: Run, tmp_path: Path) -> None:
    create = ("videos", "create", "A llama.", "--model", "minimax/video-01-director")
    id = run(*create).out.strip()
    assert run("videos", "retrieve", id, "--json").json["id"] == id
    assert run("videos", "wait", id, "--poll-interval", 0.1, "--json").json["status"] == "completed"
    assert run("videos", "download", id, "--output", "a.mp4").out == "a.mp4\n"
    assert (tmp_path / "a.mp4").stat().st_size > 100
    assert "a.mp4" in one_error(run(*create, "--output", "a.mp4", code=2))


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Emulator]:
    with serve(allow_code_execution=True) as emulator:
        yield emulator


def test_code(run: Run, interpreter: Emulator, tmp_path: Path) -> None:
    place = {"TOGETHER_BASE_URL": interpreter.base_url, "TOGETHER_API_KEY": interpreter.api_key or ""}
    (tmp_path / "a.txt").write_text("from a file")
    first = run("code", "run", "x = 6\nprint(open('a.txt').read())", "--file", "a.txt", **place)
    session = first.err.strip().removeprefix("session: ")
    lost = one_error(run("code", "run", "x", "--session-id", "ses_lost", code=3, **place))
    assert "leave --session-id out" in lost
    assert first.out == "from a file\n"
    second = run("code", "run", "-", "--session-id", session, input="x * 7", **place)
    assert second.out.strip() == "42"
    assert run("code", "run", "x", "--session-id", session, "--json", **place).json["data"]["session_id"] == session
    assert session in run("code", "sessions", **place).out
    assert "ZeroDivisionError" in run("code", "run", "1 / 0", "--json", code=1, **place).out


def test_no_sessions(run: Run) -> None:
    assert run("code", "sessions", "--json").json == []
    assert "No sessions." in run("code", "sessions").err
