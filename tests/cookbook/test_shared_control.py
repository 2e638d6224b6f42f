"""The recipe of `Control` as a user runs it: what it says it has spent is what is billed, and few requests are refused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.cookbook.conftest import BAD_KEY, KEY, RunAgain, run
from together_adapters.emulator import Behaviour, Emulator, Limits, serve

CHAT, VECTORS = "openai/gpt-oss-120b", "BAAI/bge-base-en-v1.5"
LIMITS = Limits(requests_per_minute=3000, schedule=[(3.0, Limits(requests_per_minute=1500))])
ROW = re.compile(r"^ *(\w+) +([\w./-]*)" + r" +([\d,]+)" * 4 + r" +([\d.]+) *$", re.MULTILINE)
LEARNED = re.compile(r"^ +\d+ s +\d+ +\d+ +([\d,]+|-)(?: =+)?$", re.MULTILINE)
DROPPED = (1100, 1500)  # the limit after its drop, of which a refusal takes a part for a while

# On a busy machine a request takes longer to the service, by more than the 50 ms that the limiter allows for: it takes the service's
# window to end too early, and at each end the eight requests that are under way may be refused.
SHARE, SHARE_WHEN_BUSY = 0.03, 0.15
BUSY = 2  # processes that wait for each processor


def check_refusals(refused: int, requests: int, learned: list[float]) -> None:
    is_busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    assert refused < (SHARE_WHEN_BUSY if is_busy else SHARE) * requests
    assert learned[0] == 3000
    assert DROPPED[0] / (2 if is_busy else 1) <= learned[-1] <= DROPPED[1]


def table(process: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], tuple[int, int, int, int, str]]:
    """Returns calls, requests, tokens in, tokens out and dollars of each job and model."""
    assert (process.returncode, process.stderr) == (0, "")
    assert all(len(line) < 80 for line in process.stdout.splitlines() if not line.startswith(("Service:", "The plot is in")))
    return {  # type: ignore[return-value]
        (row[1], row[2]): (*(int(row[i].replace(",", "")) for i in range(3, 7)), row[7]) for row in ROW.finditer(process.stdout)
    }


def learned_limits(output: str) -> list[float]:
    return [float(limit.replace(",", "")) for limit in LEARNED.findall(output) if limit != "-"]


def check_against_the_bill(output: str, rows: dict[tuple[str, str], tuple[int, int, int, int, str]], emulator: Emulator) -> None:
    for model in (CHAT, VECTORS):
        bill = emulator.bill.total(model=model)
        of_model = [row for (_, name), row in rows.items() if name == model]
        assert (sum(row[2] for row in of_model), sum(row[3] for row in of_model)) == (bill.input_tokens, bill.output_tokens)
    bill = emulator.bill.total()
    refused = len(emulator.requests) - bill.requests
    assert rows["total", ""] == (bill.requests, len(emulator.requests), bill.input_tokens, bill.output_tokens, f"{bill.cost:.6f}")
    assert f"\n{refused} of {len(emulator.requests)} requests were refused: " in output
    check_refusals(refused, len(emulator.requests), learned_limits(output))


def test_the_limit_drops(tmp_path: Path) -> None:
    path = tmp_path / "limit.svg"
    with serve(limits=LIMITS, behaviour=Behaviour(delay=0.01)) as emulator:  # as the recipe's own
        process = run("shared_control", "--plot", str(path), TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
        rows = table(process)
        check_against_the_bill(process.stdout, rows, emulator)
    assert list(rows) == [
        ("ingest", CHAT), ("answers", CHAT), ("ingest", VECTORS), ("setup", CHAT), ("setup", VECTORS), ("total", ""),
    ]  # fmt: skip
    assert (rows["ingest", CHAT][0], rows["answers", CHAT][0], rows["ingest", VECTORS][0]) == (130, 32, 2)
    assert "130 documents ingested, 16 questions answered\n" in process.stdout
    assert "</svg>" in path.read_text("utf-8")


def test_without_a_key_and_an_embedding_model(run_again: RunAgain) -> None:
    process = run_again("shared_control", TOGETHER_EMULATOR="strict")
    rows = table(process)
    assert list(rows) == [("ingest", CHAT), ("answers", CHAT), ("setup", CHAT), ("setup", VECTORS), ("total", "")]
    assert rows["setup", VECTORS] == (1, 1, 0, 0, "0.000000")  # it was refused
    assert "Service:  emulator (TOGETHER_EMULATOR=strict)" in process.stdout
    assert "\nVectors:  none, as the service serves no embedding model\n" in process.stdout
    refused, requests = map(int, re.findall(r"^(\d+) of (\d+) requests were refused", process.stdout, re.MULTILINE)[0])
    check_refusals(refused, requests, learned_limits(process.stdout))


def test_wrong_key_is_one_line(emulator: Emulator, run_again: RunAgain) -> None:
    process = run_again("shared_control", TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=BAD_KEY)
    assert process.returncode == 3
    assert re.fullmatch(r"error: 401 from POST /v1/chat/completions: .*TOGETHER_API_KEY.*\n", process.stderr)
    assert BAD_KEY not in process.stderr + process.stdout
