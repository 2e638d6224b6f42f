"""A terminal of 80 columns: tables that fit, progress bars, colours, questions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import CTRL_C, TRAINABLE, Terminal, without_styles
from together_adapters import Together
from together_adapters.cli.fine_tuning import format_duration, progress_text
from together_adapters.emulator import Emulator, serve
from together_adapters.finetune import start
from together_adapters.types.capabilities import MODELS
from together_adapters.types.fine_tuning import FinetuneResponse


@pytest.fixture
def client(emulator: Emulator) -> Together:
    return Together(api_key="any", base_url=emulator.base_url)


def test_table_fits_and_ids_are_not_wrapped(terminal: Terminal, client: Together, train: Path) -> None:
    id = client.files.upload(train).id or ""
    wide, narrow, tiny = (without_styles(terminal("files", "list", columns=columns)) for columns in (160, 80, 40))
    for screen, columns in ((wide, 160), (narrow, 80)):
        assert id in screen
        assert max(map(len, screen.splitlines())) <= columns
    assert "fine-tune" in wide
    assert re.search(r"\(not shown in this narrow terminal: .*Purpose; --json\s+has\s+all\)", narrow)
    assert f"File ID     {id}" in tiny


@pytest.mark.parametrize("columns", [80, 120])
def test_names_of_models_fit(terminal: Terminal, tmp_path: Path, columns: int) -> None:
    gone = next(name for name, entry in MODELS.items() if entry.is_removed and entry.type == "chat")
    (tmp_path / "app.py").write_text(f'first = "{gone}"\n\nmodel="acme/new-7b"\n')
    lines = without_styles(terminal("models", "check", columns=columns, code=1)).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith(f"app.py:1: {gone} is gone since")
    assert lines[1].startswith("    ")
    assert "app.py:3: acme/new-7b is unknown: not in the table" in lines
    table = without_styles(terminal("models", "list", "--table", columns=columns)).splitlines()
    assert max(map(len, table)) <= columns
    head = " ".join(" ".join(table[:2]).split())
    assert ("Type" in head) == ("Can" in head) == (columns == 120)
    assert "Context," in head and "in/out" in head and "Served" in head
    row = next(line.split() for line in table if line.startswith(f"{gone} "))
    facts = MODELS[gone]
    assert row[-1] == "gone" and f"{facts.prices.input:.2f}/{facts.prices.output:.2f}" in row
    assert len([line for line in table if "/" in line.split(" ")[0]]) == len(
        [name for name in MODELS if "/" in name]
    )  # none wraps


def test_no_color(terminal: Terminal) -> None:
    assert "\x1b[1m" in terminal("models", "list")
    assert "\x1b[1m" not in terminal("models", "list", NO_COLOR="1")


def test_progress_bar_of_a_job(terminal: Terminal, client: Together, train: Path) -> None:
    screen = without_styles(terminal("files", "upload", train))
    assert "━" in screen
    id = re.search(r"^id +(file-\S+)$", screen, re.M)
    assert id
    client.files.wait(id[1])
    job = client.fine_tuning.create(training_file=id[1], model=TRAINABLE).id
    screen = without_styles(terminal("fine-tuning", "wait", job, "--poll-interval", "0.1"))
    assert re.search(r"(pending|queued|running|compressing|uploading|completed) ━+", screen)
    assert re.search(r"^status +completed", screen, re.M)
    assert "completed" in without_styles(terminal("fine-tuning", "list"))
    assert "$" in without_styles(terminal("fine-tuning", "retrieve", job))


def test_the_bar_of_an_upload_has_bytes_of_what_is_in_bytes(terminal: Terminal, train: Path) -> None:
    screen = without_styles(terminal("ft", "submit", train, "--model", TRAINABLE, "--yes"))
    assert re.search(r"check ━+ [\d.]+ (bytes|kB) of [\d.]+ (bytes|kB)", screen)
    assert re.search(r"(?m)^(pending|queued|completed) ━+ *$", screen)
    assert "?" not in screen and "/1 bytes" not in screen


def test_the_bar_of_a_training_is_as_old_as_its_events(terminal: Terminal, train: Path) -> None:
    with serve(job_seconds=3) as emulator, Together(api_key="any", base_url=emulator.base_url) as client:
        job = start(client, train, model=TRAINABLE, n_epochs=2)
        screen = without_styles(terminal("ft", "watch", job.id, "--poll-interval", "0.9", TOGETHER_BASE_URL=emulator.base_url))
    lines = [line for line in screen.splitlines() if line.strip()]
    event = next(index for index, line in enumerate(lines) if line.endswith("Compressing the model"))
    assert lines[event + 1].startswith(("compressing", "uploading", "completed"))  # the bar that is drawn with the event
    assert re.search(r"^training, step \d+ of \d+ ━+", screen, re.M)
    bars = [line for line in lines if "━" in line]
    assert {bool(re.search(r" [0-9]+%", line)) for line in bars if line.startswith("training")} == {True}
    assert not [line for line in bars if "%" in line and not line.startswith("training")]


def test_json_without_a_progress_bar(terminal: Terminal, train: Path) -> None:
    screen = without_styles(terminal("files", "check", train, "--json"))
    assert '"ok": true' in screen


def test_confirmation(terminal: Terminal, client: Together, train: Path) -> None:
    file = client.files.upload(train).id
    client.files.wait(file or "")
    options = ("fine-tuning", "create", "-t", file, "-m", TRAINABLE)
    assert "declined: nothing was done" in without_styles(terminal(*options, typed=[("[Y/n]", "n\n")], code=1))
    assert "Successfully submitted" in without_styles(terminal(*options, typed=[("[Y/n]", "\n")]))


def test_interactive_conversation(terminal: Terminal, emulator: Emulator) -> None:
    typed = [(">>> ", "Say hello to Ann.\n"), ("Hello to Ann.\n", "/help\n"), ("discard a line\n>>> ", "\x04")]
    screen = terminal("chat.interactive", "--model", "deepseek-ai/DeepSeek-R1", typed=typed)
    assert "\x1b[2m" in screen  # reasoning stands back
    assert "Hello to Ann." in without_styles(screen)
    assert "/reset" in screen


def test_ctrl_c_at_the_prompt_discards_the_line(terminal: Terminal) -> None:
    screen = terminal("chat.interactive", "--model", "deepseek-ai/DeepSeek-R1", typed=[(">>> ", CTRL_C), ("leaves", "/exit\n")])
    assert "Traceback" not in screen


def test_ctrl_c_stops_watching_but_not_the_job(terminal: Terminal, train: Path) -> None:
    with serve(job_seconds=300) as emulator:
        client = Together(api_key="any", base_url=emulator.base_url)
        id = start(client, train, model=TRAINABLE, poll_interval=0.02).id
        watch = ("ft", "watch", id, "--poll-interval", "0.1")
        screen = terminal(*watch, typed=[("queued", CTRL_C)], code=130, TOGETHER_BASE_URL=emulator.base_url)
        assert without_styles(screen).rstrip().endswith(f"The job continues. To follow it again: together-adapters ft watch {id}")
        assert "\x1b[?25h" in screen  # the cursor that a bar hides is back
        for noise in ("Traceback", "Aborted", "error"):
            assert noise not in screen
        assert client.fine_tuning.retrieve(id).status in ("pending", "queued", "running")
        assert not any(request.path.endswith("/cancel") for request in emulator.requests)


def test_progress_text() -> None:
    now = datetime(2026, 1, 1, 1, tzinfo=UTC)
    estimate = {"estimate_available": True, "seconds_remaining": 3600.0}
    running = FinetuneResponse.model_validate({"status": "running", "started_at": "2026-01-01T00:00:00Z", "progress": estimate})
    assert progress_text(running, now) == "█████░░░░░  50% 1h left"
    steps = FinetuneResponse(status="running", total_steps=10, steps_completed=3)
    assert progress_text(steps, now) == "███░░░░░░░  30%"
    assert progress_text(FinetuneResponse(status="completed"), now) == "completed"
    assert progress_text(FinetuneResponse(status="pending"), now) == "unavailable"
    assert progress_text(FinetuneResponse(status="error"), now) == ""
    assert format_duration(90_061) == "1d 1h 1min 1s"
