"""From a file of rows to a tuned model: everything is checked here first, then uploaded, checked there, priced, and started.

The way is described once; `start` and `astart` perform it with either client, and both give a job that can be watched, cancelled,
found again by its id, and turned into a model of either framework.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, Literal, NamedTuple, ParamSpec, TypeVar, Unpack

from together_adapters.errors import InvalidDatasetError, JobFailedError, RemoteValidationError
from together_adapters.finetune.reports.diff import Difference, differences
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.finetune.validation.secret_scan import BLOCKING
from together_adapters.resources import files, fine_tuning
from together_adapters.resources.fine_tuning_request import job_body, source_model, with_defaults
from together_adapters.transport.binding import expand_keywords
from together_adapters.transport.call import Flow, Local
from together_adapters.types.capabilities import capabilities, is_known
from together_adapters.types.files import FileResponse
from together_adapters.types.fine_tuning import FinetuneListEvents, FinetuneModelLimits, FinetunePriceEstimate, FinetuneResponse
from together_adapters.types.progress import Progress
from together_adapters.types.training import TRAINING_DEFAULTS, StartParams, TrainingParams

if TYPE_CHECKING:
    from langchain_together_adapters import ChatTogether
    from llama_index_together_adapters import TogetherLLM

    from together_adapters.client import AsyncTogether, Together
    from together_adapters.finetune.writing.write_jsonl import PreparedFile

_log = logging.getLogger(__name__)
_JOB_POLL: Final = 10.0

C = TypeVar("C", "Together", "AsyncTogether")
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
Told = Callable[[Progress], None]


def _adapter(name: str) -> Any:
    """Import an integration by its name: they sit on this library, which knows none of them otherwise."""
    return import_module(name)


class _Job(Generic[C]):
    def __init__(
        self,
        client: C,
        id: str,
        *,
        details: FinetuneResponse | None = None,
        reports: Mapping[str, DataReport] | None = None,
        differences: Mapping[str, list[Difference]] | None = None,
    ) -> None:
        """Take up a job by its id, also one that another program started.

        Args:
            client: Where it runs.
            id: As the service gave it, `ft-...`.
            details: What is known of it already.
            reports: What was found in its files on this machine.
            differences: Where the service saw these files differently.
        """
        self._client: C = client
        self.id = id
        self.details = details
        self.reports = dict(reports or {})
        self.differences = dict(differences or {})

    @property
    def status(self) -> str | None:
        """The service's word for how far it is, as last seen; `refresh` looks again."""
        return self.details.status if self.details else None

    @property
    def model(self) -> str | None:
        """The name of the tuned model, as last seen; None until the service has chosen one."""
        return self.details.model_output_name if self.details else None

    @property
    def price_estimate(self) -> FinetunePriceEstimate | None:
        """What it was estimated to cost, in dollars, when this program started it."""
        return self.details.price_estimate if self.details else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status!r}, model={self.model!r})"

    def _look(self) -> Flow[Any]:
        self._keep((yield fine_tuning.retrieve(self.id)))
        return self

    def _wait(self, poll_interval: float, timeout: float | None, progress: Told | None) -> Flow[Any]:
        try:
            found = yield from fine_tuning.wait(self.id, poll_interval=poll_interval, timeout=timeout, progress=progress)
        except JobFailedError as failure:
            self._keep(failure.completed)
            raise
        self._keep(found)
        return self

    def _cancel(self) -> Flow[Any]:
        self._keep((yield fine_tuning.cancel(self.id)))
        return self

    def _keep(self, seen: FinetuneResponse) -> None:
        """Keep what was seen, with the estimate, which only the answer to the start carries."""
        if self.details is not None and seen._estimate is None:
            seen._estimate = self.details._estimate
        self.details = seen

    def _tuned(self) -> str:
        if not self.model or (self.status or "").lower() != "completed":
            raise JobFailedError(
                f"job {self.id} has no model to talk to yet: it is {self.status or 'not looked at'}. Call wait() first",
                completed=self.details,
            )
        return self.model

    def chat_model(self, **options: Any) -> ChatTogether:
        """Return the tuned model as LangChain's chat model, on this job's client.

        Args:
            **options: Those of `ChatTogether`. A model that only runs on a dedicated endpoint, which costs by the hour, answers
                with an error that says so; start one with `client.endpoints.create(model=job.model, hardware=...)` and give
                its name here as `model=`.

        Raises:
            JobFailedError: The job has not completed.
            ImportError: LangChain is not installed (`pip install "together-adapters[langchain]"`).
        """
        model: ChatTogether = _adapter("langchain_together_adapters").ChatTogether(
            **{"model": self._tuned(), **self._shared(), **options}
        )
        return model

    def llama_llm(self, **options: Any) -> TogetherLLM:
        """Return the tuned model as LlamaIndex's LLM, on this job's client.

        Args:
            **options: Those of `TogetherLLM`; for dedicated endpoints see `chat_model`.

        Raises:
            JobFailedError: The job has not completed.
            ImportError: LlamaIndex is not installed (`pip install "together-adapters[llama-index]"`).
        """
        llm: TogetherLLM = _adapter("llama_index_together_adapters").TogetherLLM(
            **{"model": self._tuned(), **self._window(), **self._shared(), **options}
        )
        return llm

    def _window(self) -> dict[str, Any]:
        """The tuned model reads as much as the one that was trained."""
        base = (self.details and self.details.model) or ""
        return {"context_window": capabilities(base).context_length} if is_known(base) else {}

    def _shared(self) -> dict[str, Any]:
        raise NotImplementedError


