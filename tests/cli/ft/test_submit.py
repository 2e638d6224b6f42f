"""`ft submit` and `ft watch`: from a file to a fine-tuned model, with a confirmation."""

from __future__ import annotations

import json
import os
import pty
import shlex
from pathlib import Path

from tests.cli.conftest import COMMAND, KEY, TRAINABLE, Run, conversation, environment, one_error
from tests.cli.ft.conftest import report_of
from together_adapters.emulator import Emulator

REASONING = "moonshotai/Kimi-K2.5"
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC4"
PAIR = {
    "input": {"messages": [{"role": "user", "content": "Red or blue?"}]},
    "preferred_output": [{"role": "assistant", "content": "Blue."}],
    "non_preferred_output": [{"role": "assistant", "content": "Red."}],
}


def test_leakage_is_a_warning(run: Run, train: Path, many: Path, emulator: Emulator) -> None:
    options = ("ft", "submit", many, "--validation", train, "--n-evals", 1, "--model", TRAINABLE, "--yes")
    result = run(*options)
    assert "warning: " in result.err
    assert "training file has 5 of its rows and 5 of its prompts" in result.err
    before = len(emulator.requests)
    assert "leaked_row" in run(*options, "--severity", "leaked_row=error", code=1).out
    assert all(request.method == "GET" for request in emulator.requests[before:])


def test_a_validation_file_that_is_not_used(run: Run, many: Path, train: Path, emulator: Emulator) -> None:
    result = run("ft", "submit", many, "--validation", train, "--model", TRAINABLE, "--yes")
    assert result.err.count("warning: --validation is not used, since --n-evals 0: pass the number of evaluations\n") == 1


def test_file_to_fine_tuned_model(run: Run, many: Path, train: Path, emulator: Emulator) -> None:
    options = ("ft", "submit", many, "--validation", train, "--n-evals", 2, "--model", TRAINABLE, "--suffix", "mine", "--yes")
    result = run(*options, "--watch", "--poll-interval", 0.05)
    assert "The estimated price of this job is $" in result.err
    assert "The job is completed" in result.out
    assert 'In Python: ChatTogether(model="emulated-user/' in result.err and '), or TogetherLLM("emulated-user/' in result.err
    assert "mine" in next(line for line in result.out.splitlines() if line.startswith("model"))
    job = run("ft", "submit", many, "--model", TRAINABLE, "--full", "--n-epochs", 2, "--yes", "--json").json
    completed = run("ft", "watch", job["id"], "--poll-interval", 0.05, "--json").json
    assert (completed["id"], completed["status"], completed["n_epochs"]) == (job["id"], "completed", 2)


def test_a_warning_names_the_command_that_lists_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a b.jsonl").write_text(conversation(1) * 2, "utf-8")
    options = ("--model", REASONING, "--severity", "reasoning_missing=warning")
    error = run("ft", "submit", "a b.jsonl", *options, "--yes").err
    command = error.partition("(`together-adapters ")[2].partition("` lists them)")[0]
    assert "reasoning_missing" in run(*shlex.split(command)).out


def test_a_model_that_cannot_be_tuned(run: Run, many: Path) -> None:
    error = one_error(run("ft", "submit", many, "--yes", "--model", "meta-llama/Llama-3.1-8B-Instruct", code=3))
    assert TRAINABLE in error and "`together-adapters fine-tuning list-supported-models` lists all" in error
    assert "endpoint" not in error and "405B" not in error and "GET /v1/fine-tunes/models/supported" not in error
    assert TRAINABLE in run("fine-tuning", "list-supported-models").out.splitlines()
    assert run("models", "show", TRAINABLE, "--json").json["fine_tuning"] is True
    assert "no API key" in one_error(run("ft", "submit", many, "--model", "x", code=2, TOGETHER_API_KEY=""))


def test_no_job_without_confirmation(run: Run, many: Path, emulator: Emulator) -> None:
    assert "pass --yes" in one_error(run("ft", "submit", many, "--model", TRAINABLE, input="y\n", code=2))
    assert "--from-checkpoint" in one_error(run("ft", "submit", many, "--yes", code=2))
    assert emulator.requests == []
    dear = run("ft", "submit", many, "--model", TRAINABLE, "--yes", "--max-price", 0.000001, code=1)
    assert "no job was started" in dear.err
    assert not [request for request in emulator.requests if request.path == "/v1/fine-tunes"]


def test_invalid_data_and_secrets_are_not_uploaded(run: Run, faulty: Path, tmp_path: Path, emulator: Emulator) -> None:
    result = run("ft", "submit", faulty, "--model", TRAINABLE, "--yes", code=1)
    assert "json_syntax" in result.out
    assert result.err.splitlines() == ["error: faulty.jsonl was not uploaded; ft prepare --on-error drop leaves such rows out"]
    (tmp_path / "secret.jsonl").write_text(conversation(1).replace("Answer", TOKEN) * 2, "utf-8")
    secret = run("ft", "submit", "secret.jsonl", "--model", TRAINABLE, "--yes", code=1)
    assert "--allow-secrets" in secret.err
    assert TOKEN not in secret.out + secret.err
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n", "utf-8")
    error = run("ft", "submit", "pairs.jsonl", "--model", TRAINABLE, "--yes", code=1).err
    assert "the rows are preferences, and sft trains text, conversations and instructions; --method dpo fits" in error
    assert not [request for request in emulator.requests if request.method != "GET"]
    assert run("ft", "submit", "pairs.jsonl", "--method", "dpo", "--model", TRAINABLE, "--yes", "--json").json["id"]


