"""The fine-tuning recipes as a user runs them: their files, their job, and the answers of the tuned model."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, run
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Behaviour, Emulator, serve
from together_adapters.finetune import check_jsonl


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose jobs take a fraction of a second. It is strict: the default mode grants more, and refuses nothing else."""
    with serve(job_seconds=0.3, behaviour=Behaviour(strict=True)) as running:
        yield running


class RecipeRun:
    """The run of a recipe on an emulator: its output, its files and its requests."""

    def __init__(self, recipe: str, emulator: Emulator, folder: Path) -> None:
        service = {"TOGETHER_BASE_URL": emulator.base_url, "TOGETHER_API_KEY": KEY}
        done = run(f"finetune_{recipe}", "--yes", "--folder", str(folder), **service)
        assert (done.returncode, done.stderr) == (0, "")
        self.output = done.stdout
        self.folder = folder
        self.requests = emulator.requests
        lines = [line for line in self.output.splitlines() if not line.startswith(("Service:", "  completed:", "Training"))]
        assert all(len(line) < 80 for line in lines if str(folder) not in line)
        assert f"\n{len(self.requests)} requests; the files are in {folder}\n" in self.output
        assert "the check of the service agrees" in self.output
        assert "  warning " not in self.output
        assert emulator.errors == []

    def rows(self, name: str = "train") -> list[dict[str, Any]]:
        """The rows of a file, which has no issues."""
        path = self.folder / f"{name}.jsonl"
        report = check_jsonl(path)
        assert (report.errors, report.warnings) == (0, 0)
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def job(self) -> dict[str, Any]:
        """The body of the only job; checks that each file was uploaded once."""
        started = [
            json.loads(request.body) for request in self.requests if request.method == "POST" and request.path == "/v1/fine-tunes"
        ]
        assert len(started) == 1
        uploads = sum(request.method == "PUT" for request in self.requests)
        assert uploads == 1 + ("validation_file" in started[0] and started[0]["validation_file"] is not None)
        return dict(started[0])

    def answer(self, model: str) -> str:
        """The answer of a model, on one line."""
        match = re.search(rf"^{model}[^\n]*:\n((?:  .*\n)+)", self.output, re.MULTILINE)
        assert match, self.output
        return " ".join(match[1].split())


Cook = Any


@pytest.fixture
def cook(emulator: Emulator, tmp_path: Path) -> Cook:
    return lambda recipe: RecipeRun(recipe, emulator, tmp_path / "files")


def calls_of(row: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for message in row["messages"] for call in message.get("tool_calls") or ()]


@pytest.mark.parametrize(
    ("recipe", "call", "files"),
    [
        ("agent_langchain", "wms_status(1042)", {"train": 11}),
        ("agent_llama_index", "opac_q('Middlemarch')", {"train": 9, "validation": 2}),
    ],
)
def test_agent_on_a_tuned_model_needs_no_manual(cook: Cook, recipe: str, call: str, files: dict[str, int]) -> None:
    done = cook(recipe)
    assert {name: len(done.rows(name)) for name in files} == files
    rows = [row for name in files for row in done.rows(name)]
    assert all(calls_of(row) and row["messages"][-1]["content"] for row in rows)
    assert {len(tool["function"]["description"].split()) <= 2 for row in rows for tool in row["tools"]} == {True}
    assert "manual_left_out" in done.output and "1 no_call" in done.output.replace("2 no_call", "1 no_call")
    assert done.job()["suffix"] in ("desk", "library")
    assert (done.folder / "traces.jsonl").stat().st_mode & 0o777 == 0o600
    large, small, tuned_answer = (done.answer(f"The {size} model") for size in ("large", "small", "tuned"))
    assert f"calls: {call}" in large and f"calls: {call}" in tuned_answer and "calls: none" in small
    read = [int(re.findall(r"prompt: ([\d,]+) tokens", answer)[0]) for answer in (large, tuned_answer)]
    assert read[0] > read[1]


def test_preferences(cook: Cook) -> None:
    done = cook("dpo")
    assert (len(done.rows()), len(done.rows("validation"))) == (5, 1)
    assert "dropped: 2 one_sided" in done.output
    assert done.job()["training_method"]["method"] == "dpo"
    assert "I have sent you the invoice from May again." in done.answer("The tuned model")
    assert "I have sent you" not in done.answer("The original model")


def test_tool_calls(cook: Cook) -> None:
    done = cook("tools")
    log = done.output.partition("train.jsonl")[0]
    assert [(code, int(line)) for code, line in re.findall(r"error (\w+): line (\d)", log)] == [
        ("tool_call_unanswered", 4),
        ("tool_result_unmatched", 4),
        ("tool_arguments_not_string", 6),
        ("tool_arguments_not_object", 7),
        ("tool_undeclared", 8),
    ]
    assert len(done.rows()) == 7
    assert "dropped: 1 tool_not_declared" in done.output
    done.job()
    answer = done.answer("The tuned model")
    assert re.findall(r"calls: (\w+)", answer) == ["dim", "blinds"]  # two in one answer
    assert "calls:" not in done.answer("The original model")


