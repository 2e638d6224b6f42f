"""The fine-tuning recipes, each as a user runs it: its files, its one job, and what the tuned model has learnt."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, Again, run
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Emulator, serve
from together_adapters.finetune import check_jsonl


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own, whose jobs are done soon."""
    with serve(job_seconds=0.3) as running:
        yield running


class Cooked:
    """A recipe that was run on an emulator: what it printed, wrote and sent."""

    def __init__(self, recipe: str, emulator: Emulator, folder: Path) -> None:
        service = {"TOGETHER_BASE_URL": emulator.base_url, "TOGETHER_API_KEY": KEY}
        done = run(f"finetune_{recipe}", "--yes", "--folder", str(folder), **service)
        assert (done.returncode, done.stderr) == (0, "")
        self.output = done.stdout
        self.folder = folder
        self.sent = emulator.requests
        shown = [line for line in self.output.splitlines() if not line.startswith(("Service:", "  completed:", "Training"))]
        assert all(len(line) < 80 for line in shown if str(folder) not in line)
        assert f"\n{len(self.sent)} requests; the files are in {folder}\n" in self.output
        assert "the check of the service agrees" in self.output
        assert "  warning " not in self.output
        assert emulator.errors == []

    def rows(self, name: str = "train") -> list[dict[str, Any]]:
        """The rows of a file, which is right in every way."""
        path = self.folder / f"{name}.jsonl"
        report = check_jsonl(path)
        assert (report.errors, report.warnings) == (0, 0)
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def job(self) -> dict[str, Any]:
        """The one job that was started, after each file was sent once."""
        started = [
            json.loads(request.body) for request in self.sent if request.method == "POST" and request.path == "/v1/fine-tunes"
        ]
        assert len(started) == 1
        uploads = sum(request.method == "PUT" for request in self.sent)
        assert uploads == 1 + ("validation_file" in started[0] and started[0]["validation_file"] is not None)
        return dict(started[0])

    def told(self, who: str) -> str:
        """What a model answered, on one line."""
        found = re.search(rf"^{who}[^\n]*:\n((?:  .*\n)+)", self.output, re.MULTILINE)
        assert found, self.output
        return " ".join(found[1].split())


Cook = Any


@pytest.fixture
def cook(emulator: Emulator, tmp_path: Path) -> Cook:
    return lambda recipe: Cooked(recipe, emulator, tmp_path / "files")


def calls_of(row: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for message in row["messages"] for call in message.get("tool_calls") or ()]


@pytest.mark.parametrize(
    ("recipe", "call", "files"),
    [
        ("agent_langchain", "wms_status(1042)", {"train": 11}),
        ("agent_llama_index", "opac_q('Middlemarch')", {"train": 9, "validation": 2}),
    ],
)
def test_an_agent_on_a_tuned_model_needs_no_manual(cook: Cook, recipe: str, call: str, files: dict[str, int]) -> None:
    done = cook(recipe)
    assert {name: len(done.rows(name)) for name in files} == files
    rows = [row for name in files for row in done.rows(name)]
    assert all(calls_of(row) and row["messages"][-1]["content"] for row in rows)
    assert {len(tool["function"]["description"].split()) <= 2 for row in rows for tool in row["tools"]} == {True}
    assert "manual_left_out" in done.output and "1 no_call" in done.output.replace("2 no_call", "1 no_call")
    assert done.job()["suffix"] in ("desk", "library")
    assert (done.folder / "traces.jsonl").stat().st_mode & 0o777 == 0o600
    large, small, tuned = (done.told(f"The {size} model") for size in ("large", "small", "tuned"))
    assert f"calls: {call}" in large and f"calls: {call}" in tuned and "calls: none" in small
    read = [int(re.findall(r"prompt: ([\d,]+) tokens", told)[0]) for told in (large, tuned)]
    assert read[0] > read[1]


def test_preferences(cook: Cook) -> None:
    done = cook("dpo")
    assert (len(done.rows()), len(done.rows("validation"))) == (5, 1)
    assert "dropped: 2 one_sided" in done.output
    assert done.job()["training_method"]["method"] == "dpo"
    assert "I have sent you the invoice from May again." in done.told("The tuned model")
    assert "I have sent you" not in done.told("The original model")


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
    tuned = done.told("The tuned model")
    assert re.findall(r"calls: (\w+)", tuned) == ["dim", "blinds"]  # two at once
    assert "calls:" not in done.told("The original model")