def test_error_found_by_the_service(run: Run, tmp_path: Path) -> None:
    (tmp_path / "robot.jsonl").write_text(conversation(1).replace("user", "robot"), "utf-8")
    options = ("ft", "submit", "robot.jsonl", "--model", TRAINABLE, "--severity", "role_unknown=ignore", "--yes")
    assert "the service found an error in robot.jsonl: Line 1" in one_error(run(*options, code=1))
    reports = report_of(run(*options, "--json", code=1))
    assert (reports["local"]["ok"], reports["remote"]["valid"]) == (True, False)


def test_a_dry_run_shows_the_price_and_leaves_nothing(run: Run, many: Path, train: Path, emulator: Emulator) -> None:
    options = ("ft", "submit", many, "--model", TRAINABLE, "--dry-run")
    one, three = run(*options), run(*options, "--n-epochs", 3)
    assert one.out.startswith("$0.0") and one.out != three.out
    assert f"The estimated price of this job is {one.out.strip()}." in one.err
    assert run(*options, "--json").json["estimated_total_price"] > 0
    assert run("files", "list", "--json").json == []
    id = run("files", "upload", many, "--json").json["id"]
    run(*options)
    assert [file["id"] for file in run("files", "list", "--json").json] == [id]
    assert not [request for request in emulator.requests if request.path == "/v1/fine-tunes"]
    assert "--dry-run shows it" in one_error(run("ft", "submit", many, "--model", TRAINABLE, code=2))
    hint = one_error(run("fine-tuning", "estimate-price", "-t", many, "--model", TRAINABLE, code=2))
    assert "`together-adapters files upload " in hint and "--dry-run" in hint


def test_failed_job(run: Run, many: Path) -> None:
    job = run("ft", "submit", many, "--model", TRAINABLE, "--suffix", "[fail]", "--yes", "--json").json
    result = run("ft", "watch", job["id"], "--poll-interval", 0.05, code=3)
    assert "The job failed" in result.out
    assert result.err.startswith("error: ")
    one_error(run("ft", "watch", "ft-nothing", code=3))


def answer(emulator: Emulator, word: bytes, *command: str) -> tuple[str, int]:
    """Runs a command in a terminal, and answers its question."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(COMMAND[0], [*COMMAND, *command], environment(emulator.base_url))
    screen = b""
    while data := _read(terminal):
        screen += data
        if b"[y/N]" in data:
            os.write(terminal, word + b"\n")
    os.close(terminal)
    return screen.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_question_in_a_terminal(emulator: Emulator, many: Path) -> None:
    command = ("ft", "submit", str(many), "--model", TRAINABLE)
    screen, code = answer(emulator, b"n", *command)
    assert code == 1 and "no job was started" in screen
    assert not [request for request in emulator.requests if request.path == "/v1/fine-tunes"]
    screen, code = answer(emulator, b"y", *command)
    assert code == 0 and "To follow it: together-adapters ft watch ft-" in screen
    assert KEY not in screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is gone
        return b""


def test_judge(run: Run, many: Path, tmp_path: Path, emulator: Emulator) -> None:
    row = {"messages": [{"role": "user", "content": "Which gate?"}, {"role": "assistant", "content": "Gate 7."}]}
    (tmp_path / "v.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    emulator.reply(lambda body: "No idea." if body["model"] == TRAINABLE else "Gate 7.")
    job = run("ft", "submit", many, "--model", TRAINABLE, "--yes", "--json").json["id"]
    model = run("ft", "watch", job, "--poll-interval", 0.05, "--json").json["model_output_name"]
    command = ("ft", "judge", job, "v.jsonl", "--poll-interval", 0.05)
    before = len(emulator.requests)
    assert "pass --yes" in one_error(run(*command, code=2))
    error = one_error(run(*command, "--yes", "--max-price", 1, code=1))
    assert f"the price of {TRAINABLE} is unknown: name its price by --price NAME INPUT OUTPUT" in error
    prices = ("--price", TRAINABLE, 0.2, 0.3, "--max-price", 0.00001)
    limited = one_error(run(*command, "--yes", *prices, code=1))
    assert "the comparison may cost" in limited and "with --max-price 1e-05, nothing was paid" in limited
    screen, code = answer(emulator, b"n", "ft", "judge", job, str(tmp_path / "v.jsonl"))
    assert code == 1 and "The estimated price of answers and judgements is unknown." in screen and "declined" in screen
    assert all(request.method == "GET" for request in emulator.requests[before:])
    result = run(*command, "--yes")
    assert result.out.startswith(f"{model} wins: 1 for {model}, 0 for {TRAINABLE}, 0 ties")
    assert run(*command, "--yes", "--json").json["winner"] == model
    assert (
        f"warning: the price of {TRAINABLE} is unknown: name its price by --price" in result.err and "leave out" not in result.err
    )
    late = run(*command, "--yes", "--wait-timeout", 0, code=3).err.splitlines()
    file = late[3].partition("`together-adapters files delete ")[2].partition("`")[0]
    assert "`together-adapters evaluation wait eval-" in late[3] and run("files", "delete", file, "--json").json["deleted"]
    assert [file["filename"] for file in run("files", "list", "--json").json if "comparison" in file["filename"]] == []
    assert "--against" in one_error(run("ft", "judge", model, "v.jsonl", "--yes", code=2))
    assert "with itself" in one_error(run("ft", "judge", model, "v.jsonl", "--against", model, "--yes", code=2))
