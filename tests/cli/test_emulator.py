"""`emulator`: a server until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx

from tests.cli.conftest import COMMAND, MODEL, Run, one_error
from tests.conftest import HANG


def test_emulator_runs_until_ctrl_c(tmp_path: Path, run: Run) -> None:
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--strict", "--job-seconds", "0.5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert process.stdout
    url = process.stdout.readline().strip()
    exports = [process.stdout.readline().strip() for _ in range(2)]
    assert exports == [f"export TOGETHER_BASE_URL={url}", "export TOGETHER_API_KEY=any"]
    port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/v1", url)
    assert port
    hello = ("chat.completions", "--model", MODEL, "--message", "user", "Say hello to Ann.")
    assert run("--base-url", url, *hello).out == "Hello to Ann.\n"
    assert "422" in one_error(run("--base-url", url, *hello, "--extra-body", '{"nonsense": 1}', "--no-stream", code=3))
    assert "cannot listen" in one_error(run("emulator", "--port", port[1], code=1))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert (process.returncode, out) == (0, "")
    assert err.startswith("It answers as the service of today")
    assert err.count("\n") == 1


def test_code_execution_prints_a_random_key(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--allow-code-execution", "--allowed-host", "emulator"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert process.stdout
    url, line, key = (process.stdout.readline().strip().rpartition("=")[2] for _ in range(3))
    assert line == url and len(key) > 20
    for sent, host, status in ((key, "emulator", 200), ("any", "emulator", 401), (key, "other", 403)):
        headers = {"authorization": f"Bearer {sent}", "host": host}
        assert httpx.get(f"{url}/models", headers=headers, verify=False).status_code == status
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert (out, err.partition(" (--any-model)")[0]) == ("", "Unknown models get a 404")


def test_named_models_are_the_only_ones(tmp_path: Path, run: Run) -> None:
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--strict", "--model", "acme/chat", "--model", "acme/vectors=embedding"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert process.stdout
    url = process.stdout.readline().strip()
    hello = ("chat.completions", "--message", "user", "Say hello to Ann.", "--model")
    assert run("--base-url", url, *hello, "acme/chat").out == "Hello to Ann.\n"
    assert "404" in one_error(run("--base-url", url, *hello, MODEL, code=3))
    assert [entry["id"] for entry in httpx.get(f"{url}/models", headers={"authorization": "Bearer any"}, verify=False).json()] == [
        "acme/chat", "acme/vectors",
    ]  # fmt: skip
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=HANG)[1].startswith("It serves only acme/chat, acme/vectors, ")


def test_limits(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--limit", "requests-per-minute=2; window=60", "--limit", "concurrent=4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert process.stdout
    url = process.stdout.readline().strip()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello to Ann."}]}
    answers = [
        httpx.post(f"{url}/chat/completions", json=body, headers={"authorization": "Bearer any"}, verify=False) for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANG)


def test_a_limit_that_does_not_exist_is_an_error(run: Run) -> None:
    assert "unknown limit 'speed'" in one_error(run("emulator", "--limit", "speed=3", code=2))
    assert "concurrent=0" in one_error(run("emulator", "--limit", "concurrent=0", code=2))


def test_a_model_of_an_unknown_type_is_an_error(run: Run) -> None:
    assert "acme/x has the type 'vectors'" in one_error(run("emulator", "--model", "acme/x=vectors", code=2))


def test_code_execution_needs_a_loopback_address(run: Run) -> None:
    assert "loopback" in one_error(run("emulator", "--host", "0.0.0.0", "--allow-code-execution", code=2))


def test_it_says_which_record_it_plays(tmp_path: Path) -> None:
    (tmp_path / "today").mkdir()
    (tmp_path / "today" / "doctor.json").write_text('{"version": 1, "recorded_on": "2026-11-30", "facts": {}}')
    process = subprocess.Popen(
        [*COMMAND, "emulator", "--as-recorded", "today"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ},
    )  # fmt: skip
    assert process.stdout and all(process.stdout.readline() for _ in range(3))
    process.send_signal(signal.SIGINT)
    offer = process.communicate(timeout=HANG)[1]
    assert offer.startswith("It plays what was recorded in today on 2026-11-30. Else: It answers as the service of today")
    assert offer.count("\n") == 1


def test_an_engine_or_a_record_that_is_none_is_refused(run: Run) -> None:
    assert "'nonsense' is not a URL such as" in one_error(run("emulator", "--engine", "nonsense", code=2))
    assert "--engine-model needs --engine" in one_error(run("emulator", "--engine-model", "a", code=2))
    assert "doctor --record DIR` writes it" in one_error(run("emulator", "--as-recorded", ".", code=2))
