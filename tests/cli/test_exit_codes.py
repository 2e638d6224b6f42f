"""Errors: one line and an exit code each; a closed pipe and Ctrl-C end without a message."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import click
import pytest

from tests.cli.conftest import COMMAND, KEY, Run, environment, one_error
from tests.conftest import HANG
from together_adapters.cli.exit_codes import error_line, exit_code
from together_adapters.cli.flags import with_flags
from together_adapters.emulator import Emulator
from together_adapters.errors import (
    APIConnectionError,
    BudgetExceededError,
    ConfigurationError,
    DatasetError,
    FileTypeError,
    InvalidDatasetError,
    JobFailedError,
    RateLimitError,
)


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatasetError("x"), 1),
        (InvalidDatasetError("x"), 1),
        (FileTypeError("x"), 1),
        (OSError(28, "No space left on device"), 1),
        (BudgetExceededError("x", budget=1, spent=0, reserved=0, estimate=2, model=None), 1),
        (ConfigurationError("x"), 2),
        (ValueError("x"), 2),
        (FileExistsError("x"), 2),
        (ImportError("x"), 2),
        (APIConnectionError("x"), 3),
        (RateLimitError("x"), 3),
        (JobFailedError("x"), 3),
        (RuntimeError("x"), 3),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_message_in_one_line_without_secrets() -> None:
    error = JobFailedError("it failed; its last events:\n  one: \x1b[31mred\n  two: sk-secret-1")
    assert error_line(error, ["sk-secret-1"]) == "error: it failed; its last events: one:  [31mred; two: ***"


def test_a_short_key_blots_out_no_words_and_escapes_hide_no_key() -> None:
    assert error_line(JobFailedError("the index is not next"), ["x"]) == "error: the index is not next"
    assert error_line(JobFailedError("no: \\u0073k-secret-1 %73k-secret-1"), ["sk-secret-1"]) == "error: no: *** ***"


def test_message_with_flags_of_the_command() -> None:
    command = click.Command(
        "x", params=[click.Option(["--lora-r"]), click.Option(["--lora/--full"]), click.Option(["--model", "-m"])]
    )
    text = "lora_r=8 goes with lora=True, not with lora=False; model= is needed"
    assert with_flags(text, command) == "--lora-r 8 goes with --lora, not with --full; --model is needed"
    assert with_flags("https://x.test/?model=a", command) == "https://x.test/?model=a"
    assert with_flags("it goes into model={...}", command) == "it goes into --model ..."


def test_error_of_the_service(run: Run) -> None:
    assert one_error(run("models", "list", TOGETHER_API_KEY="invalid", code=3)).startswith("error: 401")


def test_connection_error(run: Run) -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1"
    result = run("--base-url", url, "--max-retries", 0, "--timeout", 5, "files", "list", "--json", code=3)
    assert "which was passed as --base-url: start the server" in one_error(result)


def test_max_retries(run: Run, emulator: Emulator) -> None:
    emulator.inject("500", "500")
    run("--max-retries", 0, "models", "list", "--json", code=3)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("files", "retrieve"),
        ("files", "retrieve", "a", KEY),
        ("--api-key", "sk-another-key-123456", "files", "sk-another-key-123456"),
        ("--timeout", "soon", "models", "list"),
        ("chat.completions", "--message", "user", "hi"),
        ("images", "generate", "x", "--model", "m", "--output", "missing"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    line = one_error(run(*arguments, code=2))
    assert "sk-another" not in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("emulator", "--prot", "1"), "Did you mean --port?"),
        (("--base-ulr", "x", "files"), "Did you mean --base-url?"),
        (
            ("chat.completions", "--message", "user", "--model", "m"),
            "--message takes ROLE and TEXT, and after user there is no text",
        ),
        (
            ("chat.completions", "--model", "m", "--message", "user"),
            "--message takes ROLE and TEXT, and after user there is no text",
        ),
    ],
)
def test_what_was_probably_meant(run: Run, arguments: tuple[str, ...], message: str) -> None:
    assert message in one_error(run(*arguments, code=2)).replace("'", "")


def test_missing_key(run: Run) -> None:
    message = one_error(run("models", "list", TOGETHER_API_KEY="", TOGETHER_BASE_URL="", code=2))
    assert "pass --api-key KEY or set TOGETHER_API_KEY" in message and "`together-adapters emulator`" in message


def test_group_without_a_command_shows_its_help(run: Run) -> None:
    assert "retrieve-content" in run("files", code=2).err


def test_debug_shows_requests_without_the_key(emulator: Emulator, tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "--api-key", KEY, "--debug", "files", "retrieve", "nope"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment(emulator.base_url), check=False,
    )  # fmt: skip
    assert result.returncode == 3
    assert "GET /v1/files/nope" in result.stderr
    assert "Traceback" in result.stderr
    assert KEY not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: 404")


def test_closed_pipe(emulator: Emulator, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "models", "list", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(emulator.base_url),
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_ctrl_c(emulator: Emulator, tmp_path: Path) -> None:
    with emulator.behave(delay=30.0):
        process = subprocess.Popen(
            [*COMMAND, "models", "list"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(emulator.base_url),
        )  # fmt: skip
        deadline = time.monotonic() + HANG
        while not emulator.in_flight and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
    assert (process.returncode, out, err.strip()) == (130, "", "")
