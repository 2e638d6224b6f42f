"""`Control`: what users create, and what clients ask about every step."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from _thread import start_new_thread
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from together_adapters.control.budget import Budget
from together_adapters.control.estimates import KINDS, OutputHistory, kind_of
from together_adapters.control.ledger import Ledger
from together_adapters.control.limits.limiter import Limiter
from together_adapters.control.metering import ManyRequests, RequestMeter, operation_here
from together_adapters.control.prices import PriceBook
from together_adapters.control.settings import budget_dollars, concurrency_limit, location, rate_limit
from together_adapters.control.stream_metering import StreamMeter
from together_adapters.control.tags import Tags, current_tags
from together_adapters.errors import ConfigurationError
from together_adapters.suggestions import suggests_keywords
from together_adapters.transport.call import Call, Operation, StreamCall
from together_adapters.transport.redaction import redactor, secrets_of_url

if TYPE_CHECKING:
    from together_adapters.control.limits.limiter import LimiterState
    from together_adapters.control.rows import Values
    from together_adapters.control.share.stores import Store
    from together_adapters.transport.config import Config
    from together_adapters.types.capabilities import Prices
    from together_adapters.types.models import Pricing

_log = logging.getLogger("together_adapters")


@suggests_keywords
class Control:
    """Limits, a budget, a ledger and tags for the calls of any number of clients and adapters.

    Pass it as `control=`. Threads, event loops and both flavours may share it; what is free of charge, such as lists, files and the
    polls of jobs, passes by. A pickle holds the settings: a ledger in memory starts anew, a file is shared.

    Attributes:
        budget: The dollars that may be spent; None for no limit.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_concurrency: int | None = None,
        budget: float | None = None,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        share: str | os.PathLike[str] | None = None,
        prices: Mapping[str, Mapping[str, float] | Pricing | Prices] | None = None,
    ) -> None:
        """Creates a control.

        Args:
            requests_per_minute: Requests that may be sent in a minute; None for what the service allows, as its answers tell.
            tokens_per_minute: Tokens that may be sent and received in a minute; None for what the service allows.
            max_concurrency: Requests that may be under way at the same time; None for what the service allows.
            budget: Dollars that the calls in the ledger may cost. A call that may cost more than is left raises
                `BudgetExceededError`, and nothing is sent.
            ledger: The path of an SQLite file, which processes may share; a `Ledger`; None to keep the rows in memory.
            share: Where processes share the limits that are set: the path of an SQLite file, for those of one machine, or a URL
                of Redis, `redis://host:6379`, for those of several (`pip install "together-adapters[control]"`).
                `redis://host:6379#name` is for one group of several that have limits of their own. Refusals that name a time to wait are shared,
                too; what else is learned of the service's limits is not.
            prices: Prices by model, before those of the service's catalogue and of the table of models. Dollars per million tokens:
                `{"input": 0.15, "output": 0.6, "cached_input": 0.05}`, or a `Pricing` of the catalogue. Other units are
                `image`, `megapixel`, `second`, `minute`, `video`, `character`, `million_characters` and `request`; those that are named
                are added up. A kind of call, such as `code`, may stand in place of the model.

        Raises:
            ConfigurationError: A setting is not valid, the file is no ledger, or what `share` names cannot be reached.
            OSError: The ledger's file cannot be read, created or written; a `FileNotFoundError` if there is no folder for it.
            ImportError: `share` is a URL, and redis is not installed (`pip install "together-adapters[control]"`).
        """
        self._limits: dict[str, Any] = {
            "requests_per_minute": rate_limit("requests_per_minute", requests_per_minute),
            "tokens_per_minute": rate_limit("tokens_per_minute", tokens_per_minute),
            "max_concurrency": concurrency_limit(max_concurrency),
        }
        self._budget = budget_dollars(budget)
        self.prices = PriceBook(prices)
        self._ledger = ledger if isinstance(ledger, Ledger) else Ledger(None if ledger is None else location("ledger", ledger))
        self.history = OutputHistory()
        self.epoch = 0  # grows in a process that is forked off
        self._store = None if share is None else _store_of(share)
        path = getattr(self._store, "path", None)  # absolute, so that a pickle names the same file in any folder
        share = share if path is None else str(path)
        self._settings = {**self._limits, "budget": self._budget, "ledger": ledger, "share": share, "prices": prices}
        self._start()
        _controls.add(self)

    def _start(self) -> None:
        """Makes what belongs to one process: nothing is under way."""
        self.limiter = Limiter(**self._limits)
        if self._store is not None:
            _share(self.limiter, self._store, self._limits)
        self.budget_guard = None if self._budget is None else Budget(self._budget, self._ledger)
        self._streams: WeakSet[RequestMeter] = WeakSet()
        self._orphans: SimpleQueue[RequestMeter] = SimpleQueue()
        self._orphans_lock = threading.RLock()  # the handler of a signal may read the ledger

    @property
    def budget(self) -> float | None:
        """The dollars that may be spent; None for no limit."""
        return self._budget

    @property
    def ledger(self) -> Ledger:
        """The rows of all calls that have ended, and their sums."""
        self._end_orphans()
        return self._ledger

    def state(self) -> LimiterState:
        """Returns what is known of the limits, and what is under way."""
        self._end_orphans()
        return self.limiter.state()

    def tag(self, /, **tags: str) -> AbstractContextManager[None]:
        """Returns a context, for `with`, in which calls have tags in their rows, besides those of the contexts around it.

        The tags hold in the tasks and in the threads of this library that start in it.

        Args:
            **tags: A text for each name; numbers become texts.
        """
        return Tags(id(self), tags)

    def close(self) -> None:
        """Closes the ledger's file and the connection to what is shared; the next call opens them again."""
        self.ledger.close()
        self.limiter.close()

    def observe(self, step: Any, config: Config) -> ManyRequests | RequestMeter | None:
        """Returns the observation of a step that uses models or money. The clients call this."""
        if isinstance(step, Operation):
            return ManyRequests(self, step, config)
        call = step.call if isinstance(step, StreamCall) else step
        if not isinstance(call, Call) or call.method != "POST" or call.meter is not None:
            return None
        if (kind := KINDS.get(call.path) or kind_of(call.path)) is None:
            return None
        if not self._orphans.empty():
            self._end_orphans()
        operation = operation_here.get()
        if operation is not None and operation.control is not self:
            operation = None
        meter = RequestMeter if step is call else StreamMeter
        return meter(self, kind, config, step, call, operation)

    def pass_by(self, name: str) -> None:
        """Admits what cannot be measured, unless there is a budget."""
        if self._budget is not None:
            raise ConfigurationError(f"{name} is not measured: use a client without a budget. Nothing was sent.")

    def current_tags(self) -> dict[str, str]:
        """Returns the tags that hold here."""
        return dict(current_tags(id(self)))

    def settle(self, make_values: Callable[[], Values], reservation: int) -> None:
        """Adds a row to the ledger. A row that cannot be made or written must not cost the answer of a call."""
        try:
            if self.budget_guard is None:
                self._ledger.add_values(make_values())
            else:
                self.budget_guard.settle(reservation, make_values)
        except Exception as error:
            _log.error("the row of a call is not in the ledger yet: %s", error)

    def give_back(self, reservation: int) -> None:
        """Gives the reservation of a call back that was refused."""
        if self.budget_guard is not None:
            self.budget_guard.release(reservation)

    def keep(self, request: RequestMeter) -> None:
        """Keeps note of an open stream, which has used tokens even if the program ends."""
        self._streams.add(request)

    def abandon(self, request: RequestMeter) -> None:
        """Ends a call whose stream was garbage collected: soon, in a thread of its own, and before state or ledger are read."""
        self._orphans.put(request)
        with suppress(RuntimeError):  # the interpreter is exiting
            start_new_thread(self._end_orphans, ())

    def _end_orphans(self) -> None:
        with self._orphans_lock:
            while not self._orphans.empty():
                self._orphans.get().end()

    def _end_streams(self) -> None:
        """Ends the calls of streams that are still open when the program ends."""
        for request in [*self._streams]:
            request.end()
        self._end_orphans()
        self.limiter.close()

    def __copy__(self) -> Control:
        return self

    def __deepcopy__(self, memo: Any) -> Control:
        return self

    def __reduce__(self) -> Any:
        return _from_settings, ({**self._settings, "ledger": self._ledger.path},)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items() if value is not None)
        share = self._settings["share"]
        return f"Control({settings if share is None else redactor(tuple(secrets_of_url(str(share))))(settings)})"


def _store_of(share: str | os.PathLike[str]) -> Store:
    from together_adapters.control.share.stores import store_of

    return store_of(share)


def _share(limiter: Limiter, store: Store, limits: Mapping[str, Any]) -> None:
    """Shares limits with the other processes that use a store."""
    from together_adapters.control.share.permits import Permits
    from together_adapters.control.share.state import Limits

    limiter.share(Permits(store, Limits(**limits), limiter))


def _from_settings(settings: Mapping[str, Any]) -> Control:
    return Control(**settings)


_controls: WeakSet[Control] = WeakSet()


def _after_fork() -> None:
    """In a process that is forked off, nothing is under way: what was belongs to the other process."""
    for control in [*_controls]:
        control.epoch += 1
        control._start()


@atexit.register
def _at_exit() -> None:
    for control in [*_controls]:
        control._end_streams()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
