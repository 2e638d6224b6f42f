"""Evaluations: a judge model classifies, scores or compares the responses in an uploaded file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

from together_adapters.errors import JobFailedError, NotFoundError
from together_adapters.resources.evaluation_request import evaluation_parameters
from together_adapters.resources.waiting import wait_for_job
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, response_parser, segment
from together_adapters.types.evaluation import EvaluationCreateResponse, EvaluationJob, EvaluationList, EvaluationStatusResponse
from together_adapters.types.progress import Progress, is_failed
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import secrets_in

_PATH = "/v1/evaluation"
_parse = response_parser(EvaluationJob)


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
    body = {"type": type, "parameters": evaluation_parameters(arguments, parameters)}
    call = request("POST", _PATH, response_parser(EvaluationCreateResponse), body, billable="evaluation.list()", options=options)
    return replace(call, secrets=secrets_in(call.body))


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
    return request("GET", path, response_parser(EvaluationStatusResponse), options=options)


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
