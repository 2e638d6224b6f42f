"""`/v1/evaluation`: a file's answers, or those of models here, judged within a second; each judgement stands in a result file."""

from __future__ import annotations

import json
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.engine import responder
from together_adapters.emulator.engine.conversation import Conversation, Message
from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.faults import JSON_TYPE
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import compact
from together_adapters.emulator.http.validation import Rule, check, flag, number, one_of, several, table, text, whole
from together_adapters.emulator.routes.files import generate
from together_adapters.emulator.routes.judges import filled, label_for, quality, score_for, winner
from together_adapters.emulator.routes.models import served
from together_adapters.emulator.routes.tuned_models import answer_of
from together_adapters.emulator.store.clock import Clock, real_seconds
from together_adapters.emulator.store.dataset import Dataset, dataset
from together_adapters.emulator.store.disk import folder_of
from together_adapters.emulator.store.fine_tune_job import OWNER
from together_adapters.emulator.store.model_limits import trainable

_STAGES: Final = ((0.1, "pending"), (0.25, "queued"), (1.0, "running"))
_MOST_ROWS: Final = 2_000
_SOURCES: Final = ("serverless", "dedicated", "external")
_COLUMN_OR_MODEL: Final = Rule(lambda value: isinstance(value, str | dict) and bool(value), "a column or a model")
_REQUIRED: Final = Rule(lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number", required=True)
_COMMON: Final = {"judge": table(required=True), "input_data_file_path": text(200, required=True)}
_RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "classify": _COMMON
    | {"labels": several(str, required=True), "pass_labels": several(str, required=True), "model_to_evaluate": _COLUMN_OR_MODEL},
    "score": _COMMON
    | dict.fromkeys(("min_score", "max_score", "pass_threshold"), _REQUIRED)
    | {"model_to_evaluate": _COLUMN_OR_MODEL},
    "compare": _COMMON | {"model_a": _COLUMN_OR_MODEL, "model_b": _COLUMN_OR_MODEL, "disable_position_bias_correction": flag()},
}
_JUDGE: Final = {
    "model": text(500, required=True),
    "model_source": one_of(*_SOURCES, required=True),
    "system_template": text(required=True),
    "external_api_token": text(),
    "external_base_url": text(),
    "num_workers": whole(1, 1_000),
}
_MODEL: Final = _JUDGE | {
    "input_template": text(required=True),
    "max_tokens": whole(1, 10_000_000, required=True),
    "temperature": Rule(number(0, 2).holds, number(0, 2).says, required=True),
}


class _NoColumn(Exception):
    """The file has no such column."""


@dataclass(slots=True)
class _Evaluation:
    id: str
    type: str
    parameters: dict[str, Any]
    clock: Clock
    data: Dataset
    ended: tuple[str, dict[str, Any]] | None = None


def create(context: RequestContext) -> dict[str, Any]:
    """Start an evaluation."""
    body = check(context, context.body, {"type": one_of(*_RULES, required=True), "parameters": table(required=True)})
    parameters = check(context, body["parameters"], _RULES[body["type"]])
    parameters["judge"] = _checked_model(context, parameters["judge"], _JUDGE, "judge")
    for name in ("model_to_evaluate", "model_a", "model_b"):
        if isinstance(parameters.get(name), dict):
            parameters[name] = _checked_model(context, parameters[name], _MODEL, name)
    if body["type"] == "classify" and (len(parameters["labels"]) < 2 or not parameters["pass_labels"]):
        raise bad_request("classify needs two labels, and one that passes.", param="labels")
    if body["type"] == "compare" and not (parameters.get("model_a") and parameters.get("model_b")):
        raise bad_request("compare needs model_a and model_b.", param="model_a")
    data = dataset(context, parameters["input_data_file_path"], "eval", "input_data_file_path")
    clock = Clock(real_seconds(context.state.shelf) / 2, 300.0)
    made = _Evaluation(f"eval-{uuid.uuid4()}", body["type"], parameters, clock, data)
    _kept(context)[made.id] = made
    threading.Thread(target=_run, args=(context, made), name="together-emulator-judge", daemon=True).start()
    return {"workflow_id": made.id, "status": "pending"}


