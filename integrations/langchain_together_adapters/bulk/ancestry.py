"""Whether a call is part of a batch of langchain-core, which invokes chains in threads or tasks, one for each input.

langchain-core passes no sign of it. But every chain tells callback handlers when it starts and from which run, and then the function that
the batch calls for each input is on the stack. The handler is added to all runs of the process, from the first model with a `batch_api` on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from types import CodeType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RouterRunnable, Runnable
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.tracers.context import register_configure_hook

_BATCHES = ("batch", "abatch", "batch_as_completed", "abatch_as_completed")


class BatchRuns(BaseCallbackHandler):
    """Knows the runs that have begun, and not ended, for one input of a batch."""

    run_inline = True  # in the task of the run, not in a thread

    def __init__(self) -> None:
        self._runs: set[UUID] = set()

    @property
    def ignore_llm(self) -> bool:
        """Whether it hears nothing of language models."""
        return True

    @property
    def ignore_chat_model(self) -> bool:
        """Whether it hears nothing of chat models."""
        return True

    def __contains__(self, run_id: UUID | None) -> bool:
        return run_id in self._runs

    def on_chain_start(self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Notes a run of a batch, or one inside it."""
        if parent_run_id in self._runs or is_one_of_batch():
            self._runs.add(run_id)

    def on_chain_end(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        """Forgets a run."""
        self._runs.discard(run_id)

    on_tool_start = on_retriever_start = on_chain_start
    on_chain_error = on_tool_end = on_tool_error = on_retriever_end = on_retriever_error = on_chain_end


batch_runs = BatchRuns()


@cache
def follow_batches() -> None:
    """Let all runs from now on tell whether they are part of a batch."""
    register_configure_hook(ContextVar("batch_runs", default=batch_runs), inheritable=True)


def is_one_of_batch() -> bool:
    """Whether a batch of langchain-core has called this function for one of its inputs."""
    frame = sys._getframe().f_back
    while frame is not None:
        if id(frame.f_code) in _code:
            return True
        frame = frame.f_back
    return False


def _functions_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions_in(constant)


def _code_of_batches(kinds: Sequence[type[Any]]) -> frozenset[int]:
    """Return the functions inside the batch methods of langchain-core."""
    methods = [getattr(kind, name).__code__ for kind in kinds for name in _BATCHES]
    return frozenset(id(function) for method in methods for function in _functions_in(method))


_code = _code_of_batches((Runnable, DynamicRunnable, RouterRunnable))
