"""The batch methods of a chat model whose requests can travel as jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables.config import get_config_list
from pydantic import Field, field_validator, model_validator

from langchain_together_adapters.bulk.collection import Collection, current
from langchain_together_adapters.bulk.jobs import Jobs
from langchain_together_adapters.bulk.window import window_of
from together_adapters.errors import ConfigurationError
from together_adapters.transport.call import Flow

if TYPE_CHECKING:
    from together_adapters.bulk.batch_api import BatchAPI
    from together_adapters.client import ClientPair

SETTING: Final = "batch_api"
"""The keyword of calls, which counts over the field of the same name."""
_NO_HEADERS: Final = UserWarning(
    "include_response_headers has no effect on answers of batch jobs: the service keeps no headers of single requests of a job"
)


class BatchModel(BaseChatModel):
    """A chat model whose `batch` methods can use the Batch API.

    Attributes:
        batch_api: Settings with which `batch`, `abatch` and their `as_completed` forms send all requests as one job; None sends them
            one by one. Other methods are not changed. Dumps leave it out.
    """

    batch_api: Any = Field(default=None, exclude=True, repr=False)

    if TYPE_CHECKING:
        include_response_headers: bool

        @property
        def _clients(self) -> ClientPair: ...

    @field_validator("batch_api")
    @classmethod
    def _check_batch_api(cls, value: Any) -> BatchAPI | None:
        if value is not None:
            from together_adapters.bulk.batch_api import BatchAPI

            if not isinstance(value, BatchAPI):
                raise ConfigurationError(f"batch_api must be a together_adapters.bulk.BatchAPI, not {type(value).__name__}")
        return value  # type: ignore[no-any-return]

    @model_validator(mode="after")
    def _check_batches(self) -> Self:
        return self._follow_batches()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._follow_batches()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values of some fields."""
        return super().model_copy(update=update, deep=deep)._follow_batches()

    def _follow_batches(self) -> Self:
        if self.batch_api is not None:
            _follow_batches()
        return self

    if not TYPE_CHECKING:  # its type differs between versions of langchain-core

        def bind(self, **kwargs: Any) -> Any:
            """Return the model with keywords for all its calls."""
            if kwargs.get(SETTING) is not None:
                _follow_batches()
            return super().bind(**kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: Any = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Return the answers to several inputs; with `batch_api`, those of one job. See `Runnable.batch`."""
        if (settings := self._pop_settings(kwargs)) is None:
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return _in_order(dict(self._results(settings, inputs, config, kwargs)), return_exceptions)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: Any = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Return the answers to several inputs; see `batch`."""
        if (settings := self._pop_settings(kwargs)) is None:
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        collection = self._collection(settings, inputs, config, kwargs)
        return _in_order(dict([item async for item in collection.aresults()]), return_exceptions)

    def batch_as_completed(
        self, inputs: Sequence[LanguageModelInput], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> Iterator[tuple[int, Any]]:
        """Yield index and answer of each input as it is known; with `batch_api`, the answers of one job."""
        if (settings := self._pop_settings(kwargs)) is None:
            yield from super().batch_as_completed(inputs, config, return_exceptions=return_exceptions, **kwargs)  # type: ignore[call-overload]
            return
        with closing(self._results(settings, inputs, config, kwargs)) as results:
            for index, result in results:
                yield index, result if return_exceptions else _value(result)

    async def abatch_as_completed(
        self, inputs: Sequence[LanguageModelInput], config: Any = None, *, return_exceptions: bool = False, **kwargs: Any
    ) -> AsyncIterator[tuple[int, Any]]:
        """Yield index and answer of each input as it is known; see `batch_as_completed`."""
        if (settings := self._pop_settings(kwargs)) is None:
            parent: Any = super()
            async for item in parent.abatch_as_completed(inputs, config, return_exceptions=return_exceptions, **kwargs):
                yield item
            return
        async with aclosing(self._collection(settings, inputs, config, kwargs).aresults()) as results:
            async for index, result in results:
                yield index, result if return_exceptions else _value(result)

    def _pop_settings(self, kwargs: dict[str, Any]) -> BatchAPI | None:
        """Take the settings of a batch out of its keywords. That there are none is left in, where it counts over the field."""
        settings: BatchAPI | None = kwargs.pop(SETTING, self.batch_api)
        if settings is None and self.batch_api is not None:
            kwargs[SETTING] = None
        return settings

    def _results(
        self, settings: BatchAPI, inputs: Sequence[LanguageModelInput], config: Any, kwargs: Mapping[str, Any]
    ) -> Generator[tuple[int, Any]]:
        """Yield index and result, or exception, of every input, each when it is known unless an event loop is running."""
        collection = self._collection(settings, inputs, config, kwargs)
        if asyncio._get_running_loop() is None:
            yield from collection.results()
            return
        with ThreadPoolExecutor(1) as executor:
            yield from executor.submit(copy_context().run, lambda: [*collection.results()]).result()

    def _collection(
        self, settings: BatchAPI, inputs: Sequence[LanguageModelInput], config: Any, kwargs: Mapping[str, Any]
    ) -> Collection:
        # The requests of a job are not sent one by one, so a limit of their rate does not concern them.
        model = self if self.rate_limiter is None else self.model_copy(update={"rate_limiter": None})
        configs = get_config_list(config, len(inputs))
        calls = [partial(model.ainvoke, value, each, **kwargs) for value, each in zip(inputs, configs, strict=True)]
        return Collection(Jobs(model._clients, settings), calls)

    def _perform(self, flow: Flow[Any], run_manager: Any, kwargs: Mapping[str, Any]) -> Any:
        """Return the result of a flow: at once, or by a job."""
        if not self._is_in_batch(run_manager, kwargs):
            return self._clients.sync.perform(flow)
        self._warn_of_headers(kwargs)
        settings = kwargs.get(SETTING, self.batch_api)
        return window_of(self._clients, settings).answer(flow, Jobs(self._clients, settings))

    async def _aperform(self, flow: Flow[Any], run_manager: Any, kwargs: Mapping[str, Any]) -> Any:
        """Return the result of a flow; see `_perform`."""
        collection = self._open_collection
        if collection is None and not self._is_in_batch(run_manager, kwargs):
            return await self._clients.asynchronous.perform(flow)
        self._warn_of_headers(kwargs)
        if collection is not None:
            return await collection.answer(flow)
        from together_adapters.bulk import window

        return await window.perform(self._clients.asynchronous, kwargs.get(SETTING, self.batch_api), flow)

    def _should_stream(self, **kwargs: Any) -> bool:
        """Whether to stream although nobody asked for it; a job cannot."""
        return not self._has_job(**kwargs) and super()._should_stream(**kwargs)

    def _should_use_protocol_streaming(self, **kwargs: Any) -> bool:
        return not self._has_job(**kwargs) and super()._should_use_protocol_streaming(**kwargs)

    def _has_job(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        """Whether the answer to this call comes by a job."""
        return (async_api and self._open_collection is not None) or self._is_in_batch(run_manager, kwargs)

    def _is_in_batch(self, run_manager: Any, kwargs: Mapping[str, Any]) -> bool:
        """Whether langchain-core makes this call for one input of a batch, and jobs are wanted."""
        if kwargs.get(SETTING, self.batch_api) is None:
            return False
        from langchain_together_adapters.bulk.ancestry import batch_runs, is_one_of_batch

        return getattr(run_manager, "parent_run_id", None) in batch_runs or is_one_of_batch()

    @property
    def _open_collection(self) -> Collection | None:
        """The batch to which this call belongs, if it is one of this model."""
        collection = current.get()
        if collection is None or not collection.is_open or collection.jobs.clients is not self._clients:
            return None
        return collection

    def _warn_of_headers(self, kwargs: Mapping[str, Any]) -> None:
        if kwargs.get("include_response_headers", self.include_response_headers):
            self._clients.config.warn(_NO_HEADERS)


def _follow_batches() -> None:
    from langchain_together_adapters.bulk.ancestry import follow_batches

    follow_batches()


def _in_order(results: Mapping[int, Any], return_exceptions: bool) -> list[Any]:
    """Return results in the order of their inputs; without `return_exceptions`, raise the first exception."""
    values = [results[index] for index in range(len(results))]
    return values if return_exceptions else [_value(value) for value in values]


def _value(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result