def test_reasoning(cook: Cook) -> None:
    done = cook("reasoning")
    assert all(row["messages"][-1]["reasoning"] for row in done.rows())
    without = (done.folder / "without.jsonl").read_text("utf-8")
    assert "reasoning" not in without and "6 reasoning_dropped" in done.output
    done.job()
    assert "reasoning: Bought 20 months ago, the warranty is 24: covered." in done.told("The tuned model")
    assert "answer: Yes. Send the kettle in" in done.told("The tuned model")
    assert "24: covered" not in done.told("The original model")


def test_pictures(cook: Cook) -> None:
    done = cook("vision")
    urls = [part["image_url"]["url"] for row in done.rows() for part in row["messages"][0]["content"] if "image_url" in part]
    assert len(set(urls)) == 21 and all(url.startswith("data:image/png;base64,") for url in urls)
    assert "images in them: True" in done.output
    assert done.job()["multimodal_params"]["train_vision"]
    assert done.told("The tuned model") == "level=35% OK"
    assert "level=" not in done.told("The original model")


def test_pictures_are_pictures() -> None:
    """Chunks, checksums and sizes are those of the format; and a fuller tank has more of its colour."""
    image = pytest.importorskip("PIL.Image")
    from io import BytesIO

    sys.path.insert(0, str(COOKBOOK))
    try:
        import finetune_vision as recipe
    finally:
        sys.path.remove(str(COOKBOOK))
    seen = [image.open(BytesIO(recipe.gauge(level))).convert("RGB") for level in (0, 50, 100)]
    assert {picture.size for picture in seen} == {(recipe.SIZE, recipe.SIZE)}
    full = [picture.tobytes().count(recipe.FULL) for picture in seen]
    assert full[0] == 0 and full[1] == pytest.approx(full[2] / 2, rel=0.05)


def topic_of(row: dict[str, Any]) -> str:
    """What an answer cites, without the number of the part."""
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
    assert done.told("The tuned model").endswith("[The break statement]")
    assert "[" not in done.told("The original model")


def test_on_an_emulator_of_its_own_nobody_is_asked(again: Again) -> None:
    done = again("finetune_dpo", "--question", "Where do I change the details of my bank?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Service:  emulator (TOGETHER_API_KEY is not set)" in done.stdout
    assert "Under Account, then Payment." in done.stdout
    assert "--folder keeps the files" in done.stdout


def test_elsewhere_somebody_has_to_agree(emulator: Emulator, again: Again) -> None:
    done = again("finetune_dpo", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
    assert done.returncode == 2
    assert done.stderr.endswith("a job costs money and needs a confirmation: pass --yes\n")
    assert emulator.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("reply", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_a_person_is_asked(emulator: Emulator, again: Again, reply: str, code: int) -> None:
    import pty

    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        keyboard.write(reply.encode() + b"\n")
        terminal = Path(os.ttyname(theirs))
        done = again("finetune_dpo", stdin=terminal, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
        os.close(theirs)
    assert done.returncode == code
    assert re.search(r"estimated price: \$\d+\.\d\d\n  Start the job\? \[y/N\] ", done.stdout)
    assert ("no job was started" in done.stderr) == bool(code)
    started = [request for request in emulator.requests if request.method == "POST" and request.path == "/v1/fine-tunes"]
    assert len(started) == 1 - code


def test_ends_in_one_line(emulator: Emulator, again: Again) -> None:
    done = again("finetune_dpo", "--yes", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert done.returncode == 3
    assert re.fullmatch(r"error: 401 from .*TOGETHER_API_KEY.*\n", done.stderr)
    assert BAD_KEY not in done.stderr + done.stdout


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, again: Again) -> None:
    (tmp_path / "train.jsonl").write_text("mine", "utf-8")
    done = again("finetune_dpo", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.endswith("is not empty\n")
    assert (tmp_path / "train.jsonl").read_text("utf-8") == "mine"
