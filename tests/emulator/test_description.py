"""Responses are as the vendor's description of the API has them: types, required fields and the values of enumerations.

`TOGETHER_OPENAPI` names the file of the description. What deviates on purpose is listed with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from tests.conftest import HANG, eventually
from tests.emulator.conftest import KEY, MODEL, WEATHER
from tests.resources.api_description import description, operation
from together_adapters.emulator import Emulator, serve

DEVIATIONS = {
    r"(POST|GET) /videos.* (completed_at|error|outputs): None .*": "null until the job has ended, as the service sends it",
    r"(POST|GET) /batches.* (job\.|\[\]\.)?(completed_at|error|error_file_id|model_id|output_file_id): None .*": "null, as recorded",
    r"GET /evaluation/\{id\}/status results: None .*": "null until it has ended",
    r"GET /tci/sessions errors: None .*": "null, as the service sends it",
    r"POST /(chat/)?completions choices\.\[\]\.logprobs: None .*": "null in nearly all recorded responses",
    r"POST /(chat/)?completions prompt\.\[\]\.logprobs\.token_logprobs\.\[\]: None .*": "the first token of a prompt has no probability",
    r"POST /chat/completions stream .*delta\.token_id: None .*": "null in recorded chunks",
    r"POST /chat/completions stream .*tool_calls\.\[\]\.function: 'name' is a required property": "recorded chunks of arguments have no name",
    r"POST /completions stream data: 'token' is a required property": "recorded chunks have the delta of a chat in its place",
    r"POST /audio/speech stream data: 'object' is a required property": "events with times of words are newer than the description",
    r"GET /fine-tunes/\{id\}(/events)? (events|data)\.\[\]\.type: '[A-Z_]+' is not one of .*": "upper case, which the vendor's 1.x SDK requires",
}
"""What deviates on purpose: a pattern of operation, place and problem, with the reason."""
NOT_CALLED = re.compile(
    r"\w+ /(rl|deployments|compute|queue|realtime|audio/speech/websocket|finetune/download).*"
)  # not emulated, or bytes
TUNABLE = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "What is the weather in Oslo?"}]}
TRAINING = b"".join(
    b'{"messages": [{"role": "user", "content": "q%d"}, {"role": "assistant", "content": "a"}]}\n' % n for n in range(5)
)


class Checked:
    """A client that validates every response, and every event of a stream."""

    def __init__(self, emulator: Emulator) -> None:
        root = emulator.base_url.removesuffix("/v1")
        self.http = httpx.Client(base_url=root, headers=KEY, timeout=HANG, verify=False)
        self.problems: set[str] = set()
        self.operations: set[str] = set()

    def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        answer = self.http.request(method, path if path.startswith("/v2/") else f"/v1{path}", json=json, **options)
        assert answer.is_success, answer.text
        template, spec = operation(method, re.sub("^/v2", "", path.partition("?")[0]))
        name = f"{method} {template}"
        self.operations.add(name)
        kinds = spec["responses"][str(answer.status_code)].get("content", {})
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind == "text/event-stream":
            for event in answer.text.split("\n\n")[:-2]:
                self.check(f"{name} stream", kinds[kind]["schema"], {"data": httpx.Response(200, content=event[6:]).json()})
        elif kind == "application/json":
            self.check(name, kinds[kind]["schema"], answer.json())
            return answer.json()
        return answer.content

    def check(self, name: str, schema: dict[str, Any], value: Any) -> None:
        import jsonschema

        for error in jsonschema.Draft202012Validator({**schema, "components": description()["components"]}).iter_errors(value):
            leaf = error
            while leaf.context:  # of the alternatives, the one that fits deepest
                leaf = max(leaf.context, key=lambda problem: len(problem.absolute_path))
            place = ".".join("[]" if isinstance(part, int) else part for part in leaf.absolute_path)
            self.problems.add(f"{name} {place}: {leaf.message[:200]}")

    def upload(self, purpose: str, content: bytes) -> str:
        form = {"purpose": purpose, "file_name": "a.jsonl", "file_type": "jsonl"}
        return str(self("POST", "/files/upload", data=form, files={"file": ("a.jsonl", content)})["id"])

    def until_end(self, path: str, *more: str) -> None:
        """Follows a job through all its states."""

        def has_ended() -> bool:
            for suffix in more:
                self("GET", path + suffix)
            return str(self("GET", path)["status"]).lower() in ("completed", "failed", "error", "user_error", "cancelled")

        assert eventually(has_ended)


def text(check: Checked) -> None:
    for more in ({}, {"stream": True}, {"tools": [WEATHER]}, {"logprobs": 1, "echo": True, "n": 2}, {"logprobs": 1}):
        check("POST", "/chat/completions", {**ASK, **more})
        check("POST", "/chat/completions", {**ASK, **more, "n": 1, "stream": True})
    check("POST", "/chat/completions", {**ASK, "model": "deepseek-ai/DeepSeek-R1"})
    for more in ({}, {"stream": True}, {"logprobs": 1, "echo": True}, {"logprobs": 1, "stream": True}):
        check("POST", "/completions", {"model": MODEL, "prompt": "One, two", **more})
    check("POST", "/embeddings", {"model": "BAAI/bge-base-en-v1.5", "input": ["a", "b"]})
    for more in ({}, {"return_documents": True}):
        check("POST", "/rerank", {"model": "Salesforce/Llama-Rank-V1", "query": "a", "documents": ["a", "b"], **more})


def media(check: Checked) -> None:
    for more in ({}, {"response_format": "base64", "n": 2}):
        check(
            "POST",
            "/images/generations",
            {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "x", "width": 64, "height": 64, **more},
        )
    speech = {"model": "cartesia/sonic", "input": "Good morning. Hi.", "voice": "x"}
    wav = check("POST", "/audio/speech", speech)
    for more in ({}, {"alignment": "word"}):
        check("POST", "/audio/speech", {**speech, "stream": True, "response_format": "raw", **more})
    for path in ("/audio/transcriptions", "/audio/translations"):
        for form in ({}, {"response_format": "verbose_json"}, {"diarize": "true", "timestamp_granularities": "word"}):
            check("POST", path, data=form, files={"file": ("a.wav", wav)})
    check("GET", "/voices")
    for prompt in ("a cat", "[fail]"):
        job = check("POST", "/v2/videos", {"model": "minimax/video-01-director", "prompt": prompt, "width": 64, "height": 64})
        check.until_end(f"/v2/videos/{job['id']}")


def account(check: Checked) -> None:
    for path in ("/models", "/hardware", f"/hardware?model={MODEL}", "/clusters/availability-zones", "/tci/sessions"):
        check("GET", path)
    check("POST", "/tci/execute", {"code": "1", "language": "python"})
    upload = check("POST", "/models", {"model_name": "m", "model_source": "org/repo"})
    check("GET", f"/jobs/{upload['data']['job_id']}")
    check("GET", "/jobs")
    scaling = {"min_replicas": 1, "max_replicas": 2}
    new = {"model": "essentialai/rnj-1-instruct", "hardware": "1x_nvidia_h100_80gb_sxm", "autoscaling": scaling}
    path = f"/endpoints/{check('POST', '/endpoints', new)['id']}"
    check("GET", "/endpoints")
    check("GET", path)
    check("PATCH", path, {"state": "STOPPED"})
    check("DELETE", path)


def jobs(check: Checked) -> None:
    file, invalid = check.upload("fine-tune", TRAINING), check.upload("fine-tune", b"{}")
    for path in (f"/files/{file}", f"/files/{invalid}", f"/files/{file}/content"):
        check("GET", path)
    request: dict[str, Any] = {"training_file": file, "model": TUNABLE}
    check("POST", "/fine-tunes/estimate-price", request)
    check("GET", f"/fine-tunes/models/limits?model_name={TUNABLE}")
    check("GET", "/fine-tunes/models/supported")
    for more in (
        {"validation_file": file, "n_evals": 2, "n_checkpoints": 2, "wandb_api_key": "x"},
        {"suffix": "[fail]"},
        {"training_file": invalid},
        {"training_type": {"type": "Full"}, "training_method": {"method": "dpo", "dpo_beta": 0.1}},
    ):
        job = check("POST", "/fine-tunes", {**request, **more})
        check.until_end(f"/fine-tunes/{job['id']}", "/events", "/checkpoints", "/metrics")
    path = f"/fine-tunes/{check('POST', '/fine-tunes', request)['id']}"
    check("POST", f"{path}/cancel")
    check.until_end(path, "/events")
    check("GET", "/fine-tunes")
    check("DELETE", path)
    check("GET", "/files")
    check("DELETE", f"/files/{file}")


def background(check: Checked) -> None:
    file = check.upload("batch-api", json.dumps({"custom_id": "a", "body": ASK}).encode())
    for is_cancelled in (False, True):
        path = f"/batches/{check('POST', '/batches', {'input_file_id': file, 'endpoint': '/v1/chat/completions'})['job']['id']}"
        if is_cancelled:
            check("POST", f"{path}/cancel")
        check.until_end(path)
    check("GET", "/batches")
    file = check.upload("eval", b'{"response": "a", "label": "b"}')
    judge = {"model": MODEL, "model_source": "serverless", "system_template": "x"}
    for kind, more in {
        "classify": {"labels": ["a", "b"], "pass_labels": ["a"]},
        "score": {"min_score": 0, "max_score": 1, "pass_threshold": 1},
        "compare": {"model_a": "response", "model_b": "label"},
    }.items():
        parameters = {"judge": judge, "input_data_file_path": file, **more}
        path = f"/evaluation/{check('POST', '/evaluation', {'type': kind, 'parameters': parameters})['workflow_id']}"
        check.until_end(path, "/status")
    check("GET", "/evaluation")
    check("GET", "/evaluation/model-list")


SCENARIOS: list[Callable[[Checked], None]] = [text, media, account, jobs, background]


def test_responses_are_as_described() -> None:
    description()  # or skips
    with serve(job_seconds=0.3) as emulator:
        check = Checked(emulator)
        for scenario in SCENARIOS:
            scenario(check)
        check.http.close()
    assert sorted(problem for problem in check.problems if not any(re.fullmatch(known, problem) for known in DEVIATIONS)) == []
    assert [known for known in DEVIATIONS if not any(re.fullmatch(known, problem) for problem in check.problems)] == []
    described = {f"{method.upper()} {path}" for path, methods in description()["paths"].items() for method in methods}
    described = {name for name in described if re.match("(GET|POST|PUT|PATCH|DELETE) ", name)}
    assert sorted(name for name in described - check.operations if not NOT_CALLED.fullmatch(name)) == []
