"""Evaluations: have a judge model sort, mark or compare answers in a file of yours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

from together_adapters.errors import JobFailedError, NotFoundError
from together_adapters.resources.evaluation_checks import parameters_of
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, response_parser, segment
from together_adapters.types.evaluation import (
    ENDED,
    FAILED,
    EvaluationCreateResponse,
    EvaluationJob,
    EvaluationList,
    EvaluationStatusResponse,
)
from together_adapters.types.masking import secrets_in
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

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
    """Start an evaluation. It costs money, so the request is not repeated where it may have arrived.

    Args:
        type: `classify` gives each row a label, `score` a number, `compare` says which of two answers is better.
        judge_model: The model that judges.
        judge_model_source: Where it runs: `serverless`, `dedicated`, or `external` at somebody else's.
        judge_system_template: What it is told to look at: a Jinja2 template over the columns of the file.
        input_data_file_path: The id of an uploaded file with purpose `eval`.
        judge_external_api_token: The key for an external judge; no error, log or repr shows it.
        judge_external_base_url: Where an external judge is.
        labels: For `classify`: what it can choose from.
        pass_labels: For `classify`: the good ones among them.
        min_score: For `score`: the lowest mark.
        max_score: For `score`: the highest mark.
        pass_threshold: For `score`: the lowest mark that passes.
        model_a: For `compare`: as `model_to_evaluate`.
        model_b: For `compare`: the other.
        model_to_evaluate: The name of a column with answers, or a model that gives them: a mapping with `model`, `model_source`,
            `max_tokens`, `temperature`, `system_template` and `input_template`.
        disable_position_bias_correction: For `compare`: judge each pair once, and not again the other way round.
        parameters: All of the above but `type` as the service takes it, in place of it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The evaluation's `workflow_id` and status.

    Raises:
        ValueError: Something is missing, or belongs to another type; nothing was sent.
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the evaluation may have been started.
    """
    given = {name: value for name, value in locals().items() if name not in ("options", "parameters")}
    body = {"type": type, "parameters": parameters_of(given, parameters)}
    described = request(
        "POST", _PATH, response_parser(EvaluationCreateResponse), body, billable="evaluation.list()", options=options
    )
    return replace(described, secrets=secrets_in(described.body))


def list_evaluations(
    status: str | None = None, limit: int | None = None, **options: Unpack[RequestOptions]
) -> Flow[EvaluationList]:
    """List evaluations.

    Args:
        status: Only those with this status.
        limit: At most so many; up to 100.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list, which also answers to `.data`.

    Raises:
        APIStatusError: The service refused.
    """
    query = {"status": status, "limit": limit}
    try:
        return (yield request("GET", _PATH, _jobs, query=query, options=options))
    except NotFoundError:
        # Older services have the list at an address of its own.
        return (yield request("GET", "/v1/evaluations", _jobs, query=query, options=options))


def retrieve(evaluation_id: str, **options: Unpack[RequestOptions]) -> Call[EvaluationJob]:
    """Look at an evaluation.

    Args:
        evaluation_id: The `workflow_id` that `create` gave.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The evaluation with its parameters, and `results` once it is completed.

    Raises:
        NotFoundError: There is no such evaluation.
    """
    return request("GET", _place(evaluation_id), _parse, options=options)


def status(evaluation_id: str, **options: Unpack[RequestOptions]) -> Call[EvaluationStatusResponse]:
    """Look at the status and the results of an evaluation alone.

    Args:
        evaluation_id: The `workflow_id` that `create` gave.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        `status`, and `results` once it is completed.

    Raises:
        NotFoundError: There is no such evaluation.
    """
    return request("GET", f"{_place(evaluation_id)}/status", response_parser(EvaluationStatusResponse), options=options)


def wait(
    evaluation_id: str,
    *,
    poll_interval: float = 5.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[EvaluationJob]:
    """Wait until an evaluation is done.

    Args:
        evaluation_id: The `workflow_id` that `create` gave.
        poll_interval: Seconds between two looks.
        timeout: Seconds to wait at most; None waits as long as it takes.
        progress: Called whenever the status has changed; `stage` is the status.
        extra_headers: Headers for each look.
        extra_query: Query parameters for each look.

    Returns:
        The completed evaluation; `results["result_file_id"]` is the file of every judgement.

    Raises:
        JobFailedError: The evaluation failed; `completed` is it.
        APITimeoutError: The time is up; the evaluation goes on.
        NotFoundError: There is no such evaluation.
    """
    job: EvaluationJob = yield from wait_for(
        retrieve(evaluation_id, extra_headers=extra_headers, extra_query=extra_query),
        done=lambda job: _status(job) in ENDED,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda job: Progress(float(_status(job) in ENDED), 1.0, job.status or "unknown"),
        name=f"evaluation {evaluation_id}",
    )
    if _status(job) in FAILED:
        raise _failed(evaluation_id, job)
    return job


def _failed(id: str, job: EvaluationJob) -> JobFailedError:
    last = next((update.message for update in reversed(job.status_updates) if update.message), None)
    reason = (job.results or {}).get("error") or last or "no reason was given"
    return JobFailedError(
        f"evaluation {id} ended as {job.status}: {reason}", completed=job, body=job.model_dump(), events=job.status_updates
    )


def _status(job: EvaluationJob) -> str:
    return (job.status or "").lower()


def _place(id: str) -> str:
    return f"{_PATH}/{segment(id, 'evaluation_id')}"


def _jobs(response: Response) -> EvaluationList:
    """The service sends a bare array, or null for none; gateways wrap it."""
    found = response.json()
    items = found.get("data") if isinstance(found, dict) else found
    return EvaluationList(EvaluationJob.model_validate(_known(item)) for item in items or () if isinstance(item, dict))


def _known(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}


class Evaluation(Resource[D, R]):
    """`client.evaluation`."""

    with_raw_response: Evaluation[R, R]
    create = method(create)
    list = method(list_evaluations)
    retrieve = method(retrieve)
    status = method(status)
    wait = method(wait)
