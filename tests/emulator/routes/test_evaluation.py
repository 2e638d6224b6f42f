"""Evaluations: each type is deterministic, and writes a result file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from together_adapters.emulator import Emulator
from together_adapters.emulator.routes.evaluation import label_of, quality, winner
from together_adapters.emulator.store.records import DEFAULT_JOB_SECONDS
from together_adapters.emulator.text.templates import fill_template

JUDGE = {"model": "openai/gpt-oss-120b", "model_source": "serverless", "system_template": "Judge it."}
INVALID = {
    "model": "deepseek-ai/DeepSeek-V4.1-Flash", "model_source": "serverless", "max_tokens": 64, "temperature": 0.0,
    "system_template": "You know things.", "input_template": "Repeat: {{prompt}}",
}  # fmt: skip
ROWS = [
    {"prompt": "Where do llamas live?", "reference": "Llamas live in Peru.", "one": "Llamas live in Peru.", "two": "In Spain."},
    {"prompt": "What do pandas eat?", "reference": "Pandas eat bamboo.", "one": "Stones.", "two": "Pandas eat bamboo."},
    {"prompt": "Who sings?", "reference": "Birds sing.", "one": "Birds sing.", "two": "Birds sing."},
]


@pytest.fixture(autouse=True)
def quick(emulator: Emulator) -> Iterator[None]:
    emulator._state.job_seconds = 0.2
    yield
    emulator._state.job_seconds = DEFAULT_JOB_SECONDS


@pytest.fixture
def file(emulator: Emulator) -> str:
    return emulator._state.stores.files.generate(
        "rows.jsonl", "eval", b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    ).id


def evaluate(http: httpx.Client, kind: str, file: str, **parameters: Any) -> dict[str, Any]:
    """Runs an evaluation to its end."""
    body = {"type": kind, "parameters": {"judge": JUDGE, "input_data_file_path": file, **parameters}}
    response = http.post("/evaluation", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "pending"
    for _ in range(6_000):
        evaluation: dict[str, Any] = http.get(f"/evaluation/{response.json()['workflow_id']}").json()
        if evaluation["status"] in ("completed", "user_error"):
            return evaluation
        time.sleep(0.01)
    raise AssertionError(evaluation)


def result_rows(http: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    content = http.get(f"/files/{job['results']['result_file_id']}/content").text
    return [json.loads(line) for line in content.splitlines()]


def test_classify(http: httpx.Client, file: str) -> None:
    job = evaluate(http, "classify", file, labels=["good", "bad"], pass_labels=["good"], model_to_evaluate="one")
    assert json.loads(job["results"]["label_counts"]) == {"good": 2, "bad": 1}
    assert job["results"]["pass_percentage"] == 66.67
    assert [line["judge_label"] for line in result_rows(http, job)] == ["good", "bad", "good"]


def test_score(http: httpx.Client, file: str) -> None:
    job = evaluate(http, "score", file, min_score=0, max_score=10, pass_threshold=5, model_to_evaluate="two")
    marks = [line["judge_score"] for line in result_rows(http, job)]
    assert marks[0] < 5 < marks[1] == 10
    assert job["results"]["aggregated_scores"]["pass_percentage"] == 66.67


@pytest.mark.parametrize("first", [False, True])
def test_compare(first: bool, http: httpx.Client, file: str) -> None:
    job = evaluate(http, "compare", file, model_a="one", model_b="two", disable_position_bias_correction=first)
    assert [job["results"][name] for name in ("A_wins", "B_wins", "Ties", "num_samples")] == [1, 1, 1, 3]
    assert all(("judge_choice_flipped" in line) is not first for line in result_rows(http, job))


def test_model_answers_are_deterministic(http: httpx.Client, file: str) -> None:
    one, other = (
        evaluate(http, "score", file, min_score=0, max_score=1, pass_threshold=1, model_to_evaluate=INVALID) for _ in "ab"
    )
    assert result_rows(http, one) == result_rows(http, other)
    assert all(line["evaluated_response"] for line in result_rows(http, one))


def test_a_missing_column_is_the_fault_of_the_user(http: httpx.Client, file: str) -> None:
    job = evaluate(http, "classify", file, labels=["good", "bad"], pass_labels=["good"], model_to_evaluate="three")
    assert job["status"] == "user_error"
    assert "three" in job["results"]["error"]


@pytest.mark.parametrize(
    ("kind", "changes", "status"),
    [
        ("rank", {}, 400),
        ("classify", {"labels": ["a", "b"]}, 400),
        ("classify", {"labels": ["a"], "pass_labels": ["a"]}, 400),
        ("score", {"min_score": 0, "max_score": "x", "pass_threshold": 1}, 400),
        ("compare", {"model_a": "one"}, 400),
        ("compare", {"model_a": "one", "model_b": {"model": "a/b"}}, 400),
        ("compare", {"model_a": "one", "model_b": "two", "judge": {"model": "a/b"}}, 400),
        ("compare", {"model_a": "one", "model_b": "two", "judge": {**JUDGE, "model_source": "external"}}, 400),
        ("compare", {"model_a": "one", "model_b": "two", "judge": {**JUDGE, "model": "nobody"}}, 404),
        ("compare", {"model_a": "one", "model_b": "two", "input_data_file_path": "file-none"}, 404),
    ],
)
def test_invalid_evaluations(kind: str, changes: Any, status: int, http: httpx.Client, file: str) -> None:
    parameters = {"judge": JUDGE, "input_data_file_path": file, **changes}
    answer = http.post("/evaluation", json={"type": kind, "parameters": parameters})
    assert answer.status_code == status, answer.text


def test_both_list_paths(http: httpx.Client, file: str) -> None:
    response = evaluate(http, "compare", file, model_a="one", model_b="two")["workflow_id"]
    for path in ("/evaluation", "/evaluations"):
        assert response in [job["workflow_id"] for job in http.get(path, params={"status": "completed", "limit": 100}).json()]
        assert http.get(path, params={"status": "queued"}).json() == []
        assert http.get(path, params={"limit": 101}).status_code == 400
    assert http.get("/evaluation/model-list").json()["model_list"]
    assert http.get("/evaluation/eval-none").status_code == 404


def test_judging() -> None:
    row = {"a": 1, "b": "x", "n": None, "messages": [{"content": "hi"}], "c.d": 2}
    assert fill_template("{{ a }}-{{b}}-{{n}}-{{c.d}}", row) == "1-x--2"
    assert fill_template("{{messages[0].content}} {{ messages[0]['content'] }} {{messages.0.content}}", row) == "hi hi hi"
    assert label_of("it is not toxic at all", 0.0, ["toxic", "not toxic"], ["not toxic"]) == "not toxic"
    assert quality("", {"reference": "x"}, None) == 0.0
    assert (winner(0.5, 0.5), winner(0.6, 0.5), winner(0.1, 0.5)) == ("Tie", "A", "B")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{promt}}", "The template names the column 'promt', but a row has only 'prompt', 'reference', 'one', 'two'."),
        ("{{prompt", "The template has no }} after '{{prompt'."),
        ("{{prompt[0].content}}", "'prompt' has no '0'"),
        ("{{prompt | upper}}", "but not '{{prompt | upper}}'"),
    ],
)
@pytest.mark.parametrize("field", ["input_template", "system_template", "judge"])
def test_a_template_without_its_column(http: httpx.Client, file: str, template: str, error: str, field: str) -> None:
    """The literal template would be sent to the model, and every row would be a tie."""
    judge = JUDGE | ({"system_template": template} if field == "judge" else {})
    model = INVALID | ({field: template} if field != "judge" else {})
    job = evaluate(http, "compare", file, model_a=model, model_b="two", judge=judge)
    assert job["status"] == "user_error" and error in job["results"]["error"]