def _checked_model(context: RequestContext, given: dict[str, Any], rules: Mapping[str, Rule], name: str) -> dict[str, Any]:
    model = check(context, given, rules)
    if model["model_source"] == "external":
        if not model.get("external_api_token"):
            raise bad_request(f"{name} is external and needs external_api_token.", param=name)
    else:
        served(model)
    # A token that came is not told again.
    return {field: value for field, value in model.items() if field != "external_api_token"}


def listed(context: RequestContext) -> Response:
    """List evaluations, the newest first, as a bare array."""
    query = context.request.query_params
    limit = query.get("limit") or "10"
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise bad_request("limit must be a whole number from 1 to 100.", param="limit")
    jobs = [_job(job) for job in reversed(_kept(context).values())]
    found = [job for job in jobs if not query.get("status") or job["status"] == query["status"]]
    return Response(compact(found[: int(limit)]), media_type=JSON_TYPE)


def retrieve(context: RequestContext) -> dict[str, Any]:
    """Show an evaluation."""
    return _job(_find(context))


def status(context: RequestContext) -> dict[str, Any]:
    """Show its status and results alone."""
    now, results = _state(_find(context))
    return {"status": now, "results": results}


def model_list(context: RequestContext) -> dict[str, Any]:
    """Name the models that can judge."""
    return {"model_list": trainable()}


def _find(context: RequestContext) -> _Evaluation:
    id = context.request.path_params["id"]
    found = _kept(context).get(id)
    if found is None:
        raise ApiError(404, f"There is no evaluation {json.dumps(id[:100])}.", param="id", code="not_found")
    return found


def _kept(context: RequestContext) -> dict[str, _Evaluation]:
    kept: dict[str, _Evaluation] = context.state.shelf.setdefault("evaluations", {})
    return kept


def _job(job: _Evaluation) -> dict[str, Any]:
    now, results = _state(job)
    part = job.clock.part()
    passed = [(begin, name) for begin, name in ((0.0, "pending"), (0.1, "queued"), (0.25, "running")) if begin <= part]
    steps = passed + ([(1.0, now)] if job.ended else [])
    return {
        "workflow_id": job.id,
        "type": job.type,
        "owner_id": OWNER,
        "status": now,
        "parameters": job.parameters,
        "results": results,
        "created_at": job.clock.at(0.0),
        "updated_at": job.clock.at(part),
        "status_updates": [
            {"status": name, "message": f"The evaluation is {name}.", "timestamp": job.clock.at(at)} for at, name in steps
        ],
    }


def _state(job: _Evaluation) -> tuple[str, dict[str, Any] | None]:
    """Where it is: it has ended when its time is up and the judge is done."""
    part = job.clock.part()
    for until, name in _STAGES:
        if part < until:
            return name, None
    return job.ended or ("running", None)


def _run(context: RequestContext, job: _Evaluation) -> None:
    """Judge beside the requests: models may have to answer thousands of rows."""
    try:
        job.ended = _judged(context, job)
    except Exception as error:
        if not folder_of(context.state).closed:
            context.state.log.record_error(error)
        job.ended = "error", {"error": "The rows could not be judged."}


def _judged(context: RequestContext, job: _Evaluation) -> tuple[str, dict[str, Any]]:
    while not job.data.ready:
        time.sleep(0.02)
    if job.data.fault:
        return "user_error", {"error": job.data.fault}
    rows = job.data.rows[:_MOST_ROWS]
    if not rows:
        return "user_error", {"error": "The file has no rows that can be read."}
    try:
        results, written = _JUDGES[job.type](context, job.parameters, rows)
    except _NoColumn as error:
        return "user_error", {"error": f"The file has no column {str(error)!r} in each row."}
    except RecursionError:
        return "user_error", {"error": "A row is too deeply nested to be judged."}
    lines = b"".join(compact(line) + b"\n" for line in written)
    results["result_file_id"] = generate(context.state, f"{job.id}-results.jsonl", "eval", lines).id
    return "completed", results


Rows = list[dict[str, Any]]


