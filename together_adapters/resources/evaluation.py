"""Evaluations: a judge model classifies, scores or compares the responses in an uploaded file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

from together_adapters.errors import JobFailedError, NotFoundError
from together_adapters.resources.waiting import wait_for_job
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.evaluation import (
    EvaluationCreateResponse,
    EvaluationJob,
    EvaluationList,
    EvaluationModels,
    EvaluationStatusResponse,
)
from together_adapters.types.files import check_file_id
from together_adapters.types.progress import Progress, is_failed
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import secrets_in

_PATH = "/v1/evaluation"
_parse = ResponseParser(EvaluationJob)
_parse_models = ResponseParser(EvaluationModels)
_NAMES = {
    "classify": ("labels", "pass_labels", "model_to_evaluate"),
    "score": ("min_score", "max_score", "pass_threshold", "model_to_evaluate"),
    "compare": ("model_a", "model_b", "disable_position_bias_correction"),
}
"""The parameters of each type; those of another type are an error."""
_OPTIONAL = ("model_to_evaluate", "disable_position_bias_correction")
_ALWAYS_REQUIRED = ("judge_model", "judge_model_source", "judge_system_template", "input_data_file_path")
_MODELS = ("model_to_evaluate", "model_a", "model_b")
_SOURCES = ("serverless", "dedicated", "external")
_COLUMN = re.compile(r"\{\{-?\s*([^\W\d]\w*)")
_MODEL_FIELDS = ("model", "model_source", "max_tokens", "temperature", "system_template", "input_template")


def create(
    type: Literal["classify", "score", "compare"] | str,
    judge_model: str | None = None,
    judge_model_source: Literal["serverless", "dedicated", "external"] | str | None = None,
    judge_system_template: str | None = None,
    input_data_file_path: str | None = None,
    judge_external_api_token: str | None = None,
    judge_external_base_url: str | None = None,
    labels: Sequence[str] | None = None,
    pass_labels: Sequence[str] | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    pass_threshold: float | None = None,
    model_a: str | Mapping[str, Any] | None = None,
    model_b: str | Mapping[str, Any] | None = None,
    model_to_evaluate: str | Mapping[str, Any] | None = None,
    *,
    disable_position_bias_correction: bool | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Unpack[RequestOptions],
) -> Call[EvaluationCreateResponse]:
    """Creates an evaluation. This costs money, so the request is not retried where it may have been accepted.

    Args:
        type: `classify` labels each row, `score` gives it a number, `compare` selects the better of two responses.
        judge_model: The judge model.
        judge_model_source: Where it runs: `serverless`, `dedicated`, or `external` for another provider.
        judge_system_template: The judge's instructions: a Jinja2 template over the columns of the file.
        input_data_file_path: The id of a file uploaded for `eval`.
        judge_external_api_token: The key for an external judge; it appears in no error, log or repr.
        judge_external_base_url: The address of an external judge.
        labels: For `classify`: the labels.
        pass_labels: For `classify`: the labels that pass.
        min_score: For `score`: the lowest score.
        max_score: For `score`: the highest score.
        pass_threshold: For `score`: the lowest score that passes.
        model_a: For `compare`: like `model_to_evaluate`.
        model_b: For `compare`: like `model_to_evaluate`.
        model_to_evaluate: The name of a column with responses, or a model that generates them: a mapping with `model`,
            `model_source`, `max_tokens`, `temperature`, `system_template` and `input_template`.
        disable_position_bias_correction: For `compare`: whether to judge each pair in one order only, not in both.
        parameters: All of the above except `type`, as the service takes them.

    Raises:
        ValueError: A parameter is missing, or belongs to another type; nothing was sent.
        APIConnectionError: No response arrived; the message says whether the evaluation may have been created.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("options", "parameters")}
    body = {"type": type, "parameters": _parameters(arguments, parameters)}
    call = request("POST", _PATH, ResponseParser(EvaluationCreateResponse), body, billable="evaluation.list()", options=options)
    return replace(call, secrets=secrets_in(call.body))


