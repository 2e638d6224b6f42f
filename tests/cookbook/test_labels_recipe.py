"""The recipe that labels documents by a batch job: it is killed once, and pays once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, chats, run
from tests.cookbook.test_langchain_recipes import check_output
from together_adapters.emulator import Emulator


def posts(emulator: Emulator, path: str) -> int:
    return sum(request.method == "POST" and request.path == path for request in emulator.requests)


@pytest.mark.long
def test_one_job_although_the_program_was_killed(emulator: Emulator, tmp_path: Path) -> None:
    checkpoint = tmp_path / "labels.sqlite"
    options = ["--documents", "60", "--checkpoint", str(checkpoint)]
    output = check_output(run("labels_langchain", *options, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY))
    assert "The first process was killed while its job ran.\n" in output
    table = re.findall(r"^(\w+) +([\d,]+) +([\d,]+)$", output, re.MULTILINE)
    assert table == [("billing", "20", "20"), ("delivery", "20", "20"), ("repairs", "20", "20"), ("all", "60", "60")]
    assert "Jobs of both processes together: 1\n" in output
    assert (posts(emulator, "/v1/batches"), posts(emulator, "/v1/files"), chats(emulator)) == (1, 1, [])
    assert emulator.bill.total().requests == 60 + 1  # and one that asks whether the model is served
    assert checkpoint.exists()


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_without_a_service(mode: str, run_again: RunAgain) -> None:
    output = check_output(run_again("labels_langchain", "--documents", "9", TOGETHER_EMULATOR=mode))
    assert "Jobs of both processes together: 1\n" in output


def test_wrong_key_is_one_line(emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again("labels_langchain", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert re.fullmatch(r"error: 401 from .*TOGETHER_API_KEY.*\n", process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout


def test_a_count_that_is_not_positive(run_again: RunAgain) -> None:
    process = run_again("labels_langchain", "--documents", "0")
    assert process.returncode == 2
    assert process.stderr.endswith("--documents must be at least 1\n")
