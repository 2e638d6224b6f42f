"""Runs requests one by one, as the client would: with its limits, retries and control. Each answer is kept as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.outcomes import COMPLETIONS, of_exception, of_response
from together_adapters.bulk.results import BulkProgress
from together_adapters.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    PaymentRequiredError,
    TogetherError,
)
from together_adapters.resources.batches import CHAT
from together_adapters.transport.call import Call, Flow, Parallel, json_object, request
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.capabilities import removal_warning
from together_adapters.types.chat import ChatCompletion
from together_adapters.types.completions import Completion

_FATAL: Final = (AuthenticationError, BudgetExceededError, ConfigurationError, PaymentRequiredError)
"""Errors that every other request would meet, too."""
_MAX_FAILURES: Final = 100  # passing errors one after the other, which say that the service is not there
_PARSERS: Final[dict[str, Any]] = {CHAT: ResponseParser(ChatCompletion).dict, COMPLETIONS: ResponseParser(Completion).dict}


class OnlineRun:
    """The requests of one run that are sent one by one."""

    def __init__(
        self, checkpoint: Checkpoint, *, max_concurrency: int, progress: Callable[[BulkProgress], object] | None
    ) -> None:
        self._checkpoint = checkpoint
        self._max_concurrency = max_concurrency
        self._progress = progress
        self._total, self._done, self._failed = checkpoint.counts()
        self._unsent = checkpoint.unsent()
        self._lock = Lock()
        self._failures = 0

    def perform(self) -> Flow[None]:
        """Sends all that have no answer. What fails for a passing reason is sent again when the run is started again."""
        yield Parallel([self._work() for _ in range(self._max_concurrency)], self._max_concurrency)

    def _work(self) -> Flow[None]:
        while (unsent := self._take()) is not None:
            number, body = unsent
            try:
                document = yield self._call(body)
                outcome = of_response(document, self._checkpoint.endpoint)
                self._failures = 0
            except _FATAL:
                raise
            except TogetherError as error:
                outcome = of_exception(error)
                self._failures += outcome.retry
                if self._failures > _MAX_FAILURES:
                    raise
            self._checkpoint.answer(number, outcome, may_retry=True)
            self._report(has_failed=outcome.response is None)

    def _take(self) -> tuple[int, bytes] | None:
        with self._lock:
            return next(self._unsent, None)

    def _call(self, content: bytes) -> Call[dict[str, Any]]:
        body = from_json(content)
        parse = _PARSERS.get(self._checkpoint.endpoint, json_object)
        return request("POST", self._checkpoint.endpoint, parse, body, warning=removal_warning(body["model"]))

    def _report(self, *, has_failed: bool) -> None:
        with self._lock:
            self._done, self._failed = self._done + 1, self._failed + has_failed
            if self._progress is not None:
                self._progress(BulkProgress(min(self._done, self._total), self._total, self._failed, "send"))
