"""What a run may cost, before it is sent, and what it has cost: for `max_price`, and for the control of a client."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from together_adapters.bulk.outcomes import KINDS
from together_adapters.control.estimates import OutputHistory, estimated_tokens
from together_adapters.control.prices import PriceBook, Tokens, token_cost
from together_adapters.control.rows import LedgerRow, to_values
from together_adapters.errors import BudgetExceededError, ConfigurationError, TogetherError
from together_adapters.resources.fine_tuning import list_jobs
from together_adapters.resources.models import list_models
from together_adapters.transport.call import Flow, Local, once
from together_adapters.types.capabilities import MODELS, is_known, nearest_names

if TYPE_CHECKING:
    from together_adapters.bulk.checkpoint import Checkpoint, Shard
    from together_adapters.control.control import Control
    from together_adapters.transport.config import Config
    from together_adapters.types.fine_tuning import FinetuneList

_log = logging.getLogger(__name__)
_PRICE_HINT: Final = (
    "name its price, Together(control=Control(prices={name: {'input': ..., 'output': ...}})) in dollars per million tokens"
)
_TICK: Final = timedelta(milliseconds=1)


class Account:
    """Prices, estimates, and reservations of the budget of a client's control, if it has one."""

    def __init__(self, config: Config, endpoint: str) -> None:
        self._config = config
        self._control: Control | None = config.control  # type: ignore[assignment]  # what a client takes is a `Control`
        self._kind = KINDS.get(endpoint, "chat")
        self._prices = self._control.prices if self._control else PriceBook(None)
        self._history = self._control.history if self._control else OutputHistory()
        self._reservations: dict[int, int] = {}
        self._base_models: dict[str, str] | None = None  # of tuned models, once the service was asked

    @property
    def has_budget(self) -> bool:
        """Whether the control has a budget."""
        return self._control is not None and self._control.budget is not None

    def ask_catalogue(self, models: Iterable[str]) -> Flow[None]:
        """Asks the service for prices, and then for the base models of tuned models, while a price is unknown."""
        models = [*models]
        if self._lacks_price(models) and "models" not in self._config.memory.results:
            catalogue: Any = list_models()
            with suppress(TogetherError):  # a server without a catalogue
                yield from once("models", catalogue)
        if self._lacks_price(models) and self._base_models is None:
            self._base_models = {}
            with suppress(TogetherError):  # a server without jobs
                jobs: FinetuneList = yield list_jobs()
                self._base_models = {job.model_output_name: job.model for job in jobs.data if job.model_output_name and job.model}

    def dollars(self, usage: Mapping[str, Tokens]) -> float | None:
        """Returns what tokens cost, by model; None if a price is unknown."""
        costs = [token_cost(self._price(model), tokens, 0) for model, tokens in usage.items()]
        return None if None in costs else sum(filter(None, costs))

    def unpriced(self, usage: Mapping[str, Tokens]) -> list[str]:
        """Returns the models whose price for these tokens is unknown."""
        return [model for model, tokens in usage.items() if token_cost(self._price(model), tokens, 0) is None]

    def unknown_prices(self, models: Iterable[str]) -> str:
        """Returns in words whose prices are unknown, and what to do; a name that nobody has may be mistyped."""
        names, existing = [], {*(self._base_models or {}), *(self._base_models or {}).values()}
        for model in models:
            similar = [] if model in existing or is_known(model) else nearest_names(model, MODELS)
            names.append(f"{model} (did you mean {similar[0]}?)" if similar else model)
        return f"the price of {' and of '.join(names)} is unknown: {_PRICE_HINT}"

    def log_estimates(self, models: Iterable[str]) -> None:
        """Says which prices are those of base models."""
        for model in models:
            base = (self._base_models or {}).get(model)
            if base is not None and self._prices.find(model, self._kind, self._config) is None and self._price(model) is not None:
                _log.warning("nobody says what %s costs: the estimate takes the price of its base model, %s", model, base)

    def tokens(self, bodies: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Tokens]:
        """Returns the tokens that requests may use, by model."""
        usage: dict[str, Tokens] = {}
        for model, body in bodies:
            expected = self._history.expect(self._kind, model)
            usage.setdefault(model, Tokens()).add(estimated_tokens(self._kind, body, expected))
        return usage

    def estimate(self, bodies: Iterable[tuple[str, bytes]]) -> float:
        """Returns what requests may cost; an unknown price is a ConfigurationError."""
        usage = self.tokens((model, from_json(body)) for model, body in bodies)
        if unpriced := self.unpriced(usage):
            raise ConfigurationError(f"{self.unknown_prices(unpriced)}, or set no limit. Nothing was sent")
        self.log_estimates(usage)
        return self.dollars(usage) or 0.0

    def check(self, checkpoint: Checkpoint, max_price: float | None) -> Flow[None]:
        """Raises a BudgetExceededError if what was answered and what is still to come may cost more than `max_price`."""
        if max_price is None:
            return
        yield from self.ask_catalogue(checkpoint.models())
        estimate: float = yield Local(lambda: self.estimate(checkpoint.unanswered_bodies()))
        spent = self.dollars(checkpoint.usage()) or 0.0
        if spent + estimate > max_price:
            subject = f"the run has cost {spent:.6f} dollars, and what is left of it" if spent else "the run"
            raise BudgetExceededError(
                f"{subject} may cost {estimate:.6f} dollars: more than max_price={max_price:g} allows. "
                "Nothing was sent. A smaller max_tokens makes the estimate smaller.",
                budget=max_price,
                spent=spent,
                reserved=0.0,
                estimate=estimate,
                model=next(iter(checkpoint.models()), None),
            )

    def reserve(self, checkpoint: Checkpoint, shard: Shard) -> Flow[None]:
        """Reserves what a shard may cost, if there is a budget."""
        budget = self._control.budget_guard if self._control else None
        if budget is None or shard.number in self._reservations:
            return
        yield from self.ask_catalogue([shard.model])
        dollars: float = yield Local(lambda: self.estimate(checkpoint.unanswered_bodies(shard)))
        self._reservations[shard.number] = budget.reserve(dollars, "batch", shard.model)

    def settle(self, shard: Shard, *, is_certain: bool) -> Flow[None]:
        """Adds the row of a job to the ledger, unless it may be there and is."""
        if self._control is None:
            return
        yield from self.ask_catalogue([shard.model])
        started = shard.since or time.time()
        when, status = datetime.fromtimestamp(started, UTC), shard.status or ""
        reservation = self._reservations.pop(shard.number, 0)
        rows = self._control.ledger.rows
        if not is_certain and any(row.request_id == shard.batch_id for row in rows(since=when - _TICK, until=when + _TICK)):
            return
        tokens = shard.used
        row = LedgerRow(
            when=when,
            kind="batch",
            model=shard.model,
            tags=self._control.current_tags(),
            status=200,
            error=None if status.lower() == "completed" else status,
            input_tokens=tokens.input,
            cached_tokens=tokens.cached,
            output_tokens=tokens.output,
            reasoning_tokens=tokens.reasoning,
            cost=self.dollars({shard.model: tokens}),
            attempts=1,
            seconds=max(time.time() - started, 0.0),
            waited=0.0,
            first_chunk_seconds=None,
            request_id=shard.batch_id,
            estimated=False,
            streamed=False,
        )
        self._control.settle(lambda: to_values(row), reservation)

    def release(self) -> None:
        """Gives back what is reserved: the run has ended, whatever its jobs do."""
        budget = self._control.budget_guard if self._control else None
        if budget is not None:
            for reservation in self._reservations.values():
                budget.release(reservation)
        self._reservations.clear()

    def _lacks_price(self, models: Iterable[str]) -> bool:
        return any(self._price(model) is None for model in models)

    def _price(self, model: str) -> Any:
        """Returns the price of a model, or else that of the model that it was tuned from."""
        price = self._prices.find(model, self._kind, self._config)
        base = (self._base_models or {}).get(model)
        return price if price is not None or base is None else self._prices.find(base, self._kind, self._config)