def test_reasoning(cook: Cook) -> None:
    done = cook("reasoning")
    assert all(row["messages"][-1]["reasoning"] for row in done.rows())
    without = (done.folder / "without.jsonl").read_text("utf-8")
    assert "reasoning" not in without and "6 reasoning_dropped" in done.output
    done.job()
    assert "reasoning: Bought 20 months ago, the warranty is 24: covered." in done.answer("The tuned model")
    assert "answer: Yes. Send the kettle in" in done.answer("The tuned model")
    assert "24: covered" not in done.answer("The original model")


def test_images(cook: Cook) -> None:
    done = cook("vision")
    urls = [part["image_url"]["url"] for row in done.rows() for part in row["messages"][0]["content"] if "image_url" in part]
    assert len(set(urls)) == 21 and all(url.startswith("data:image/png;base64,") for url in urls)
    assert "images in them: True" in done.output
    assert done.job()["multimodal_params"]["train_vision"]
    assert done.answer("The tuned model") == "level=35% OK"
    assert "level=" not in done.answer("The original model")


def test_images_are_valid_png() -> None:
    """The images have the right format and size, and a fuller tank has more blue pixels."""
    image = pytest.importorskip("PIL.Image")
    from io import BytesIO

    sys.path.insert(0, str(COOKBOOK))
    try:
        import finetune_vision as recipe
    finally:
        sys.path.remove(str(COOKBOOK))
    images = [image.open(BytesIO(recipe.gauge(level))).convert("RGB") for level in (0, 50, 100)]
    assert {picture.size for picture in images} == {(recipe.SIZE, recipe.SIZE)}
    full = [picture.tobytes().count(recipe.FULL) for picture in images]
    assert full[0] == 0 and full[1] == pytest.approx(full[2] / 2, rel=0.05)


def topic_of(row: dict[str, Any]) -> str:
    """The title that an answer cites, without the number of the part."""
    return re.sub(r" \(\d.*", "", row["messages"][1]["content"].rpartition("[")[2]).strip("]")


def test_retrieved_passages(cook: Cook) -> None:
    done = cook("rag")
    assert "\nIn both files: 0 rows, 0 prompts, 0 passages\n" in done.output
    train, validation = done.rows(), done.rows("validation")
    assert len(train) + len(validation) == 120
    assert all(row["messages"][0]["content"].startswith("Answer the question") for row in train)
    topics = [set(map(topic_of, rows)) for rows in (train, validation)]
    assert topics[0] and topics[1] and not topics[0] & topics[1]
    done.job()
    assert done.answer("The tuned model").endswith("[The break statement]")
    assert "[" not in done.answer("The original model")


def test_a_model_that_is_not_served_does_not_end_the_recipe(run_again: RunAgain) -> None:
    with serve(job_seconds=0.3, models=["acme/chat"]) as service:
        done = run_again("finetune_dpo", "--yes", TOGETHER_BASE_URL=service.base_url, TOGETHER_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nThe original model:\n  refused: 404 from POST /v1/chat/completions: " in done.stdout
    assert "\nThe tuned model:\n  I am sorry. I have sent you the invoice from May again.\n" in done.stdout


def test_emulator_needs_no_confirmation(run_again: RunAgain) -> None:
    done = run_again("finetune_dpo", "--question", "Where do I change the details of my bank?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in done.stdout
    assert "Under Account, then Payment." in done.stdout
    assert "--folder keeps the files" in done.stdout


def test_other_services_need_a_confirmation(emulator: Emulator, run_again: RunAgain) -> None:
    done = run_again("finetune_dpo", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert done.returncode == 2
    assert done.stderr.endswith("a job costs money and needs a confirmation: pass --yes\n")
    assert emulator.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("reply", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_confirmation_in_a_terminal(emulator: Emulator, run_again: RunAgain, reply: str, code: int) -> None:
    import pty

    controller, terminal_end = pty.openpty()
    with os.fdopen(controller, "wb", buffering=0) as keyboard:
        keyboard.write(reply.encode() + b"\n")
        terminal = Path(os.ttyname(terminal_end))
        done = run_again("finetune_dpo", stdin=terminal, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
        os.close(terminal_end)
    assert done.returncode == code
    assert re.search(r"estimated price: \$\d+\.\d\d\n  Start the job\? \[y/N\] ", done.stdout)
    assert ("no job was started" in done.stderr) == bool(code)
    started = [request for request in emulator.requests if request.method == "POST" and request.path == "/v1/fine-tunes"]
    assert len(started) == 1 - code


def test_error_is_one_line(emulator: Emulator, run_again: RunAgain) -> None:
    done = run_again("finetune_dpo", "--yes", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert done.returncode == 3
    assert re.fullmatch(r"error: 401 from .*TOGETHER_API_KEY.*\n", done.stderr)
    assert BAD_KEY not in done.stderr + done.stdout


def test_folder_with_files_is_not_changed(tmp_path: Path, run_again: RunAgain) -> None:
    (tmp_path / "train.jsonl").write_text("mine", "utf-8")
    done = run_again("finetune_dpo", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.endswith("is not empty\n")
    assert (tmp_path / "train.jsonl").read_text("utf-8") == "mine"
