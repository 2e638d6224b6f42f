"""Evaluations: flat arguments become parameters, those of another type are errors, and jobs of the emulator complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters import JobFailedError, NotFoundError
from together_adapters.emulator import Emulator

TOKEN = "ext-51b0c7aa9e"
JUDGE: dict[str, Any] = {
    "judge_model": "openai/gpt-oss-120b", "judge_model_source": "serverless", "judge_system_template": "Is {{answer}} kind?",
    "input_data_file_path": "file-1",
}  # fmt: skip
CLASSIFY: dict[str, Any] = {**JUDGE, "type": "classify", "labels": ["kind", "rude"], "pass_labels": ["kind"]}
SCORE: dict[str, Any] = {**JUDGE, "type": "score", "min_score": 0, "max_score": 10, "pass_threshold": 5}
COMPARE: dict[str, Any] = {**JUDGE, "type": "compare", "model_a": "one", "model_b": "two"}
SENT_JUDGE = {"model": "openai/gpt-oss-120b", "model_source": "serverless", "system_template": "Is {{answer}} kind?"}
PARAMETERS: dict[str, Any] = {
    "model": "a/b", "model_source": "serverless", "max_tokens": 9, "temperature": 0.5, "system_template": "s",
    "input_template": "{{prompt}}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kwargs", "parameters"),
    [
        ({**CLASSIFY, "model_to_evaluate": "answer"},
         {"labels": ["kind", "rude"], "pass_labels": ["kind"], "model_to_evaluate": "answer"}),
        ({**SCORE, "model_to_evaluate": PARAMETERS}, {"min_score": 0, "max_score": 10, "pass_threshold": 5, "model_to_evaluate": PARAMETERS}),
        ({**COMPARE, "disable_position_bias_correction": True},
         {"model_a": "one", "model_b": "two", "disable_position_bias_correction": True}),
    ],
)  # fmt: skip
def test_flat_arguments_become_parameters(kwargs: Any, parameters: Any, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"workflow_id": "eval-1", "status": "pending"})
    evaluation = flavour.run(client.evaluation.create(**kwargs))
    assert (evaluation.workflow_id, evaluation.status) == ("eval-1", "pending")
    expected = {"judge": SENT_JUDGE, "input_data_file_path": "file-1", **parameters}
    assert json.loads(service.requests[0].content) == {"type": kwargs["type"], "parameters": expected}


def test_raw_parameters_are_sent_unchanged(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"workflow_id": "eval-1", "status": "pending"})
    flavour.run(client.evals.create(type="score", parameters={"judge": {"model": "j"}, "min_score": 1}))
    assert json.loads(service.requests[0].content)["parameters"] == {"judge": {"model": "j"}, "min_score": 1}
    with pytest.raises(ValueError, match="judge_model"):
        flavour.run(client.evals.create(type="score", parameters={}, judge_model="j"))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({**JUDGE, "type": "rank"}, "type='rank'"),
        ({"type": "score"}, "judge_model"),
        ({**CLASSIFY, "judge_model_source": "external"}, "judge_external_api_token"),
        ({**CLASSIFY, "judge_model_source": "cloud"}, "'cloud'"),
        ({**JUDGE, "type": "classify", "labels": ["a", "b"]}, "pass_labels"),
        ({**CLASSIFY, "min_score": 0}, "min_score=0"),
        ({**CLASSIFY, "model_a": "x"}, "model_a='x'"),
        ({**CLASSIFY, "pass_labels": ["sweet"]}, "'sweet'"),
        ({**CLASSIFY, "model_to_evaluate": {**PARAMETERS, "model_source": "external"}}, "external_api_token"),
        ({**CLASSIFY, "model_to_evaluate": {"model": "a/b"}}, "input_template"),
        ({**CLASSIFY, "model_to_evaluate": 5}, "int"),
        ({**JUDGE, "type": "score", "min_score": 0}, "max_score=, pass_threshold="),
        ({**SCORE, "labels": ["a"]}, "labels"),
        ({**SCORE, "model_b": "x"}, "model_b"),
        ({**SCORE, "min_score": 10}, "min_score=10"),
        ({**JUDGE, "type": "compare", "model_a": "x"}, "model_b"),
        ({**COMPARE, "labels": ["a"]}, "labels"),
        ({**COMPARE, "pass_threshold": 1}, "pass_threshold"),
        ({**COMPARE, "model_to_evaluate": "x"}, "model_to_evaluate"),
        ({**COMPARE, "model_b": {"model": "x"}}, "model_b requires"),
    ],
)
def test_what_does_not_belong_is_refused(kwargs: Any, words: str, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({})
    with pytest.raises(ValueError, match=words):
        flavour.run(client.evaluation.create(**kwargs))
    assert service.requests == []


def test_tokens_show_nowhere(flavour: Any, stub_client: Any) -> None:
    def refuse(body: Any) -> Any:
        if body is None:
            parameters = {"judge": {"external_api_token": TOKEN}, "model_a": {"external_api_token": TOKEN}}
            return {"workflow_id": "e", "status": "running", "parameters": parameters}
        return httpx.Response(400, json={"error": {"message": f"the token {body['parameters']['judge']['external_api_token']}"}})

    client, _ = stub_client(refuse)
    external = {**CLASSIFY, "judge_model_source": "external", "judge_external_api_token": TOKEN}
    with pytest.raises(Exception, match="the token") as error_info:
        flavour.run(client.evaluation.create(**external))
    job = flavour.run(client.evaluation.retrieve("e"))
    assert TOKEN not in f"{error_info.value} {error_info.value!r} {vars(error_info.value)} {job!r} {job.model_dump()}"


def test_both_list_paths_and_formats(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(None)

    def old(body: Any) -> Any:
        if service.requests[-1].url.path == "/v1/evaluation":
            return httpx.Response(404, json={})
        return [{"workflow_id": "e", "status": "odd", "created_at": None, "new": 1}]

    service.reply = old
    result = flavour.run(client.evaluation.list(status="odd", limit=3))
    assert [request.url.raw_path.decode() for request in service.requests] == [
        "/v1/evaluation?status=odd&limit=3", "/v1/evaluations?status=odd&limit=3",
    ]  # fmt: skip
    assert (result[0].workflow_id, result.data[0].new) == ("e", 1)
    for empty in (httpx.Response(200, content=b"null"), {"data": []}):
        service.reply = empty
        assert flavour.run(client.evaluation.list()) == []


@pytest.mark.parametrize("counts", [{"yes": 2, "no": 1}, '{"yes": 2, "no": 1}'])
def test_label_counts_come_in_two_formats(counts: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"status": "completed", "results": {"label_counts": counts}})
    assert flavour.run(client.evaluation.status("e")).label_counts == {"yes": 2, "no": 1}


@pytest.mark.parametrize(("answer", "words"), [({"results": {"error": "no column"}}, "no column"), ({}, "no reason")])
def test_a_failure_has_a_reason(answer: Any, words: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"workflow_id": "e", "status": "user_error", **answer})
    with pytest.raises(JobFailedError, match=words) as error_info:
        flavour.run(client.evaluation.wait("e"))
    assert error_info.value.completed.status == "user_error"


def test_an_evaluation_from_its_start_to_its_file(flavour: Any, tmp_path: Path, emulator: Emulator) -> None:
    client = flavour.client()
    path = tmp_path / "eval.jsonl"
    rows = [{"prompt": "Say it.", "answer": "A kind word."}, {"prompt": "Say it.", "answer": "A rude word."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = flavour.run(client.files.upload(path, purpose="eval", check=False))
    kwargs = {**CLASSIFY, "input_data_file_path": file.id, "model_to_evaluate": "answer"}
    evaluation = flavour.run(client.evaluation.create(**kwargs))
    updates: list[Any] = []
    job = flavour.run(client.evaluation.wait(evaluation.workflow_id, poll_interval=0.02, timeout=HANG, progress=updates.append))
    assert (updates[-1].stage, updates[-1].fraction) == ("completed", 1.0)
    assert job.label_counts == {"kind": 1, "rude": 1}
    lines = flavour.run(client.files.content(job.results["result_file_id"])).splitlines()
    assert [json.loads(line)["judge_label"] for line in lines] == ["kind", "rude"]
    assert evaluation.workflow_id in [one.workflow_id for one in flavour.run(client.evals.list(status="completed", limit=100))]
    with pytest.raises(NotFoundError):
        flavour.run(client.evaluation.status("eval-none"))
    assert emulator.errors == []