class Job(_Job["Together"]):
    """A fine-tuning job.

    Attributes:
        id: Its id; `Job(client, id)` takes it up again, in any program.
        details: The job as the service last showed it.
        reports: What was found in its files on this machine, by `train` and `validation`.
        differences: Where the service's check of these files saw something else.
    """

    def refresh(self) -> Job:
        """Look at it again.

        Raises:
            NotFoundError: There is no such job.
        """
        done: Job = self._client.perform(self._look())
        return done

    def wait(self, *, poll_interval: float = _JOB_POLL, timeout: float | None = None, progress: Told | None = None) -> Job:
        """Wait until it has a model.

        Args:
            poll_interval: Seconds between two looks.
            timeout: Seconds until the waiting, not the job, ends; None for never.
            progress: Told of every change: steps, status, last event.

        Returns:
            This job, completed.

        Raises:
            JobFailedError: It ended without a model; `events` are the last lines of its diary.
            APITimeoutError: The time is up; the job goes on.
        """
        done: Job = self._client.perform(self._wait(poll_interval, timeout, progress))
        return done

    def cancel(self) -> Job:
        """End it. What it has cost so far is paid.

        Raises:
            APIStatusError: It has ended already.
        """
        done: Job = self._client.perform(self._cancel())
        return done

    def events(self) -> FinetuneListEvents:
        """Read its diary, oldest first."""
        told: FinetuneListEvents = self._client.fine_tuning.list_events(self.id)
        return told

    def _shared(self) -> dict[str, Any]:
        return {"client": self._client}


class AsyncJob(_Job["AsyncTogether"]):
    """A fine-tuning job on the asynchronous client; see `Job`."""

    async def refresh(self) -> AsyncJob:
        """Look at it again."""
        done: AsyncJob = await self._client.perform(self._look())
        return done

    async def wait(
        self, *, poll_interval: float = _JOB_POLL, timeout: float | None = None, progress: Told | None = None
    ) -> AsyncJob:
        """Wait until it has a model; see `Job.wait`."""
        done: AsyncJob = await self._client.perform(self._wait(poll_interval, timeout, progress))
        return done

    async def cancel(self) -> AsyncJob:
        """End it. What it has cost so far is paid."""
        done: AsyncJob = await self._client.perform(self._cancel())
        return done

    async def events(self) -> FinetuneListEvents:
        """Read its diary, oldest first."""
        told: FinetuneListEvents = await self._client.fine_tuning.list_events(self.id)
        return told

    def _shared(self) -> dict[str, Any]:
        return {"async_client": self._client}


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
    progress: Told | None = None,
    poll_interval: float | None = None,
    timeout: float | None = None,
    **training: Unpack[StartParams],
) -> Flow[Started]:
    """Start a fine-tuning job on files of rows.

    The files and the arguments are checked against what the model can, before anything is sent. Then the files are uploaded
    (one that is there already is not sent again), the service checks them, the price is estimated, and the job is started.

    Args:
        train: What `write_jsonl` prepared, or a file of your own.
        validation: Rows to measure the loss on, `n_evals` times. Those that are in `train` too, or ask what is asked there, are
            warnings of its report, counted in `leakage`; `severities={"leaked_row": "error"}` refuses them.
        model: The model to train. Either this or `from_checkpoint`.
        method: `sft`, or `dpo` on preferences.
        suffix: Up to 40 characters for the name of the tuned model.
        severities: Other severities of issues, as for `check_jsonl`.
        allow_secrets: Whether data with private keys or tokens in it may be uploaded.
        max_price: Dollars that the estimate may not exceed; a price that is not known exceeds it.
        on_reports: Given what was found in the files, by `train` and `validation`, before anything is sent. What it raises ends
            everything.
        on_price: Given the estimate before the job is started. What it raises ends everything; nothing was started then.
        progress: Told of every step: bytes checked and sent, states of the service's check.
        poll_interval: Seconds between two looks at the service's check; None for 0.5 at first, growing to 5.
        timeout: Seconds until the waiting for that check ends; None for never.

    Returns:
        The job, pending. `start` takes a `Together` before all of these and returns a `Job`, `astart` takes an `AsyncTogether`
        and returns a coroutine of an `AsyncJob`.

    Raises:
        InvalidDatasetError: A file has faults, or secrets in it; `report` lists them. Nothing was sent.
        RemoteValidationError: The service found a fault; `local_report` is what was found here.
        ValueError: An argument is out of the model's limits, or the price is too high. No job was started.
        JobFailedError: The service could not look into a file.
        APIError: The service refused.
    """
    wanted = {"model": model, "training_method": method, "suffix": suffix, **training}
    unsent = {"training_file": "unsent", "validation_file": "unsent" if validation is not None else None}
    paths = {"train": _path(train)} | ({"validation": _path(validation)} if validation is not None else {})
    limits = yield from _limits({**wanted, **unsent})
    reports = {}
    for name, path in paths.items():
        options: dict[str, Any] = {"method": method, "limits": limits, "severities": severities, "progress": progress}
        options["secrets"] = not allow_secrets
        options["train"] = paths["train"] if name == "validation" else None
        reports[name] = yield Local(partial(_checked, path, options))
    if on_reports is not None:
        on_reports(dict(reports))
    sent: dict[str, str] = {}
    seen = {}
    for name, path in paths.items():
        file = yield from _uploaded(path, reports[name], progress, poll_interval, timeout)
        sent[name], seen[name] = str(file.id), differences(reports[name], file.validation_report)
        for found in seen[name]:
            _log.warning("%s: the checks differ: %s", path.name, found)
    job = yield from fine_tuning.create(
        training_file=sent["train"],
        validation_file=sent.get("validation"),
        model_limits=limits,
        on_price=partial(_affordable, max_price=max_price, tell=on_price) if max_price is not None or on_price else None,
        **wanted,  # type: ignore[arg-type]
    )
    return Started(job, reports, seen)


