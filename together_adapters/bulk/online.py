"""Runs requests one by one, as the client would: with its limits, retries and control. Each answer is kept as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.outcomes import (
    COMPLETIONS,
    FATAL,
    Failure,
    answer_line,
    failure_line,
    failure_of_exception,
    outcome_of_body,
)
from together_adapters.bulk.results import BulkProgress
from together_adapters.control.prices import Tokens
from together_adapters.errors import ModelNotAvailableError, PermissionDeniedError, TogetherError
from together_adapters.resources.batches import CHAT
from together_adapters.transport.call import Call, Flow, Parallel, json_object, request
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.chat import ChatCompletion
from together_adapters.types.completions import Completion

_MAX_FAILURES: Final = 100  # passing errors one after the other, which say that the service is not there
_MAX_REFUSALS: Final = 20  # of 403 one after the other: it may be for one text, as of a firewall, but hardly for so many
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
        self._refusals = 0
        self._models = checkpoint.requests.models()
        self._unavailable: dict[str, Failure] = {}  # by model
        self._has_ended = False

    def perform(self) -> Flow[None]:
        """Sends all that have no answer. What fails for a passing reason is sent again when the run is started again."""
        try:
            yield Parallel([self._work() for _ in range(self._max_concurrency)], self._max_concurrency)
        finally:
            with self._lock:  # of a run that fails, requests may be under way whose answers come when another run has the files
                self._has_ended = True
                self._checkpoint.close_logs()

    def _work(self) -> Flow[None]:
        while (unsent := self._take()) is not None:
            number, model, body = unsent
            document: dict[str, Any] = {}
            outcome: Tokens | Failure
            try:
                outcome = self._unavailable.get(model) or (yield from self._answer(model, body, document))
            except FATAL:
                raise
            except ModelNotAvailableError as error:
                if len(self._models) == 1:
                    raise
                outcome = self._unavailable[model] = failure_of_exception(error)
            except TogetherError as error:
                outcome = failure_of_exception(error)
                self._failures += outcome.may_pass
                self._refusals += isinstance(error, PermissionDeniedError)
                if self._failures > _MAX_FAILURES or self._refusals > _MAX_REFUSALS:
                    raise
            self._keep(number, model, document, outcome)

    def _answer(self, model: str, body: bytes, document: dict[str, Any]) -> Flow[Tokens | Failure]:
        """Sends one request, and adds what the service returns to the document."""
        document.update((yield self._call(body)))
        self._failures = self._refusals = 0
        return outcome_of_body(document, self._checkpoint.endpoint)

    def _keep(self, number: int, model: str, document: dict[str, Any], outcome: Tokens | Failure) -> None:
        id, has_failed = self._checkpoint.requests.id(number), isinstance(outcome, Failure)
        line = failure_line(id, outcome) if isinstance(outcome, Failure) else answer_line(id, document)
        with self._lock:
            if self._has_ended:
                return
            self._checkpoint.answer(number, model, line, outcome)
            self._done, self._failed = self._done + 1, self._failed + has_failed
            if self._progress is not None:
                self._progress(BulkProgress(min(self._done, self._total), self._total, self._failed, "send"))

    def _take(self) -> tuple[int, str, bytes] | None:
        with self._lock:
            return next(self._unsent, None)

    def _call(self, content: bytes) -> Call[dict[str, Any]]:
        parse = _PARSERS.get(self._checkpoint.endpoint, json_object)
        return request("POST", self._checkpoint.endpoint, parse, from_json(content))
