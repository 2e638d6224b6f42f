"""`/v1/evaluation`: the answers in a file, or those of models, are judged within a second; a result file has each judgement.

The judge is deterministic: it counts the words that an answer shares with its reference. That is a column such as `reference`,
if there is one, otherwise the rest of the row. If an answer names a label, it gets that label.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from together_adapters.emulator.conversation import Conversation, Message
from together_adapters.emulator.engine import responder
from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.responses import compact
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, Text, json_route, refuse_long_body
from together_adapters.emulator.routes.served_models import find_served_model
from together_adapters.emulator.store.catalogue import judges
from together_adapters.emulator.store.dataset import open_dataset, text_of
from together_adapters.emulator.store.records import EmulatedEvaluation, JobClock
from together_adapters.emulator.text.features import stems, words
from together_adapters.emulator.text.similarity import coverage
from together_adapters.emulator.text.templates import fill_template

_MAX_ROWS: Final = 2_000
_REFERENCES: Final = ("reference", "expected", "expected_answer", "ideal", "target", "ground_truth", "answer", "label")
_ANSWERS: Final = ("response", "completion", "output", "text")
_MIN_QUALITY: Final = 0.3  # the share of the reference's words that a passing answer contains
Rows = list[dict[str, Any]]
Result = tuple[dict[str, Any], Rows]


class _EvaluationRequest(RequestModel):
    type: Literal["classify", "score", "compare"]
    parameters: dict[str, Any]


class _Judge(RequestModel):
    model: Name
    model_source: Literal["serverless", "dedicated", "external"]
    system_template: Text
    external_api_token: Text | None = Field(None, exclude=True)
    external_base_url: Text | None = None
    num_workers: int | None = Field(None, ge=1, le=1_000)


class _Model(_Judge):
    input_template: Text
    max_tokens: int = Field(ge=1, le=10_000_000)
    temperature: float = Field(ge=0, le=2)


_ColumnOrModel = Annotated[str | dict[str, Any] | None, Field(min_length=1, description="a column or a model")]


class _Parameters(RequestModel):
    judge: dict[str, Any]
    input_data_file_path: Name


class _Classify(_Parameters):
    labels: list[str] = Field(max_length=1_000)
    pass_labels: list[str] = Field(max_length=1_000)
    model_to_evaluate: _ColumnOrModel = None


class _Score(_Parameters):
    min_score: float
    max_score: float
    pass_threshold: float
    model_to_evaluate: _ColumnOrModel = None


class _Compare(_Parameters):
    model_a: _ColumnOrModel = None
    model_b: _ColumnOrModel = None
    disable_position_bias_correction: bool | None = None


_PARAMETERS: Final[dict[str, type[_Parameters]]] = {"classify": _Classify, "score": _Score, "compare": _Compare}


def _create(context: RequestContext) -> dict[str, Any]:
    refuse_long_body(context)
    request = _EvaluationRequest.read(context)
    parameters = _PARAMETERS[request.type].read(context, request.parameters).model_dump(exclude_none=True)
    parameters["judge"] = _read_model(context, _Judge, parameters["judge"], "judge")
    for name in ("model_to_evaluate", "model_a", "model_b"):
        if isinstance(parameters.get(name), dict):
            parameters[name] = _read_model(context, _Model, parameters[name], name)
    if request.type == "classify" and (len(parameters["labels"]) < 2 or not parameters["pass_labels"]):
        raise bad_request("classify needs two labels, and one that passes.", param="labels")
    if request.type == "compare" and not (parameters.get("model_a") and parameters.get("model_b")):
        raise bad_request("compare needs model_a and model_b.", param="model_a")
    data = open_dataset(context.stores.files, parameters["input_data_file_path"], "eval", "input_data_file_path")
    job = EmulatedEvaluation(request.type, parameters, JobClock(context.state.job_seconds / 2), data)
    data.retain()
    context.stores.evaluations.add(job.id, job)
    context.stores.threads.start(_run, context, job)
    return {"workflow_id": job.id, "status": "pending"}


def _read_model(context: RequestContext, kind: type[_Judge], value: dict[str, Any], name: str) -> dict[str, Any]:
    """Validates a model or judge; returns it without its token."""
    model = kind.read(context, value)
    if model.model_source == "external" and not model.external_api_token:
        raise bad_request(f"{name} is external and needs external_api_token.", param=name)
    if model.model_source != "external":
        find_served_model(replace(context, body=value))
    return model.model_dump(exclude_none=True)


def _list(context: RequestContext) -> list[dict[str, Any]]:
    query = context.request.query_params
    limit = query.get("limit") or "10"
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise bad_request("limit must be a whole number from 1 to 100.", param="limit")
    jobs = [job.to_dict() for job in context.stores.evaluations.newest_first()]
    jobs = [job for job in jobs if not query.get("status") or job["status"] == query["status"]]
    return jobs[: int(limit)]


def _status(context: RequestContext) -> dict[str, Any]:
    state, results = context.stores.evaluations.find(context.path_id).state()
    return {"status": state, "results": results}


def _run(context: RequestContext, job: EmulatedEvaluation) -> None:
    """Judges in a thread: models may have to answer thousands of rows."""
    try:
        job.outcome = _judge(context, job)
    except ApiError as error:
        job.outcome = "error", {"error": error.message}
    except Exception as error:
        context.state.record_error(error)
        job.outcome = "error", {"error": "The rows could not be judged."}
    finally:
        job.data.release()


def _judge(context: RequestContext, job: EmulatedEvaluation) -> tuple[str, dict[str, Any]]:
    while not job.data.is_checked and not context.stores.threads.closed:
        time.sleep(0.02)
    if job.data.error:
        return "user_error", {"error": job.data.error}
    rows = job.data.rows()[:_MAX_ROWS]
    if not rows:
        return "user_error", {"error": "The file has no valid rows."}
    try:
        for row in rows:
            fill_template(job.parameters["judge"]["system_template"], row)
        results, result_rows = _JUDGES[job.type](context, job.parameters, rows)
    except (ApiError, ValueError) as error:
        return "user_error", {"error": getattr(error, "message", str(error))}
    except RecursionError:
        return "user_error", {"error": "A row is too deeply nested to be judged."}
    lines = b"".join(compact(row) + b"\n" for row in result_rows)
    results |= {"generation_fail_count": 0, "judge_fail_count": 0}
    results["result_file_id"] = context.stores.files.generate(f"{job.id}-results.jsonl", "eval", lines).id
    return "completed", results


def _answers(context: RequestContext, model: Any, rows: Rows) -> list[tuple[str, str | None]]:
    """Returns the answer to judge in each row, with the column that contains it, if any."""
    if isinstance(model, str):
        if any(model not in row for row in rows):
            raise bad_request(f"The file has no column {model!r} in each row.")
        return [(str(row[model]), model) for row in rows]
    if isinstance(model, dict):
        return [(_generate(context, model, row), None) for row in rows]
    columns = [next((name for name in _ANSWERS if name in row), None) for row in rows]
    return [(str(row[name]) if name else " ".join(map(str, row.values())), name) for row, name in zip(rows, columns, strict=True)]


def _generate(context: RequestContext, model: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Returns the answer of a model to a row."""
    question = fill_template(model["input_template"], row)
    answer = context.stores.jobs.answer(model["model"], question)
    if answer is not None:
        return answer
    system = Message("system", fill_template(model["system_template"], row))
    return responder.respond(Conversation((system, Message("user", question))), {}).text


