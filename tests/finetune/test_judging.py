"""Two models answer the questions of a file before a judge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour
from together_adapters.bulk import run
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import (
    APITimeoutError,
    BudgetExceededError,
    DatasetError,
    JobFailedError,
    NotFoundError,
    PaymentRequiredError,
)
from together_adapters.finetune import judge

GOOD, BAD = "openai/gpt-oss-120b", "Qwen/Qwen3.5-9B"


def conversation(number: int, answer: Any) -> dict[str, Any]:
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Which gate for flight {number}?"}]
    return {"messages": [*question, {"role": "assistant", "content": answer, "weight": 1}]}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(autouse=True)
def replies(emulator: Emulator) -> None:
    emulator.reply(lambda body: "Gate 7, of course." if body["model"] == GOOD else "Sorry, no idea.")


def compare(flavour: Flavour, path: Path, **options: Any) -> Any:
    client = options.pop("client", None) or flavour.client(max_retries=0)
    return flavour.run(judge(client, path, **{"model_a": GOOD, "model_b": BAD, "poll_interval": 0.02, **options}))


def test_who_wins(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    rows = [conversation(number, "Gate 7.") for number in range(4)]
    path = write(tmp_path / "v.jsonl", *rows, conversation(9, None), {"prompt": "Which gate?", "completion": "Gate 7."})
    states: list[Any] = []
    result = compare(flavour, path, progress=states.append)
    assert (result.a_wins, result.b_wins, result.ties, result.without_text) == (5, 0, 0, 1)
    assert result.winner == GOOD
    assert str(result) == f"{GOOD} wins: 5 for {GOOD}, 0 for {BAD}, 0 ties, 1 without an answer of text"
    assert ", 1 tie, " in str(replace(result, ties=1))
    assert next(state for state in reversed(states) if state.stage == "answers").done == 10
    assert states[-1].stage == "completed"
    bodies = [request.json for request in emulator.requests if request.path == "/v1/chat/completions"]
    assert rows[0]["messages"][:-1] in [body["messages"] for body in bodies]
    assert compare(flavour, path, model_a=BAD, model_b=GOOD).winner == GOOD


def test_rows_that_fail_are_named(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", *(conversation(number, "Gate 7.") for number in range(3)))
    emulator.inject(Fault("400", message="no such tool"))
    result = compare(flavour, path)
    assert result.a_wins == 2 and "no such tool" in result.errors[0] and "1 failed" in str(result)


def test_what_cannot_be_compared(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2 of .*v.jsonl has neither"):
        compare(flavour, write(tmp_path / "v.jsonl", conversation(1, "Gate 7."), {"text": "x"}))
    with pytest.raises(DatasetError, match="no row whose last message"):
        compare(flavour, write(tmp_path / "v.jsonl", conversation(1, None)))
    with pytest.raises(TypeError, match=r"judge\(\) got an unexpected keyword argument 'judges' \(do you mean 'judge'"):
        compare(flavour, tmp_path / "v.jsonl", judges="x")
    with pytest.raises(ValueError, match="the same model"):
        compare(flavour, tmp_path / "v.jsonl", model_b=GOOD)
    assert emulator.requests == []
    with emulator.behave(any_model=False), pytest.raises(NotFoundError, match="no/model"):
        path = write(tmp_path / "v.jsonl", conversation(1, "Gate 7."))
        compare(flavour, path, model_a="no/model", model_b="none/model")


def file_count(flavour: Flavour) -> int:
    files = flavour.run(flavour.client().files.list()).data
    return sum(file.filename == "comparison.jsonl" for file in files)


def test_the_uploaded_file_is_deleted(
    flavour: Flavour, emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def break_deletion(progress: Any) -> None:
        if progress.stage == "completed":
            emulator.inject(Fault("500", path="/v1/files/"))

    path = write(tmp_path / "v.jsonl", conversation(1, "Gate 7."))
    result = compare(flavour, path)
    assert file_count(flavour) == 0
    assert flavour.run(flavour.client().files.content(result.result_file_id))
    emulator.inject(Fault("402", path="/v1/evaluation"))
    with pytest.raises(PaymentRequiredError):
        compare(flavour, path)
    assert file_count(flavour) == 0
    with pytest.raises(JobFailedError):
        compare(flavour, path, instructions="{{nothing}}")
    assert file_count(flavour) == 0
    assert compare(flavour, path, progress=break_deletion).winner == GOOD
    (left,) = [file for file in flavour.run(flavour.client().files.list()).data if file.filename == "comparison.jsonl"]
    assert f"client.files.delete('{left.id}')" in caplog.text
    flavour.run(flavour.client().files.delete(left.id))


def test_a_wait_that_ends_early_says_what_goes_on(flavour: Flavour, tmp_path: Path) -> None:
    def interrupt(progress: Any) -> None:
        if progress.stage != "answers":
            raise KeyboardInterrupt

    path = write(tmp_path / "v.jsonl", conversation(1, "Gate 7."))
    before = file_count(flavour)
    for expected, options in ((APITimeoutError, {"timeout": 0}), (KeyboardInterrupt, {"progress": interrupt})):
        with pytest.raises(expected) as error:
            compare(flavour, path, **options)
        (note,) = error.value.__notes__
        words = re.fullmatch(r".*client.evaluation.wait\('(.*?)'\).*client.files.delete\('(.*?)'\).*", note)
        assert words is not None
        client = flavour.client()
        assert flavour.run(client.evaluation.wait(words[1], poll_interval=0.02)).status == "completed"
        flavour.run(client.files.delete(words[2]))
    assert file_count(flavour) == before


def test_the_price_comes_first(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", conversation(1, "Gate 7."))
    prices: list[Any] = []

    def refuse(price: float | None) -> None:
        prices.append(price)
        raise RuntimeError("too much")

    for options in ({}, {"max_tokens": 5_000}, {"model_b": "no/price"}):
        with pytest.raises(RuntimeError, match="too much"):
            compare(flavour, path, on_price=refuse, **options)
    assert 0 < prices[0] < prices[1] < 0.1 and prices[2] is None
    with pytest.raises(BudgetExceededError, match="may cost 0.00.* with max_price=1e-06, nothing was paid"):
        compare(flavour, path, max_price=1e-6)
    with pytest.raises(
        BudgetExceededError, match=r"the price of no/price and of none/price is unknown: name its price, Together\("
    ):
        compare(flavour, path, max_price=100, model_a="no/price", model_b="none/price")
    assert {request.path for request in emulator.requests} <= {"/v1/models", "/v1/fine-tunes"}
    assert compare(flavour, path, max_price=1).a_wins == 1


def test_a_tuned_model_has_the_price_of_its_base(
    flavour: Flavour, emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "v.jsonl", *(conversation(number, "Gate 7.") for number in range(12)))
    client, base, prices = flavour.client(), BAD, list[Any]()
    with pytest.raises(BudgetExceededError):  # asks for the catalogue, which does not have the model that is to come
        compare(flavour, path, client=client, model_b="no/price", max_price=1)
    file = flavour.run(client.files.upload(path, purpose="fine-tune"))
    job = flavour.run(client.fine_tuning.create(training_file=file.id, model=base))
    tuned = flavour.run(client.fine_tuning.wait(job.id, poll_interval=0.02)).model_output_name
    compare(flavour, path, client=client, max_price=1, on_price=prices.append)
    assert "of its base model" not in caplog.text
    compare(flavour, path, client=client, model_b=tuned, max_price=1, on_price=prices.append)
    assert prices[0] == prices[1]
    assert f"nobody says what {tuned} costs: the estimate takes the price of its base model, {base}" in caplog.text
    bodies = [{"model": tuned, "messages": [{"role": "user", "content": "Which gate?"}]}]
    assert flavour.run(run(client, bodies, max_price=1)).cost