def _parameters(arguments: Mapping[str, Any], parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the parameters as the service takes them: from the flat arguments, or as passed."""
    kind = arguments["type"]
    if kind not in _NAMES:
        raise ValueError(f"type={kind!r} must be one of {', '.join(_NAMES)}")
    if parameters is not None:
        if duplicates := [name for name, value in arguments.items() if name != "type" and value is not None]:
            raise ValueError(f"pass either parameters= or {', '.join(duplicates)}")
        return dict(parameters)
    _check_required(arguments, _ALWAYS_REQUIRED, "every evaluation")
    _check_required(arguments, [name for name in _NAMES[kind] if name not in _OPTIONAL], f"type={kind!r}")
    for other, names in _NAMES.items():
        for name in names:
            if name not in _NAMES[kind] and arguments[name] is not None:
                raise ValueError(f"{name}={arguments[name]!r} requires type={other!r}, not {kind!r}")
    _check_values(arguments, kind)
    check_file_id(arguments["input_data_file_path"], "input_data_file_path", "eval")
    result = {"judge": _judge(arguments), "input_data_file_path": arguments["input_data_file_path"]}
    for name in _NAMES[kind]:
        if arguments[name] is not None:
            result[name] = _model(name, arguments[name]) if name in _MODELS else arguments[name]
    return result


def _check_required(arguments: Mapping[str, Any], names: Sequence[str], subject: str) -> None:
    if missing := [name for name in names if arguments[name] is None]:
        raise ValueError(f"{subject} requires {', '.join(f'{name}=' for name in missing)}")


def _check_values(arguments: Mapping[str, Any], kind: str) -> None:
    labels, pass_labels = arguments["labels"], arguments["pass_labels"]
    if kind == "classify" and (unknown := [label for label in pass_labels if label not in labels]):
        raise ValueError(f"pass_labels={pass_labels!r}: {unknown[0]!r} is not one of labels={labels!r}")
    if kind == "score" and not arguments["min_score"] < arguments["max_score"]:
        raise ValueError(f"min_score={arguments['min_score']!r} must be below max_score={arguments['max_score']!r}")


def _judge(arguments: Mapping[str, Any]) -> dict[str, Any]:
    source, token = arguments["judge_model_source"], arguments["judge_external_api_token"]
    _check_source("judge_model_source", source)
    if source == "external" and not token:
        raise ValueError("judge_model_source='external' requires judge_external_api_token=")
    judge = {"model": arguments["judge_model"], "model_source": source, "system_template": arguments["judge_system_template"]}
    external = {"external_api_token": token, "external_base_url": arguments["judge_external_base_url"]}
    return judge | {name: value for name, value in external.items() if value is not None}


def _model(name: str, value: Any) -> Any:
    """Returns the name of a column, or the validated description of a model."""
    if isinstance(value, str):
        return value
    value = value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be the name of a column or a mapping, not {type(value).__name__}")
    if missing := [field for field in _MODEL_FIELDS if field not in value]:
        raise ValueError(f"{name} requires {', '.join(missing)}")
    _check_source(f"{name}['model_source']", value["model_source"])
    if value["model_source"] == "external" and not value.get("external_api_token"):
        raise ValueError(f"{name} has model_source='external', which requires external_api_token")
    return dict(value)


def _check_source(name: str, source: Any) -> None:
    if source not in _SOURCES:
        raise ValueError(f"{name}={source!r} must be one of {', '.join(_SOURCES)}")


def list_evaluations(
    status: str | None = None, limit: int | None = None, **options: Unpack[RequestOptions]
) -> Flow[EvaluationList]:
    """Lists evaluations.

    Args:
        status: Only those with this status.
        limit: Maximum number, up to 100.
    """
    query = {"status": status, "limit": limit}
    try:
        return (yield request("GET", _PATH, _read_list, query=query, options=options))
    except NotFoundError:
        # Older versions of the service have the list at another path.
        return (yield request("GET", "/v1/evaluations", _read_list, query=query, options=options))


def models(model_source: str | None = None, **options: Unpack[RequestOptions]) -> Call[EvaluationModels]:
    """Lists the models that can judge or be evaluated, in `model_list`. So the vendor's description; not checked live.

    Args:
        model_source: Only models of this source, such as `serverless`; None for all.
    """
    return request("GET", f"{_PATH}/model-list", _parse_models, query={"model_source": model_source}, options=options)


def retrieve(evaluation_id: str, **options: Unpack[RequestOptions]) -> Call[EvaluationJob]:
    """Retrieves an evaluation with its parameters, and its `results` when it has completed.

    Args:
        evaluation_id: The `workflow_id` from `create`.
    """
    return request("GET", f"{_PATH}/{segment(evaluation_id, 'evaluation_id')}", _parse, options=options)


def status(evaluation_id: str, **options: Unpack[RequestOptions]) -> Call[EvaluationStatusResponse]:
    """Retrieves only the status and the results of an evaluation.

    Args:
        evaluation_id: The `workflow_id` from `create`.
    """
    path = f"{_PATH}/{segment(evaluation_id, 'evaluation_id')}/status"
    return request("GET", path, ResponseParser(EvaluationStatusResponse), options=options)


def wait(
    evaluation_id: str,
    *,
    poll_interval: float = 5.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[EvaluationJob]:
    """Waits until an evaluation has completed.

    Args:
        evaluation_id: The `workflow_id` from `create`.

    Returns:
        The completed evaluation; `results["result_file_id"]` is the file of all judgements.

    Raises:
        JobFailedError: The evaluation failed; `completed` is the evaluation.
    """
    job = yield from wait_for_job(
        retrieve(evaluation_id, extra_headers=extra_headers, extra_query=extra_query),
        f"evaluation {evaluation_id}",
        poll_interval,
        timeout,
        progress,
    )
    if is_failed(job.status):
        message = next((update.message for update in reversed(job.status_updates) if update.message), None)
        reason = (job.results or {}).get("error") or message or "the service gave no reason"
        raise JobFailedError(
            f"evaluation {evaluation_id} ended as {job.status}: {reason}",
            completed=job,
            body=job.model_dump(),
            events=job.status_updates,
        )
    return job


def check_templates(parameters: Mapping[str, Any], columns: Collection[str]) -> None:
    """Raises a ValueError if a template, or a model that is a column, names a column that a file does not have."""
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            check_templates({f"{name}[{key!r}]": text for key, text in value.items() if key.endswith("_template")}, columns)
            continue
        is_template = "_template" in name
        if not isinstance(value, str) or not (is_template or name in _MODELS):
            continue
        # Statements of Jinja2 may bind further names.
        names = ([] if "{%" in value else _COLUMN.findall(value)) if is_template else [value]
        if missing := [each for each in names if each not in columns]:
            raise ValueError(
                f"{name}: the file has no column {missing[0]!r}, but {', '.join(map(repr, columns))}. Nothing was sent"
            )


def _read_list(response: Response) -> EvaluationList:
    return EvaluationList.parse(response.json(), EvaluationJob)


class Evaluation(Resource[D, R]):
    """`client.evaluation`."""

    with_raw_response: Evaluation[R, R]
    create = method(create)
    list = method(list_evaluations)
    retrieve = method(retrieve)
    status = method(status)
    wait = method(wait)
    models = method(models)
