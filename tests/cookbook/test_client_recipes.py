"""The recipes of the plain client as a user runs them."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, chats
from tests.cookbook.warm import RECIPES
from together_adapters.emulator import Emulator

LAST_LINE = {
    "audio_client": r"4 requests",
    "batch_client": r"\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; [\d.]+ s",
    "evaluation_client": r"\d+ requests, 5 evaluations",
    "extraction_client": r"\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; [\d.]+ s",
    "images_client": r"4 requests; --folder keeps the files",
    "vision_client": r"\d+ requests; [\d,]+ tokens in and [\d,]+ out for the answer; [\d.]+ s",
}


@pytest.fixture
def cook(emulator: Emulator, run_again: RunAgain) -> Any:
    """Runs a recipe on the emulator of the test; returns what it prints."""

    def run(recipe: str, *arguments: str) -> str:
        process = run_again(recipe, *arguments, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
        assert (process.returncode, process.stderr) == (0, "")
        return process.stdout

    return run


def test_every_recipe_is_here() -> None:
    assert set(RECIPES["client"]) == set(LAST_LINE)


@pytest.mark.parametrize("setting", ["", "strict"])
@pytest.mark.parametrize("recipe", LAST_LINE)
def test_without_a_key(recipe: str, setting: str, run_again: RunAgain) -> None:
    process = run_again(recipe, **{"TOGETHER_EMULATOR": setting} if setting else {})
    assert (process.returncode, process.stderr) == (0, "")
    assert f"Service:  emulator ({'TOGETHER_EMULATOR=strict' if setting else 'TOGETHER_API_KEY is not set'})" in process.stdout
    lines = process.stdout.splitlines()
    assert re.fullmatch(LAST_LINE[recipe], lines[-1])
    assert [line for line in lines if len(line) > 95] == []


@pytest.mark.parametrize("recipe", LAST_LINE)
def test_a_wrong_key_is_one_line(recipe: str, emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again(recipe, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert re.fullmatch(r"error: 401 from \w+ /v1/\S+: .*TOGETHER_API_KEY.*\n", process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout


def test_orders_that_do_not_add_up_are_asked_for_again(cook: Any, emulator: Emulator) -> None:
    output = cook("extraction_client")
    assert "Ada Okafor            3    4.50   13.50  post      ada@example.org\n" in output
    assert "Ben Osei              2   75.00  150.00  courier   -\n" in output
    assert "No order, also at the second time: 12 x 0.80 is 9.60, but the total is 10.00\n  We are Northern Readers." in output
    assert len(chats(emulator)) == 4
    assert "12 x 0.80 is 9.60, but the total is 10.00" in chats(emulator)[-1]["messages"][-1]["content"]


def test_the_second_answer_counts(cook: Any, emulator: Emulator) -> None:
    emulator.reply('{"customer": "Ada", "pieces": 3', when="This is Ada", times=1)
    output = cook("extraction_client")
    assert "Ada Okafor            3    4.50   13.50  post      ada@example.org\n" in output
    assert len(chats(emulator)) == 5


def test_a_batch_is_one_job_and_one_of_its_requests_fails(cook: Any, emulator: Emulator) -> None:
    output = cook("batch_client", "--messages", "8", "--poll-interval", "0.05")
    rows = dict(re.findall(r"^(\w+) +(\d+)  1\d\d\d", output, re.MULTILINE))
    assert rows == {"billing": "3", "delivery": "3", "repairs": "2"}
    assert "\ntoo-hot failed: Input validation error: temperature must be less than or equal to 2\n" in output
    assert [request.method for request in emulator.requests if request.path == "/v1/batches"] == ["POST"]
    [dollars] = re.findall(r"^\$(0\.\d+) by the list prices of openai/gpt-oss-120b", output, re.MULTILINE)
    assert float(dollars) > 0
    assert emulator.bill.total(kind="batch").requests == 8


def test_pictures_are_files(cook: Any, tmp_path: Path, run_again: RunAgain) -> None:
    folder = tmp_path / "pictures"
    output = cook("images_client", "--folder", str(folder), "--prompt", "a <lighthouse>")
    assert {path.name for path in folder.iterdir()} == {"seed-7.png", "seed-8.png", "seed-9.png", "index.html"}
    contents = {path.read_bytes() for path in folder.glob("*.png")}
    assert len(contents) == 3 and all(content.startswith(b"\x89PNG") for content in contents)
    assert "a &lt;lighthouse&gt;" in (folder / "index.html").read_text("utf-8")
    assert output.count("512 x 384") == 3
    assert "Seed 7 once more: the same picture\n" in output
    process = run_again("images_client", "--folder", str(folder))
    assert process.returncode == 2
    assert f"{folder} is not empty" in process.stderr


def test_what_is_heard_is_compared(cook: Any, emulator: Emulator, tmp_path: Path, run_again: RunAgain) -> None:
    path = tmp_path / "train.wav"
    emulator.reply(transcript="The train leaves at five.")
    output = cook("audio_client", "--text", "The train leaves at nine.", "--output", str(path))
    assert "4 of 5 words are as they were written\n  written 'nine', heard 'five'\n" in output
    with wave.open(str(path)) as speech:
        assert speech.getnframes() > 1_000
    process = run_again("audio_client", "--output", str(path))
    assert process.returncode == 2
    assert f"{path} exists" in process.stderr


def test_the_better_prompt_wins(cook: Any, emulator: Emulator) -> None:
    output = cook("evaluation_client", "--poll-interval", "0.05")
    scores = {name: float(score) for name, score in re.findall(r"^(with\w* rules) +([\d.]+) +\d+ +\d+$", output, re.MULTILINE)}
    assert 1 <= scores["without rules"] < scores["with rules"] <= 5
    assert "The better answer, each pair judged in both orders: without rules 0, with rules 6, ties 0\n" in output
    assert output.count("\n * with rules ") == 6
    created = [
        request.json["type"] for request in emulator.requests if (request.method, request.path) == ("POST", "/v1/evaluation")
    ]
    assert sorted(created) == ["classify", "classify", "compare", "score", "score"]


def test_pictures_stay_in_the_chat(cook: Any, emulator: Emulator) -> None:
    emulator.reply('{"tallest_before": "green", "tallest_after": "red", "changed": "blue"}', when="As JSON")
    output = cook("vision_client")
    assert "\n2 of 3 readings are right\n" in output
    pictures = [str(body["messages"]).count("data:image/png;base64,") for body in chats(emulator)]
    assert pictures == [1, 1, 2, 2]
    emulator.reply("I would rather not say.", when="As JSON")
    assert "\nNo reading: the answer is no Reading: " in cook("vision_client")
