"""Live calls of chat models, kept as rows for training."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from langchain_together_adapters.finetuning.messages import conversation
from langchain_together_adapters.tools import wire_tools
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.trace_selection import UNFINISHED
from together_adapters.finetune.recording import RecordingFile, read_recording, thread_of
from together_adapters.finetune.records import Row, Unconvertible

_MOST_OPEN: Final = 10_000
_CANCELLED: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


class _Call(NamedTuple):
    """A call that has no answer yet."""

    messages: Sequence[BaseMessage]
    tools: Sequence[Any]
    trace: str


class FinetuneRecorder(BaseCallbackHandler):
    """Turns live calls into rows for training: a callback for any chat model, chain, agent or graph.

    Each call that is answered becomes a line of the file, at once, with its tools, reasoning and calls; nothing else of it is
    kept, no parameter and no key. Calls that fail, are cancelled or cut off, and those that no row can express, are counted and
    not written. It serves any number of threads and tasks, and processes may share a file.

        recorder = FinetuneRecorder("calls.jsonl")
        agent.invoke(question, config={"callbacks": [recorder]})
        write_jsonl(recorder.data(), "train.jsonl")

    Calls of one run, or of one thread where the metadata has a `thread_id`, belong together; given to the model alone, the
    recorder cannot see the run around it.

    Attributes:
        counts: How many calls were `written`, `failed`, `cancelled`, `unfinished` or `refused`.
        refusals: Why the last hundred calls were refused.
    """

    run_inline = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        reasoning: Any = "keep",
        tool_errors: Any = "keep",
        invalid_tool_calls: Any = "refuse",
    ) -> None:
        """Begin or go on with a file.

        Args:
            path: Where rows are added; made with mode 0600 if it is not there.
            reasoning: `keep`, or `drop` to leave reasoning out.
            tool_errors: `keep`, or `drop_row` to leave out conversations in which a tool failed.
            invalid_tool_calls: `refuse` conversations with calls that could not be parsed, `keep` such calls or `drop` them.

        Raises:
            OSError: The file cannot be written.
        """
        super().__init__()
        self._file = RecordingFile(path)
        self._options = Options(
            reasoning=reasoning, signed_reasoning="refuse", tool_errors=tool_errors, invalid_tool_calls=invalid_tool_calls
        )
        self._open: dict[UUID, _Call] = {}
        self._roots: dict[UUID, UUID] = {}
        self._numbers = count(1)

    def __repr__(self) -> str:
        return f"FinetuneRecorder({str(self._file.path)!r})"

    @property
    def counts(self) -> Counter[str]:
        """How many calls came to which end; those that are still open are `open`."""
        return self._file.counts + Counter(open=len(self._open))

    @property
    def refusals(self) -> list[Unconvertible]:
        """Why the last hundred calls were refused."""
        return list(self._file.refusals)

    def data(self, *, collapse_prefixes: bool = True) -> TrainingData:
        """Return what was recorded so far.

        Args:
            collapse_prefixes: Whether calls whose conversation a later one of the same run continues are left out.
        """
        return read_recording(self._file.path, collapse_prefixes=collapse_prefixes)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        asked = kwargs.get("invocation_params") or {}
        tools = asked.get("tools") or asked.get("functions") or ()
        trace = thread_of(metadata) or str(self._root(run_id, parent_run_id))
        self._open[run_id] = _Call([*messages[0]], tools, trace)
        if len(self._open) > _MOST_OPEN:  # a cancelled `ainvoke` tells nobody
            self._end(next(iter(self._open)), "cancelled")

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        call = self._open.pop(run_id, None)
        if call is None:
            return
        for generation in response.generations[0]:
            message = getattr(generation, "message", None)
            if not isinstance(message, BaseMessage):
                continue
            if _reason(message, generation.generation_info) in UNFINISHED:
                self._file.count("unfinished")
                continue
            with self._file.refusing():
                self._file.write(self._row(call, message), call.trace)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, "cancelled" if isinstance(error, _CANCELLED) else "failed")

    def on_chain_start(self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        self._roots[run_id] = self._root(run_id, parent_run_id)

    on_tool_start = on_retriever_start = on_chain_start

    def on_chain_end(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self._roots.pop(run_id, None)

    on_tool_end = on_retriever_end = on_chain_end
    on_chain_error = on_tool_error = on_retriever_error = on_chain_end

    def _root(self, run_id: UUID, parent: UUID | None) -> UUID:
        return run_id if parent is None else self._roots.get(parent, parent)

    def _end(self, run_id: UUID, how: str) -> None:
        if self._open.pop(run_id, None) is not None:
            self._file.count(how)

    def _row(self, call: _Call, answer: BaseMessage) -> Row:
        messages, _changed = conversation([*call.messages, answer], self._options, next(self._numbers))
        for message in messages:
            message.pop("status", None)
        tools = wire_tools(call.tools)
        if any("function" not in tool for tool in tools):
            raise Unconvertible("tool_invalid", "a tool that the provider runs itself cannot be trained on", "tools")
        return {"messages": messages, "tools": tools} if tools else {"messages": messages}


def _reason(message: BaseMessage, info: Mapping[str, Any] | None) -> Any:
    """Why the answer ended."""
    known = {**message.response_metadata, **(info or {})}
    return known.get("finish_reason") or known.get("stop_reason")