def _classify(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> Result:
    labels, pass_labels = parameters["labels"], parameters["pass_labels"]
    results: Rows = []
    for row, (answer, column) in zip(rows, _answers(context, parameters.get("model_to_evaluate"), rows), strict=True):
        label = label_of(answer, quality(answer, row, column), labels, pass_labels)
        results.append({**row, "evaluated_response": answer, "judge_label": label, "judge_passed": label in pass_labels})
    counts = {label: sum(row["judge_label"] == label for row in results) for label in labels}
    return {
        "label_counts": json.dumps(counts),
        "pass_percentage": _pass_percentage(results),
        "invalid_label_count": 0,
    }, results


def _score(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> Result:
    minimum, maximum, threshold = (parameters[name] for name in ("min_score", "max_score", "pass_threshold"))
    results: Rows = []
    for row, (answer, column) in zip(rows, _answers(context, parameters.get("model_to_evaluate"), rows), strict=True):
        score = round(minimum + (maximum - minimum) * quality(answer, row, column), 2)
        results.append({**row, "evaluated_response": answer, "judge_score": score, "judge_passed": score >= threshold})
    scores = [row["judge_score"] for row in results]
    means = {"mean_score": round(statistics.fmean(scores), 4), "std_score": round(statistics.pstdev(scores), 4)}
    return {
        "aggregated_scores": means | {"pass_percentage": _pass_percentage(results)},
        "failed_samples": 0,
        "invalid_score_count": 0,
    }, results


def _compare(context: RequestContext, parameters: Mapping[str, Any], rows: Rows) -> Result:
    answers_a, answers_b = (_answers(context, parameters[name], rows) for name in ("model_a", "model_b"))
    columns = {column for _, column in (*answers_a, *answers_b)}
    results: Rows = []
    for row, (a, _), (b, _) in zip(rows, answers_a, answers_b, strict=True):
        # Neither answer may count as the reference of the other.
        rest = {name: value for name, value in row.items() if name not in columns}
        choice = winner(quality(a, rest, None), quality(b, rest, None))
        line = {**row, "response_a": a, "response_b": b, "judge_choice_original": choice, "choice": choice}
        is_judged_twice = not parameters.get("disable_position_bias_correction")
        results.append(line | ({"judge_choice_flipped": choice} if is_judged_twice else {}))
    counts = Counter(row["choice"] for row in results)
    return {"A_wins": counts["A"], "B_wins": counts["B"], "Ties": counts["Tie"], "num_samples": len(results)}, results


def _pass_percentage(results: Rows) -> float:
    return round(100 * sum(bool(row["judge_passed"]) for row in results) / len(results), 2)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def quality(answer: str, row: Mapping[str, Any], column: str | None) -> float:
    """Returns how good an answer is, from 0 to 1. `column` is the one that contains it."""
    reference = next((row[name] for name in _REFERENCES if name != column and row.get(name)), None)
    rest = {name: value for name, value in row.items() if name != column}
    text = _text(reference) if reference is not None else text_of(rest)
    return coverage(stems(text) or words(text), stems(answer) or words(answer)) if answer.strip() else 0.0


def label_of(answer: str, quality: float, labels: Sequence[str], pass_labels: Sequence[str]) -> str:
    """Returns the label of an answer: the longest that it names, otherwise a passing or failing one by its quality."""
    text = answer.lower()
    for label in sorted(labels, key=len, reverse=True):
        if re.search(rf"\b{re.escape(label.lower())}\b", text):
            return label
    candidates = [label for label in labels if (label in pass_labels) == (quality >= _MIN_QUALITY)]
    return (candidates or list(labels))[0]


def winner(quality_a: float, quality_b: float) -> str:
    """Returns the better of two answers: `A`, `B`, or `Tie`."""
    return "Tie" if abs(quality_a - quality_b) < 1e-9 else "A" if quality_a > quality_b else "B"


_Judging = Callable[[RequestContext, Mapping[str, Any], Rows], Result]
_JUDGES: Final[Mapping[str, _Judging]] = {"classify": _classify, "score": _score, "compare": _compare}

ROUTES: Any = [
    json_route("/v1/evaluation", _create),
    json_route("/v1/evaluation", _list, method="GET"),
    json_route("/v1/evaluations", _list, method="GET"),
    json_route("/v1/evaluation/model-list", lambda _: {"model_list": judges()}, method="GET"),
    json_route("/v1/evaluation/{id}", lambda context: context.stores.evaluations.find(context.path_id).to_dict(), method="GET"),
    json_route("/v1/evaluation/{id}/status", _status, method="GET"),
]