def _answers(context: RequestContext, model: Any, rows: Rows) -> list[tuple[str, str | None]]:
    """What is judged in each row, with the column that it stands in, if it does."""
    if isinstance(model, str):
        if any(model not in row for row in rows):
            raise _NoColumn(model)
        return [(str(row[model]), model) for row in rows]
    if isinstance(model, dict):
        return [(_said(context, model, row), None) for row in rows]
    columns = [next((name for name in ("response", "completion", "output", "text") if name in row), None) for row in rows]
    return [(str(row[name]) if name else " ".join(map(str, row.values())), name) for row, name in zip(rows, columns, strict=True)]


def _said(context: RequestContext, model: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    question = filled(model["input_template"], row)
    learnt = answer_of(context, model["model"], question)
    if learnt is not None:
        return learnt
    talk = Conversation((Message("system", filled(model["system_template"], row)), Message("user", question)))
    return responder.respond(talk, {}).text


def _classify(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], Rows]:
    labels, passing = parameters["labels"], parameters["pass_labels"]
    written: Rows = []
    for row, (answer, column) in zip(rows, _answers(context, parameters.get("model_to_evaluate"), rows), strict=True):
        label = label_for(answer, quality(answer, row, column), labels, passing)
        written.append({**row, "evaluated_response": answer, "judge_label": label, "judge_passed": label in passing})
    counts = {label: sum(line["judge_label"] == label for line in written) for label in labels}
    return {
        "label_counts": json.dumps(counts),
        "pass_percentage": _percentage(written),
        "generation_fail_count": 0,
        "judge_fail_count": 0,
        "invalid_label_count": 0,
    }, written


def _score(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], Rows]:
    least, most, threshold = (parameters[name] for name in ("min_score", "max_score", "pass_threshold"))
    written: Rows = []
    for row, (answer, column) in zip(rows, _answers(context, parameters.get("model_to_evaluate"), rows), strict=True):
        mark = score_for(quality(answer, row, column), least, most)
        written.append({**row, "evaluated_response": answer, "judge_score": mark, "judge_passed": mark >= threshold})
    marks = [line["judge_score"] for line in written]
    means = {"mean_score": round(statistics.fmean(marks), 4), "std_score": round(statistics.pstdev(marks), 4)}
    return {
        "aggregated_scores": means | {"pass_percentage": _percentage(written)},
        "failed_samples": 0,
        "invalid_score_count": 0,
        "generation_fail_count": 0,
        "judge_fail_count": 0,
    }, written


def _compare(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> tuple[dict[str, Any], Rows]:
    first, second = (_answers(context, parameters[name], rows) for name in ("model_a", "model_b"))
    columns = {column for _, column in (*first, *second)}
    written: Rows = []
    for row, (one, _), (other, _) in zip(rows, first, second, strict=True):
        # Neither answer may count as what the other was meant to be.
        rest = {name: value for name, value in row.items() if name not in columns}
        better = winner(quality(one, rest, None), quality(other, rest, None))
        line = {**row, "response_a": one, "response_b": other, "judge_choice_original": better, "choice": better}
        twice = not parameters.get("disable_position_bias_correction")
        written.append(line | ({"judge_choice_flipped": better} if twice else {}))
    counts = Counter(line["choice"] for line in written)
    return {
        "A_wins": counts["A"],
        "B_wins": counts["B"],
        "Ties": counts["Tie"],
        "num_samples": len(written),
        "generation_fail_count": 0,
        "judge_fail_count": 0,
    }, written


def _percentage(written: Rows) -> float:
    return round(100 * sum(bool(line["judge_passed"]) for line in written) / len(written), 2)


_JUDGES: Final[Mapping[str, Callable[[RequestContext, Mapping[str, Any], Rows], tuple[dict[str, Any], Rows]]]] = {
    "classify": _classify,
    "score": _score,
    "compare": _compare,
}

ROUTES: Any = [
    json_route("/v1/evaluation", create),
    json_route("/v1/evaluation", listed, method="GET"),
    json_route("/v1/evaluations", listed, method="GET"),
    json_route("/v1/evaluation/model-list", model_list, method="GET"),
    json_route("/v1/evaluation/{id}", retrieve, method="GET"),
    json_route("/v1/evaluation/{id}/status", status, method="GET"),
]
