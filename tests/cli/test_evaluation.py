"""`evaluation`: one model, and the comparison of two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters import Together
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault


@pytest.fixture
def client(emulator: Emulator) -> Any:
    with Together(api_key="any", base_url=emulator.base_url) as client:
        yield client


def bodies(emulator: Emulator, path: str) -> list[Any]:
    return [request.json for request in emulator.requests if request.method == "POST" and request.path == path]


def test_evaluation_of_a_column(run: Run, client: Together, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"prompt": f"q{number}", "response": "good"}) + "\n" for number in range(3))
    (tmp_path / "eval.jsonl").write_text(rows, "utf-8")
    file = run("files", "upload", "eval.jsonl", "--purpose", "eval", "--wait", "--json").json["id"]
    judge = ("--judge-model", MODEL, "--judge-model-source", "serverless", "--judge-system-template", "Is it good?")
    options = ("evaluation", "create", "--input-data-file-path", file, *judge)
    classify = (*options, "--type", "classify", "--labels", "good, bad", "--pass-labels", "good")
    id = json.loads(run(*classify, "--model-field", "response").out)["workflow_id"]
    assert run("evaluation", "wait", id, "--poll-interval", 0.1, "--json").json["status"] == "completed"
    assert json.loads(run("evaluation", "status", id).out)["results"]["pass_percentage"] == 100
    assert run("evaluation", "retrieve", id, "--json").json["parameters"]["labels"] == ["good", "bad"]
    assert id in run("evaluation", "list").out
    assert id in {job["workflow_id"] for job in run("evaluation", "list", "--limit", 5, "--json").json}
    score = one_error(run(*options, "--type", "score", "--model-field", "response", code=2))
    assert "--type score requires --min-score, --max-score, --pass-threshold" in score
    assert "the model requires --model-to-evaluate-source" in one_error(run(*classify, "--model-to-evaluate", MODEL, code=2))
    one_error(run(*classify, "--model-field", "response", "--model-to-evaluate", MODEL, code=2))


def test_a_file_is_uploaded_unless_a_template_names_no_column_of_it(run: Run, tmp_path: Path, emulator: Emulator) -> None:
    (tmp_path / "eval.jsonl").write_text('{"prompt": "q", "one": "a"}\n', "utf-8")
    judge = ("--judge-model", MODEL, "--judge-model-source", "serverless", "--judge-system-template", "Is {{one}} good?")
    options = ("evaluation", "create", "--type", "compare", "--input-data-file-path", "eval.jsonl", *judge)
    model = (
        "--model-b-source",
        "serverless",
        "--model-b-max-tokens",
        9,
        "--model-b-temperature",
        0,
        "--model-b-system-template",
        "s",
    )
    model_b = ("--model-b", MODEL, *model, "--model-b-input-template")
    error = one_error(run(*options, "--model-a-field", "one", *model_b, "{{promt}}", code=2))
    assert "the file has no column 'promt', but 'prompt', 'one'" in error
    assert "no column 'two'" in one_error(run(*options, "--model-a-field", "two", *model_b, "{{prompt}}", code=2))
    assert emulator.requests == []
    emulator.inject(Fault("402", path="/v1/evaluation"))
    one_error(run(*options, "--model-a-field", "one", *model_b, "{{prompt}}", code=3))
    assert run("files", "list", "--json").json == []
    created = run(*options, "--model-a-field", "one", *model_b, "{{prompt}}", "--json")
    id = created.json["workflow_id"]
    file = run("evaluation", "retrieve", id, "--json").json["parameters"]["input_data_file_path"]
    assert f"eval.jsonl stays in the account for the job: `together-adapters files delete {file}`" in created.err
    assert run("evaluation", "wait", id, "--poll-interval", 0.1, "--json").json["results"]["num_samples"] == 1


def test_comparison_of_two_models(run: Run, client: Together, tmp_path: Path, emulator: Emulator) -> None:
    (tmp_path / "eval.jsonl").write_text('{"prompt": "q", "one": "a"}\n', "utf-8")
    file = run("files", "upload", "eval.jsonl", "--purpose", "eval", "--wait", "--json").json["id"]
    model = ("source", "serverless", "max-tokens", 64, "temperature", 0.5, "system-template", "s", "input-template", "{{prompt}}")
    flags = [f"--model-b-{word}" if index % 2 == 0 else str(word) for index, word in enumerate(model)]
    run(
        *("evaluation", "create", "--type", "compare", "--input-data-file-path", file, "--judge-model", MODEL),
        *("--judge-model-source", "serverless", "--judge-system-template", "-", "--model-a-field", "one"),
        *("--model-b", MODEL, *flags),
        input="Which is better?",
    )
    parameters = bodies(emulator, "/v1/evaluation")[0]["parameters"]
    assert parameters["judge"]["system_template"] == "Which is better?"
    assert parameters["model_a"] == "one"
    assert parameters["model_b"] == {
        "model": MODEL,
        "model_source": "serverless",
        "max_tokens": 64,
        "temperature": 0.5,
        "system_template": "s",
        "input_template": "{{prompt}}",
    }
