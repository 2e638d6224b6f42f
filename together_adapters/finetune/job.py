"""Fine-tuning jobs, from files of rows to a tuned model. The steps are described once; `start` and `astart` perform them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, Unpack

from together_adapters import _integrations
from together_adapters.errors import BudgetExceededError, InvalidDatasetError, JobFailedError, RemoteValidationError
from together_adapters.finetune.arguments import path_of
from together_adapters.finetune.errors import refuse_method, way_on
from together_adapters.finetune.recognition import with_form
from together_adapters.finetune.reports.diff import Difference, differences
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.finetune.validation.secret_scan import BLOCKING
from together_adapters.resources import files, fine_tuning
from together_adapters.resources.fine_tuning_request import job_body, source_model, with_defaults
from together_adapters.transport.binding import expand_keywords
from together_adapters.transport.call import Call, Flow, Local, split_options
from together_adapters.types.capabilities import capabilities, is_known
from together_adapters.types.files import FileResponse
from together_adapters.types.fine_tuning import FinetuneListEvents, FinetuneModelLimits, FinetunePriceEstimate, FinetuneResponse
from together_adapters.types.progress import Progress
from together_adapters.types.training import TRAINING_DEFAULTS, StartParams

if TYPE_CHECKING:
    from together_adapters._integrations import ChatTogether, TogetherLLM
    from together_adapters.client import AsyncTogether, Together
    from together_adapters.finetune.writing.write_jsonl import PreparedFile

_log = logging.getLogger(__name__)
_POLL_INTERVAL: Final = 10.0

C = TypeVar("C", "Together", "AsyncTogether")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
OnProgress = Callable[[Progress], None]


class _Job(Generic[C]):
    _client_option: ClassVar[str]

    def __init__(
        self,
        client: C,
        id: str,
        *,
        details: FinetuneResponse | None = None,
        reports: Mapping[str, DataReport] | None = None,
        differences: Mapping[str, list[Difference]] | None = None,
    ) -> None:
        """Returns a job by its id, which any program may have started.

        Args:
            client: The client of its account.
            id: Its id, `ft-...`.
            details: The job as the service returned it, if known.
            reports: The local reports on its files.
            differences: The fields in which the service's reports on these files differ.
        """
        self._client: C = client
        self.id = id
        self.details = details
        self.reports = dict(reports or {})
        self.differences = dict(differences or {})

    @property
    def status(self) -> str | None:
        """The status of the job when it was last retrieved; `refresh` retrieves it again. None for `Job(client, id)` before that."""
        return self.details.status if self.details else None

    @property
    def model(self) -> str | None:
        """The name of the tuned model; None until the service has chosen one, and for `Job(client, id)` before `refresh` or `wait`."""
        return self.details.model_output_name if self.details else None

    @property
    def price_estimate(self) -> FinetunePriceEstimate | None:
        """The estimated price in dollars, if this program started the job."""
        return self.details.price_estimate if self.details else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status!r}, model={self.model!r})"

    def _update(self, call: Call[FinetuneResponse]) -> Flow[Any]:
        self._set_details((yield call))
        return self

    def _wait(self, poll_interval: float, timeout: float | None, progress: OnProgress | None) -> Flow[Any]:
        try:
            details = yield from fine_tuning.wait(self.id, poll_interval=poll_interval, timeout=timeout, progress=progress)
        except JobFailedError as error:
            self._set_details(error.completed)
            raise
        self._set_details(details)
        return self

    def _set_details(self, details: FinetuneResponse) -> None:
        """Sets the details, with the price estimate, which only the response to the start has."""
        if self.details is not None and details._estimate is None:
            details._estimate = self.details._estimate
        self.details = details

    def _tuned_model(self) -> str:
        if self.details is None:
            raise JobFailedError(f"job {self.id} was not retrieved yet: `await job.refresh()` first, or `await job.wait()`")
        if not self.model or (self.status or "").lower() != "completed":
            raise JobFailedError(
                f"job {self.id} has no tuned model yet: its status was {self.status or 'unknown'}. Call wait() first",
                completed=self.details,
            )
        return self.model

    def chat_model(self, **options: Any) -> ChatTogether:
        """Returns the tuned model as a chat model of LangChain, on the client of this job.

        A `Job` that was not retrieved yet is retrieved first; an `AsyncJob` is an error that says so.

        Args:
            **options: Parameters of `ChatTogether`. A model that runs only on a dedicated endpoint, which costs by the hour,
                answers with an error that says so; start one with `client.endpoints.create(model=job.model, hardware=...)` and
                pass its name as `model=`.

        Raises:
            JobFailedError: The job has not completed.
            ImportError: LangChain is not installed (`pip install "together-adapters[langchain]"`).
        """
        return _integrations.chat_model(**{"model": self._tuned_model(), self._client_option: self._client, **options})

    def llama_llm(self, **options: Any) -> TogetherLLM:
        """Returns the tuned model as an LLM of LlamaIndex (extra `llama-index`), on the client of this job; see `chat_model`.

        Args:
            **options: Parameters of `TogetherLLM`.
        """
        tuned_model = self._tuned_model()
        base = (self.details and self.details.model) or ""
        window = {"context_window": capabilities(base).context_length} if is_known(base) else {}
        return _integrations.llama_llm(**{"model": tuned_model, **window, self._client_option: self._client, **options})


class Job(_Job["Together"]):
    """A fine-tuning job.

    Attributes:
        id: Its id; `Job(client, id)` returns the job in any program.
        details: The job as last retrieved.
        reports: The local reports on its files, by `train` and `validation`.
        differences: The fields in which the service's reports on these files differ.
    """

    _client_option = "client"

    def refresh(self) -> Job:
        """Retrieves the job again.

        Raises:
            NotFoundError: There is no such job.
        """
        return self._client.perform(self._update(fine_tuning.retrieve(self.id)))

    def _tuned_model(self) -> str:
        if self.details is None:
            self.refresh()
        return super()._tuned_model()

    def wait(
        self, *, poll_interval: float = _POLL_INTERVAL, timeout: float | None = None, progress: OnProgress | None = None
    ) -> Job:
        """Waits until the job has completed.

        Args:
            poll_interval: The most seconds between two requests: they come after 1, 1.5, 2.3 and so on.
            timeout: Seconds until waiting, not the job, ends; None waits without limit.
            progress: Called with every change of steps, status or last event.

        Returns:
            This job, completed.

        Raises:
            JobFailedError: The job ended without a model; `events` are its last events.
            APITimeoutError: The timeout has passed; the job continues.
        """
        return self._client.perform(self._wait(poll_interval, timeout, progress))

    def cancel(self) -> Job:
        """Cancels the job. Its costs so far are charged."""
        return self._client.perform(self._update(fine_tuning.cancel(self.id)))

    def events(self) -> FinetuneListEvents:
        """Returns the events of the job, oldest first."""
        return self._client.fine_tuning.list_events(self.id)


class AsyncJob(_Job["AsyncTogether"]):
    """A fine-tuning job on the asynchronous client; see `Job`."""

    _client_option = "async_client"

    async def refresh(self) -> AsyncJob:
        """Retrieves the job again."""
        return await self._client.perform(self._update(fine_tuning.retrieve(self.id)))

    async def wait(
        self, *, poll_interval: float = _POLL_INTERVAL, timeout: float | None = None, progress: OnProgress | None = None
    ) -> AsyncJob:
        """Waits until the job has completed; see `Job.wait`."""
        return await self._client.perform(self._wait(poll_interval, timeout, progress))

    async def cancel(self) -> AsyncJob:
        """Cancels the job. Its costs so far are charged."""
        return await self._client.perform(self._update(fine_tuning.cancel(self.id)))

    async def events(self) -> FinetuneListEvents:
        """Returns the events of the job, oldest first."""
        return await self._client.fine_tuning.list_events(self.id)


def describe(
    train: PreparedFile | str | PathLike[str],
    validation: PreparedFile | str | PathLike[str] | None = None,
    *,
    model: str | None = None,
    method: Literal["sft", "dpo"] = "sft",
    suffix: str | None = None,
    severities: Mapping[str, str] | None = None,
    allow_secrets: bool = False,
    max_price: float | None = None,
    on_reports: Callable[[dict[str, DataReport]], object] | None = None,
    on_price: Callable[[FinetunePriceEstimate], object] | None = None,
    progress: OnProgress | None = None,
    poll_interval: float | None = None,
    timeout: float | None = None,
    **training: Unpack[StartParams],
) -> Flow[dict[str, Any]]:
    """Starts a fine-tuning job on files of rows.

    The files and the arguments are first validated against the limits of the model. Then the files are uploaded, unless they
    already are, the service validates them, the price is estimated, and the job is started.

    Args:
        train: The training file: the result of `write_jsonl`, or a path.
        validation: The validation file, evaluated `n_evals` times; it is not uploaded if that is 0. Rows that are also in `train`, or whose prompt is, are warnings
            in its report and counted in `leakage`; `severities={"leaked_row": "error"}` refuses them.
        model: The model to train. Either this or `from_checkpoint` is required.
        method: `sft`, or `dpo` for preferences.
        suffix: Up to 40 characters for the name of the tuned model.
        severities: Severities that differ from the defaults, as for `check_jsonl`.
        allow_secrets: Whether to upload files with private keys or tokens.
        max_price: The maximum estimated price in dollars; an unknown price exceeds it.
        on_reports: Called with the reports on the files, by `train` and `validation`, before anything is uploaded. An exception
            stops the start.
        on_price: Called with the estimate before the job is started. An exception stops the start, and what was uploaded for it is deleted.
        progress: Called with the progress of checking, uploading, and the service's validation.
        poll_interval: The most seconds between two requests for the status of files, growing from 1; None: from 0.5 to 5.
        timeout: Seconds until waiting for the service's validation ends; None waits without limit.

    Returns:
        The job, pending. `start` takes a `Together` before these arguments and returns a `Job`, `astart` takes an `AsyncTogether`
        and returns a coroutine of an `AsyncJob`.

    Raises:
        InvalidDatasetError: A file is invalid or has secrets; see `report`. Nothing was uploaded.
        MethodMismatchError: The rows do not train with `method`. Nothing was uploaded.
        RemoteValidationError: The service found an error in a file, which is deleted there; `local_report` is the local report.
        ValueError: An argument is outside the limits of the model. No job was started.
        BudgetExceededError: The price is higher than `max_price`, or unknown. No job was started, and what was uploaded is deleted.
        JobFailedError: The service could not validate a file.
        APIError: The service refused. The notes of the exception name what was uploaded, which the next start uses.
    """
    split_options({**training}, StartParams, inspect.signature(describe).parameters)  # refuses unknown names
    params = {"model": model, "training_method": method, "suffix": suffix, **training}
    paths = {"train": _path(train)} | ({"validation": _path(validation)} if validation is not None else {})
    file_params = {"training_file": "unsent", "validation_file": None if validation is None else "unsent"}
    request = with_defaults({**params, **file_params})
    limits: FinetuneModelLimits = yield from fine_tuning.limits_for_job(source_model(request))
    job_body(request, limits)  # validates the parameters before a large file is uploaded
    reports = {}
    for name, path in paths.items():
        options: dict[str, Any] = {"method": method, "limits": limits, "severities": severities, "progress": progress}
        options["secrets"] = not allow_secrets
        options["train"] = paths["train"] if name == "validation" else None
        reports[name] = yield Local(partial(_check, path, options))
    if on_reports is not None:
        on_reports(dict(reports))
    if not request["n_evals"]:
        paths.pop("validation", None)  # it was checked, and is not used
    uploads: dict[str, FileResponse] = {}
    all_differences = {}
    price_check = _PriceCheck(max_price, on_price)
    try:
        for name, path in paths.items():
            file = uploads[name] = yield from _upload(path, reports[name], progress, poll_interval, timeout)
            all_differences[name] = differences(reports[name], file.validation_report)
            for difference in all_differences[name]:
                _log.warning("%s: local and remote validation differ: %s", path.name, difference)
        details = yield from fine_tuning.create(
            training_file=str(uploads["train"].id),
            validation_file=str(uploads["validation"].id) if "validation" in uploads else None,
            model_limits=limits,
            on_price=price_check if max_price is not None or on_price else None,
            **params,  # type: ignore[arg-type]
        )
    except GeneratorExit:  # nothing can be sent any more
        raise
    except BaseException as error:
        for file in uploads.values():
            if price_check.refuses:
                yield from files.discard(file)
            elif not file._is_duplicate:
                error.add_note(
                    f"{file.filename} stays in the account as {file.id}, for the next start; client.files.delete({file.id!r}) deletes it"
                )
        raise
    return {"id": str(details.id), "details": details, "reports": reports, "differences": all_differences}


def _path(file: PreparedFile | str | PathLike[str]) -> Path:
    return path_of(getattr(file, "path", file))


def _check(path: Path, options: Mapping[str, Any]) -> DataReport:
    report = check_jsonl(path, **options)
    if not report.ok:
        report = with_form(report, path)
    refuse_method(report, f"{path.name} was not uploaded: ")
    if not report.ok or not report.method_ok:
        raise InvalidDatasetError(f"{path.name} was not uploaded{way_on(report)}. {report.summary()}", report=report)
    secrets = sorted(report.secrets.keys() & BLOCKING)
    if secrets:
        raise InvalidDatasetError(
            f"{path.name} was not uploaded: it has secrets ({', '.join(secrets)}). Remove them, or pass allow_secrets=True",
            report=report,
        )
    return report


def _upload(
    path: Path, report: DataReport, progress: OnProgress | None, poll_interval: float | None, timeout: float | None
) -> Flow[FileResponse]:
    """Uploads a file and waits until the service has validated it; one that is not valid is deleted."""
    file: FileResponse = yield from files.upload(path, check=False, progress=progress)
    try:
        ready = yield from files.wait(str(file.id), poll_interval=poll_interval, timeout=timeout, progress=progress)
    except (RemoteValidationError, JobFailedError) as error:
        if isinstance(error, RemoteValidationError):
            error.local_report = report
        yield from files.discard(file)
        raise
    ready._is_duplicate = file._is_duplicate
    return ready


class _PriceCheck:
    """Compares the price of a job with what the user allows, and asks the user's own function."""

    def __init__(self, max_price: float | None, on_price: Callable[[FinetunePriceEstimate], object] | None) -> None:
        self._max_price = max_price
        self._on_price = on_price
        self.refuses = False

    def __call__(self, estimate: FinetunePriceEstimate) -> None:
        self.refuses = True
        if self._on_price is not None:
            self._on_price(estimate)
        if self._max_price is not None:
            _check_price(estimate, self._max_price)
        self.refuses = False


