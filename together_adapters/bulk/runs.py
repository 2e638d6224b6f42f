"""A run from its inputs to its results, in either way."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack, overload

from together_adapters.body_parameters import ParameterCheck
from together_adapters.bulk import jobs
from together_adapters.bulk.answer_types import AnswerTypes
from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.costs import Account
from together_adapters.bulk.inputs import read_requests
from together_adapters.bulk.online import OnlineRun
from together_adapters.bulk.outcomes import COMPLETIONS
from together_adapters.bulk.results import BulkProgress, BulkResults
from together_adapters.errors import DatasetError, TogetherError
from together_adapters.resources.batches import CHAT, Bodies, ChatEndpoint, RunParams, warn_of_removed
from together_adapters.transport.call import Flow, Local, Settings
from together_adapters.transport.config import warn_user

if TYPE_CHECKING:
    from together_adapters.client import AsyncTogether, Together
    from together_adapters.types.chat import ChatCompletion

Via = Literal["online", "batch", "auto"]
Report = Callable[[BulkProgress], object] | None
AUTO_REQUESTS: Final = 1_000
"""Requests from which `auto` chooses batch jobs."""
MAX_CONCURRENCY: Final = 16
_MAPPING: Final = (
    "a run takes an iterable of request bodies, not a mapping: pass requests.values(), and dict(zip(requests, results)) has the results by "
    "your ids; put a single body in a list"
)


class BulkParams(RunParams, total=False):
    """The keywords of `run` besides the endpoint."""

    via: Via
    max_concurrency: int


@overload
def run(
    client: Together, bodies: Bodies, *, endpoint: ChatEndpoint = CHAT, **options: Unpack[BulkParams]
) -> BulkResults[ChatCompletion]: ...
@overload
def run(client: Together, bodies: Bodies, *, endpoint: str, **options: Unpack[BulkParams]) -> BulkResults[Any]: ...
@overload
def run(
    client: AsyncTogether, bodies: Bodies, *, endpoint: ChatEndpoint = CHAT, **options: Unpack[BulkParams]
) -> Coroutine[Any, Any, BulkResults[ChatCompletion]]: ...
@overload
def run(
    client: AsyncTogether, bodies: Bodies, *, endpoint: str, **options: Unpack[BulkParams]
) -> Coroutine[Any, Any, BulkResults[Any]]: ...
def run(client: Together | AsyncTogether, bodies: Bodies, **options: Any) -> Any:
    """Runs any number of requests, and returns their results in the order of the requests.

    With a checkpoint, a run that was interrupted continues when it is started again with the same inputs, also in the other way: what
    was answered is not sent again, and jobs that were started are waited for. Equal requests are sent once.

    Args:
        client: A `Together`; or an `AsyncTogether`, whose result is to be awaited.
        bodies: Request bodies, of any iterable, or the path of a JSON Lines file of bodies or of lines of a batch. They are read once
            and kept on disk. `response_format` may be a class, whose objects are `item.response.parsed`, and `tools` may be functions.
        via: `online` sends the requests one by one, with the limits, retries and control of the client; `batch` sends them as batch
            jobs; `auto` takes jobs for 1,000 or more requests that have no answer yet, if they are chats or completions for the service
            of Together AI, and else sends them one by one.
        endpoint: The endpoint of all requests: `/v1/chat/completions`, `/v1/completions` or, one by one, any other.
        checkpoint: The file that keeps the state of the run, on a local disk; None for a temporary one.
        model: The model of bodies that name none.
        max_concurrency: Requests that are under way at the same time, one by one.
        poll_interval: The most seconds between two looks at a job: they come after 1, 1.5, 2.3 and so on.
        timeout: Seconds until waiting for jobs ends with an `APITimeoutError`; None waits without limit. The jobs continue.
        max_price: Dollars that the run may cost by its estimate, which is made before anything is sent; None for no limit.
        max_jobs: Jobs that run at the same time.
        progress: Called with a `BulkProgress`, possibly from another thread.

    Returns:
        A result for each input, to be iterated over: `index`, `id`, `response` or `error`. Failed requests raise nothing; when a run that
        has ended is started again, they are sent again, except those that were refused for their content.

    Raises:
        BudgetExceededError: The run may cost more than `max_price`, or than the budget of the client's control leaves.
        ConfigurationError: A price is unknown, or the checkpoint is damaged, of another run, or used by another process.
        DatasetError: A body is not valid or has a mistyped parameter, or an input of the run before is missing. Nothing was sent.
        APIError: The service refuses what every request needs, such as the key. Start the run again to continue it.
    """
    options = {"via": "online", **options}
    return client.perform(run_flow(bodies, **options))


def run_batches(bodies: Bodies, **options: Any) -> Flow[BulkResults[Any]]:
    """Runs requests as batch jobs: `client.batches.run`."""
    return run_flow(bodies, via="batch", **options)


def run_flow(
    bodies: Bodies,
    *,
    via: Via,
    endpoint: str = CHAT,
    checkpoint: str | os.PathLike[str] | None = None,
    model: str | None = None,
    max_concurrency: int = MAX_CONCURRENCY,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    max_price: float | None = None,
    max_jobs: int = 4,
    progress: Report = None,
    is_part: bool = False,
) -> Flow[BulkResults[Any]]:
    """Describes a run; one that `is_part` of a larger one has some of the inputs of its checkpoint, from an adapter, which checks names."""
    if via not in ("online", "batch", "auto"):
        raise ValueError(f"via must be 'online', 'batch' or 'auto', not {via!r}")
    if isinstance(bodies, Mapping):
        raise DatasetError(_MAPPING)
    _check_positive(poll_interval=poll_interval, max_jobs=max_jobs, max_concurrency=max_concurrency)
    config = yield Settings()
    account = Account(config, endpoint)
    state: Checkpoint = yield Local(lambda: Checkpoint(checkpoint, endpoint))
    try:
        parameters = None if is_part else ParameterCheck(endpoint, may_be_together=config.may_be_together)
        types = AnswerTypes(endpoint)
        requests = read_requests(bodies, endpoint, model, parameters=parameters, types=types)
        yield Local(lambda: state.read_inputs(requests, max_lines=jobs.SHARD_LINES, is_part=is_part))
        yield from warn_of_removed(state.models())
        if parameters is not None and (warning := parameters.warning):
            warn_user(warning)
        yield from account.check(state, max_price)
        job_run = jobs.JobRun(state, account, poll_interval=poll_interval, timeout=timeout, max_jobs=max_jobs, progress=progress)
        job_run.report("read")
        is_batch = via == "batch" or (via == "auto" and _is_worth_jobs(state, config))
        if not is_batch:
            state.release_unsent()
        yield from job_run.perform(is_only_started=not is_batch)
        if not is_batch:
            yield from OnlineRun(state, max_concurrency=max_concurrency, progress=progress).perform()
        job_run.report("done")
        state.end()
        usage = state.usage()
        yield from account.ask_catalogue(usage)
        return BulkResults(state, account.dollars(usage), types)
    except BaseException as error:
        _give_up(state, error)
        raise
    finally:
        account.release()
        state.database.release()


def _is_worth_jobs(state: Checkpoint, config: Any) -> bool:
    return state.endpoint in (CHAT, COMPLETIONS) and config.may_be_together and state.count_unsent() >= AUTO_REQUESTS


def _give_up(state: Checkpoint, error: BaseException) -> None:
    """Closes the checkpoint of a run that failed. A temporary one is kept if there are jobs or answers in it; one of nothing is removed."""
    database = state.database
    with suppress(TogetherError, OSError):
        if database.is_temporary and database.has_work():
            database.keep()
            error.add_note(f"what was started is not lost: run it again with checkpoint={str(database.path)!r}")
    state.close_logs()
    database.give_up()


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value!r}")
