"""One operation of a user, from its admission to its row in the ledger: all of its requests, their turns, tokens and cost."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic_core import from_json

from together_adapters.control import estimates
from together_adapters.control.limits.limiter import LimiterTurn
from together_adapters.control.limits.rate_headers import request_id
from together_adapters.control.prices import TOKEN_KINDS, Amount, Tokens, cost, token_cost
from together_adapters.control.rows import Values, encode_tags, units
from together_adapters.control.tags import current_tags
from together_adapters.errors import (
    APIError,
    APIResponseValidationError,
    BudgetExceededError,
    ConfigurationError,
    HTTPResponse,
    TogetherError,
)
from together_adapters.resources.models import list_models
from together_adapters.transport.call import Call, Flow, Operation, StreamCall, once
from together_adapters.transport.retry import Failure

if TYPE_CHECKING:
    from together_adapters.control.control import Control
    from together_adapters.transport.config import Config

T = TypeVar("T")

_TEXT_KINDS: Final = frozenset({"chat", "completion"})
_CHARACTERS_PER_TOKEN: Final = 4
_REFUSALS: Final = (ConfigurationError, BudgetExceededError)
ONE_REQUEST: Final[Amount] = {"request": 1}
"""The amount of what is sold by the token: a price may be by the request."""
_EMPTY: Final[Mapping[str, Any]] = {}
NO_TOKENS: Final = Tokens()

operation_here: ContextVar[ManyRequests | None] = ContextVar("together-adapters-operation", default=None)
"""The operation of several requests that is under way here."""


class OperationMeter(ABC):
    """One operation of a user: a reservation of the budget at first, a row of the ledger at last."""

    tokens: Tokens | None = None  # that were used
    amount: Amount = _EMPTY  # of what is not sold by the token
    attempts = 0
    waited = 0.0
    status: int | None = None
    is_estimated = False
    first_chunk: float | None = None  # seconds from the start
    _is_streamed = False
    _price: float | None = None  # in dollars, as the service has estimated it
    _reservation = 0

    def __init__(self, control: Control, kind: str, model: str, config: Config) -> None:
        self.control = control
        self.kind = kind
        self.model = model
        self.start = time.perf_counter()
        self._time = time.time_ns() // 1000
        self._config = config
        self._tags = current_tags(id(control))

    @property
    @abstractmethod
    def estimate(self) -> Tokens:
        """The tokens that it may use."""

    @property
    def estimated_amount(self) -> Amount:
        """What it may use of what is not sold by the token."""
        return ONE_REQUEST

    @property
    @abstractmethod
    def request_id(self) -> str | None:
        """The id that the service gave the last request."""

    def count(self, tokens: Tokens) -> None:
        """Adds tokens that were used. It may keep the object."""
        if self.tokens is None:
            self.tokens = tokens
        else:
            self.tokens.add(tokens)

    def after_admission(self, step: Any, meter: RequestMeter | None) -> Any:
        """Returns a step to perform once the budget has room for the operation: at once, or after the catalogue is asked for prices."""
        dollars = self._cost(self.estimate, self.estimated_amount)
        if dollars is None and self.model and "models" not in self._config.memory.results:
            return self._with_catalogue(step if meter is None else _with_meter(step, meter))
        self._reserve(dollars)
        return step

    def _with_catalogue(self, step: Any) -> Flow[Any]:
        catalogue: Any = list_models()
        with suppress(TogetherError):  # a server without a catalogue
            yield from once("models", catalogue)
        self._reserve(self._cost(self.estimate, self.estimated_amount))
        return (yield step)

    def _reserve(self, dollars: float | None) -> None:
        """Reserves what the operation may cost."""
        budget = self.control.budget_guard
        assert budget is not None
        if dollars is None:
            is_length_known = self.kind not in estimates.RECORDINGS or "second" in self.estimated_amount
            raise _unknown_price(self.kind, self.model) if is_length_known else _unknown_length(self.kind, self.model)
        self._reservation = budget.reserve(dollars, self.kind, self.model)

    def write(self, error: BaseException | None) -> None:
        """Writes the row and gives the reservation back. What was refused has none."""
        if not self.attempts and isinstance(error, _REFUSALS):
            self.control.give_back(self._reservation)
        else:
            self.control.settle(partial(self._values, error), self._reservation)

    def _values(self, error: BaseException | None) -> Values:
        """Returns the row of the operation, which ends now, as the ledger has it."""
        tokens = self.tokens or NO_TOKENS
        return (
            self._time,
            self.kind,
            self.model,
            encode_tags(self._tags) if self._tags else "",
            self.status,
            None if error is None else type(error).__name__.lstrip("_"),
            tokens.input,
            tokens.cached,
            tokens.output,
            tokens.reasoning,
            units(self._cost(tokens, self.amount)) if self.amount or self.kind in TOKEN_KINDS else 0,
            self.attempts,
            time.perf_counter() - self.start,
            self.waited,
            self.first_chunk,
            self.request_id,
            self.is_estimated,
            self._is_streamed,
        )

    def _cost(self, tokens: Tokens, amount: Amount) -> float | None:
        """Returns dollars; None for an unknown price."""
        if self._price is not None:
            return self._price
        price = self.control.prices.find(self.model, self.kind, self._config)
        return token_cost(price, tokens, amount.get("request", 0)) if self.kind in TOKEN_KINDS else cost(price, amount)


class ManyRequests(OperationMeter):
    """An operation of several requests. It is current where they are performed, in threads and tasks, too."""

    _request_id: str | None = None

    def __init__(self, control: Control, operation: Operation, config: Config) -> None:
        super().__init__(control, operation.name, str(operation.params.get("model") or ""), config)
        self._estimate = operation.tokens
        self._step = operation.step
        self._lock = Lock()
        self._is_ended = False
        self._open: set[RequestMeter] = set()
        self._token: Token[ManyRequests | None] | None = None

    @property
    def request_id(self) -> str | None:
        return self._request_id

    @property
    def estimate(self) -> Tokens:
        return Tokens(*self._estimate()) if self._estimate else NO_TOKENS

    def __enter__(self) -> tuple[Any, None]:
        self._token = operation_here.set(self)
        try:
            return self._step if self.control.budget_guard is None else self.after_admission(self._step, None), None
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self._token is not None:
            with suppress(ValueError):  # of a coroutine that is closed in another context
                operation_here.reset(self._token)
        self.end(error)

    def result(self, value: Any) -> None:
        """Does nothing: its requests have told what they used."""

    def open(self, request: RequestMeter) -> None:
        """Notes a request that begins."""
        with self._lock:
            self._open.add(request)

    def close(self, request: RequestMeter) -> None:
        """Notes that a request has ended."""
        with self._lock:
            self._open.discard(request)
            if not self._is_ended:
                self._add(request)

    def end(self, error: BaseException | None = None) -> None:
        """Ends the operation, unless it has ended."""
        with self._lock:  # of requests for which nobody waits any more, nobody will know what they used
            if self._is_ended:
                return
            self._is_ended = True
            for request in self._open:
                request.count_open_attempt()
                self._add(request)
            self._open.clear()
        self._step = None  # its row may be kept for some time
        self.write(error)

    def _add(self, request: RequestMeter) -> None:
        """Adds what a request has used."""
        if request.tokens is not None:
            self.count(replace(request.tokens))
        self.amount = request.amount or self.amount
        self.attempts += request.attempts
        self.waited += request.waited
        self.status = request.status if request.status is not None else self.status
        self._request_id = request.request_id or self._request_id
        self.is_estimated = self.is_estimated or request.is_estimated


class RequestMeter(OperationMeter):
    """One call: the observation of its performance, and the meter of its requests. It is an operation, or belongs to one of several."""

    _expected: tuple[Tokens, int] | None = None
    _turn: LimiterTurn | None = None
    _number: int | None = None  # in the order of arrival
    _headers: Mapping[str, str] | None = None  # of the last response
    _response: HTTPResponse | None = None  # of a success, as soon as its head is there
    _is_open = False
    _usage: Tokens | None = None
    _value: Any = None

    def __init__(
        self, control: Control, kind: str, config: Config, step: Any, call: Call[Any], operation: ManyRequests | None
    ) -> None:
        body = call.body
        self._params: Mapping[str, Any] = body if isinstance(body, dict) else estimates.params_of(body)
        super().__init__(control, kind, str(self._params.get("model") or self._params.get("model_id") or ""), config)
        self._body = body
        if call.price is not None:
            self._price = call.price
        self._operation = operation
        self._step = step
        self._epoch = control.epoch
        self._end_lock = Lock()  # held from the end on

    @property
    def request_id(self) -> str | None:
        return None if self._headers is None else request_id(self._headers)

    @property
    def estimate(self) -> Tokens:
        return self._expect()[0]  # which few calls need

    @property
    def estimated_amount(self) -> Amount:
        return ONE_REQUEST if self.kind in TOKEN_KINDS else estimates.estimated_amount(self.kind, self._params, self._body)

    def __enter__(self) -> tuple[Any, Self]:
        if self._operation is None and self.control.budget_guard is None:
            return self._step, self
        return self._admit(self._step), self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None:
            self.end(error)

    def _admit(self, step: Any) -> Any:
        """Returns a step to perform in place of the one that is observed: its operation, or the budget, has to know of it."""
        if self._operation is not None:
            self._operation.open(self)
            return step
        if self.control.budget_guard is None:
            return step
        try:
            return self.after_admission(step, self)
        except BaseException as error:
            self.end(error)
            raise

    def turn(self) -> LimiterTurn | None:
        """Returns the turn of the next request, if that must wait for it."""
        if self._turn is not None:
            return None
        limiter = self.control.limiter
        is_limited = limiter.queue.tokens.is_limited or limiter.queue.permits is not None
        self._turn = turn = LimiterTurn(limiter, self._limited_tokens() if is_limited else None, self._number)
        self._number = turn.number
        return None if turn.join() else turn

    def _limited_tokens(self) -> int:
        """Estimates the tokens that a limit counts: they are learned from what was used, not from what was allowed."""
        tokens, expected = self._expect()
        return tokens.input + min(tokens.output, expected)

    def _expect(self) -> tuple[Tokens, int]:
        """Estimates the tokens that the call may use, and the length of an answer as answers are."""
        if self._expected is None:
            expected = self.control.history.expect(self.kind, self.model)
            self._expected = estimates.estimated_tokens(self.kind, self._params, expected), expected
        return self._expected

    def answer(self, outcome: HTTPResponse | Failure, *, is_open: bool) -> None:
        """Learns from the outcome of a request, and ends its turn unless it is still to be read what it has used."""
        turn = self._turn
        self.attempts += 1
        if turn is not None:
            self.waited += turn.waited
        if isinstance(outcome, Failure):
            self.status = outcome.status
            if _may_have_cost(outcome):
                self._count_estimate()
            self._release(outcome.status, _EMPTY)
            return
        self.status = status = outcome.status_code
        self._headers = headers = outcome.headers
        if 200 <= status < 300:
            self._response, self._is_open = outcome, is_open
            if is_open and turn is not None:
                turn.headers(status, headers)
            return
        body = _json_object(outcome.content)
        usage = estimates.usage_tokens(body.get("usage"))
        if usage is not None:
            self.count(usage)
        self._release(status, headers, usage, body)

    def result(self, value: Any) -> None:
        """Reads what a response has used."""
        self._usage = estimates.usage_tokens(value.get("usage") if isinstance(value, dict) else getattr(value, "usage", None))
        self._value = value
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Ends the call, unless it has ended: an error stopped it, or its response or its stream is read."""
        if not self._end_lock.acquire(blocking=False):
            return
        if self._epoch != self.control.epoch:  # the process was forked, and the call belongs to the other one
            return
        try:
            self._end_request(error)
        finally:
            self._response = self._value = None
            if self._operation is not None:
                self._operation.close(self)
            else:
                self.write(error)

    def count_open_attempt(self) -> None:
        """Counts a request that has not ended, and that nobody will wait for, by its estimate."""
        if self._turn is not None and self._turn.granted:
            self.attempts += 1
            self.count(replace(self.estimate))
            self.is_estimated = True

    def _end_request(self, error: BaseException | None) -> None:
        """Ends the last request: answered, interrupted or not even sent."""
        turn, response = self._turn, self._response
        if response is not None:
            self._release(response.status_code, response.headers, self._used(error))
        elif turn is not None and turn.granted and not isinstance(error, _REFUSALS):
            self.attempts += 1
            self.waited += turn.waited
            self._count_estimate()
            self._release(None, _EMPTY)
        elif turn is not None:
            self.waited += turn.waited
            turn.cancel()

    def _used(self, error: BaseException | None) -> Tokens | None:
        """Adds what a success has used: as the service says, else as much as arrived. Returns the tokens, if they are no estimate."""
        if self.kind not in TOKEN_KINDS:
            if error is None:
                self.amount, is_estimated = estimates.final_amount(self.kind, self.estimated_amount, self._value)
                self.is_estimated = self.is_estimated or is_estimated
            return None
        body = _EMPTY if self._is_open or self._usage else self._parsed_body()
        usage = self._usage or estimates.usage_tokens(body.get("usage")) or _reported_usage(error)
        if usage is None:
            count = self._streamed_tokens() or estimates.answer_tokens(body)
            if not count and isinstance(error, APIError) and not isinstance(error, APIResponseValidationError):  # no answer
                return None
            self.is_estimated = True
            self.count(Tokens(self.estimate.input, output=count))
        else:
            if self.kind in _TEXT_KINDS and not self.is_estimated:
                self.control.history.add(self.kind, self.model, usage.output)
            self.count(usage)
        self.amount = ONE_REQUEST
        return usage

    def _parsed_body(self) -> Mapping[str, Any]:
        """Returns the body of a response, if there is a usage to find in it or an answer to count."""
        content = self._response.content if self._response is not None else b""
        return _json_object(content) if b'"usage"' in content or self.kind in _TEXT_KINDS else {}

    def _count_estimate(self) -> None:
        """Lets the estimate stand for a request of which nobody knows what it has used."""
        self.count(replace(self.estimate))
        self.amount = self.estimated_amount
        self.is_estimated = True

    def _release(
        self, status: int | None, headers: Mapping[str, str], used: Tokens | None = None, body: Mapping[str, Any] | None = None
    ) -> None:
        """Ends the turn of a request."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release(status, headers, None if used is None else used.input + used.output, body)

    def _streamed_tokens(self) -> int:
        """Estimates the tokens that have arrived, of an answer that comes in parts."""
        return 0


def _with_meter(step: Any, meter: RequestMeter) -> Any:
    """Returns a call, or the stream of one, with its meter, for a flow that performs it."""
    if isinstance(step, StreamCall):
        return replace(step, call=replace(step.call, meter=meter))
    return replace(step, meter=meter)


def _may_have_cost(failure: Failure) -> bool:
    """Whether the service may have worked for a request that failed: its answer broke off, or nobody waited for it any longer."""
    return (failure.status is not None and failure.status < 300) or (failure.timeout and failure.maybe_received)


def _reported_usage(error: BaseException | None) -> Tokens | None:
    """Returns the usage in an error that a stream reports."""
    body = error.body if isinstance(error, APIError) else None
    return estimates.usage_tokens(body.get("usage")) if isinstance(body, dict) else None


def _json_object(content: bytes) -> Mapping[str, Any]:
    """Returns a body that is a JSON object; any other as an empty one."""
    try:
        body = from_json(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


_UNITS: Final = {
    "image": "image",
    "video": "video",
    "speech": "million_characters",
    "transcription": "minute",
    "translation": "minute",
}


def _unknown_price(kind: str, model: str) -> ConfigurationError:
    name = model or kind
    is_token_price = kind in TOKEN_KINDS
    price = '{"input": ..., "output": ...}' if is_token_price else f'{{"{_UNITS.get(kind, "request")}": ...}}'
    return ConfigurationError(
        f"with a budget, the price of every call must be known, but nobody says what {kind} of {name} costs: "
        f"Control(prices={{{name!r}: {price}}}) says it in dollars{' per million tokens' if is_token_price else ''}. "
        "Nothing was sent."
    )


def _unknown_length(kind: str, model: str) -> ConfigurationError:
    return ConfigurationError(
        f"with a budget, what every call may cost must be known, but nobody knows how long a recording behind a URL is: send the file, "
        f'or say with Control(prices={{{model or kind!r}: {{"request": ...}}}}) what a {kind} may cost, in dollars. Nothing was sent.'
    )