class Started(NamedTuple):
    """What a start brought."""

    details: FinetuneResponse
    reports: dict[str, DataReport]
    differences: dict[str, list[Difference]]


def _limits(wanted: Mapping[str, Any]) -> Flow[FinetuneModelLimits]:
    """Ask what the model takes, and check the arguments, before a large file is sent in vain."""
    params = with_defaults(wanted)
    limits: FinetuneModelLimits = yield fine_tuning.model_limits(source_model(params))
    job_body(params, limits)
    return limits


def _path(given: PreparedFile | str | PathLike[str]) -> Path:
    return Path(getattr(given, "path", given))


def _checked(path: Path, options: Mapping[str, Any]) -> DataReport:
    report = check_jsonl(path, **options)
    if not report.ok or not report.method_ok:
        raise InvalidDatasetError(f"{path.name} was not uploaded. {report.summary()}", report=report)
    found = sorted(report.secrets.keys() & BLOCKING)
    if found:
        raise InvalidDatasetError(
            f"{path.name} was not uploaded: there are secrets in it ({', '.join(found)}). Take them out, or pass "
            "allow_secrets=True",
            report=report,
        )
    return report


def _uploaded(
    path: Path, report: DataReport, progress: Told | None, poll_interval: float | None, timeout: float | None
) -> Flow[FileResponse]:
    """Upload a file that was checked, and wait until the service has checked it too."""
    sent: FileResponse = yield from files.upload(path, check=False, progress=progress)
    try:
        return (yield from files.wait(str(sent.id), poll_interval=poll_interval, timeout=timeout, progress=progress))
    except RemoteValidationError as fault:
        fault.local_report = report
        raise


def _affordable(
    estimate: FinetunePriceEstimate, *, max_price: float | None, tell: Callable[[FinetunePriceEstimate], object] | None
) -> None:
    if tell is not None:
        tell(estimate)
    if max_price is None:
        return
    if not estimate.available:
        raise ValueError(f"max_price={max_price:g}, but there is no estimate: {estimate.unavailable_reason or 'no reason given'}")
    price = estimate.estimated_total_price or 0.0
    if price > max_price:
        raise ValueError(f"the job would cost {price:.2f} dollars, more than max_price={max_price:g}; it was not started")


def _starting(build: Callable[P, Flow[Started]]) -> Callable[Concatenate[Together, P], Job]:
    def start(client: Together, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        started: Started = client.perform(build(*args, **kwargs))
        return Job(client, str(started.details.id), **started._asdict())

    return _documented(start, build, "Job")


def _astarting(build: Callable[P, Flow[Started]]) -> Callable[Concatenate[AsyncTogether, P], Coroutine[Any, Any, AsyncJob]]:
    async def astart(client: AsyncTogether, /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob:
        started: Started = await client.perform(build(*args, **kwargs))
        return AsyncJob(client, str(started.details.id), **started._asdict())

    return _documented(astart, build, "AsyncJob")


def _documented(function: F, build: Callable[..., Any], returns: str) -> F:
    """Show the parameters and the words of the description."""
    client = next(iter(inspect.signature(function).parameters.values()))
    shown = inspect.signature(expand_keywords(TrainingParams, defaults=TRAINING_DEFAULTS)(build))
    function.__doc__ = build.__doc__
    function.__signature__ = shown.replace(  # type: ignore[attr-defined]
        parameters=[client, *shown.parameters.values()], return_annotation=returns
    )
    return function


start = _starting(describe)
astart = _astarting(describe)