def _check_price(estimate: FinetunePriceEstimate, max_price: float) -> None:
    if not estimate.available:
        reason = estimate.unavailable_reason or "no reason given"
        raise BudgetExceededError(f"max_price={max_price:g}, but there is no price estimate: {reason}", budget=max_price)
    price = estimate.estimated_total_price or 0.0
    if price > max_price:
        raise BudgetExceededError(
            f"the job would cost {price:.6g} dollars, more than max_price={max_price:g}; it was not started",
            budget=max_price,
            estimate=price,
        )


def _start_with(build: Callable[P, Flow[dict[str, Any]]]) -> Callable[Concatenate[Together, P], Job]:
    def start(client: Together, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        if client._driver.client_name == "AsyncTogether":
            raise TypeError("start takes a Together: `await astart(...)` takes an AsyncTogether")
        return Job(client, **client.perform(build(*args, **kwargs)))

    return _copy_signature(start, build, "Job")


def _astart_with(
    build: Callable[P, Flow[dict[str, Any]]],
) -> Callable[Concatenate[AsyncTogether, P], Coroutine[Any, Any, AsyncJob]]:
    async def astart(client: AsyncTogether, /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob:
        if client._driver.client_name == "Together":
            raise TypeError("astart takes an AsyncTogether: start(...) takes a Together")
        return AsyncJob(client, **await client.perform(build(*args, **kwargs)))

    return _copy_signature(astart, build, "AsyncJob")


def _copy_signature(function: F, build: Callable[..., Any], returns: str) -> F:
    """Copies the docstring and parameters of a description to a function whose first parameter is a client."""
    client = next(iter(inspect.signature(function).parameters.values()))
    signature = inspect.signature(expand_keywords(build, TRAINING_DEFAULTS))
    function.__doc__ = build.__doc__
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[client, *signature.parameters.values()], return_annotation=returns
    )
    return function


start = _start_with(describe)
astart = _astart_with(describe)
