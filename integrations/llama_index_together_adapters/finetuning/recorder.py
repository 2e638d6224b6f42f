"""Live calls of chat models, kept as rows for training."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, Literal, NamedTuple

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.events.span import SpanDropEvent
from pydantic import PrivateAttr

from llama_index_together_adapters.finetuning.messages import conversation
from llama_index_together_adapters.requests import wire_tools
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.trace_selection import UNFINISHED
from together_adapters.finetune.recording import RecordingFile, read_recording, thread_of
from together_adapters.finetune.records import Row, Unconvertible

_MOST_OPEN: Final = 10_000


class _Call(NamedTuple):
    """A call that has no answer yet."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Any]
    trace: str | None


class FinetuneRecorder(BaseEventHandler):
    """Turns live calls into rows for training: an event handler for every model that chats.

    Each call that is answered becomes a line of the file, at once, with its tools, reasoning and calls; nothing else of it is
    kept, no parameter and no key. Calls that fail, are cancelled or cut off, and those that no row can express, are counted and
    not written. It serves any number of threads and tasks, and processes may share a file.

        with FinetuneRecorder("calls.jsonl") as recorder:
            agent_answers()
        write_jsonl(recorder.data(), "train.jsonl")

    Calls of one run belong together, and so do those with the same `thread_id`, `conversation_id` or `session_id` in
    `instrument_tags`. Added with `dispatcher.add_event_handler` instead of `attach`, it cannot see the runs.
    """

    _file: RecordingFile = PrivateAttr()
    _options: Options = PrivateAttr()
    _open: dict[str, _Call] = PrivateAttr(default_factory=dict)
    _numbers: Any = PrivateAttr(default_factory=lambda: count(1))
    _spans: _Spans = PrivateAttr()

    def __init__(self, path: str | os.PathLike[str], *, reasoning: Literal["keep", "drop"] = "keep") -> None:
        """Begin or go on with a file.

        Args:
            path: Where rows are added; made with mode 0600 if it is not there.
            reasoning: `keep`, or `drop` to leave reasoning out.

        Raises:
            OSError: The file cannot be written.
        """
        super().__init__()
        self._file = RecordingFile(path)
        self._options = Options(reasoning=reasoning)
        self._spans = _Spans()

    @classmethod
    def class_name(cls) -> str:
        return "FinetuneRecorder"

    def __repr__(self) -> str:
        return f"FinetuneRecorder({str(self._file.path)!r})"

    def __enter__(self) -> FinetuneRecorder:
        self.attach()
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    @property
    def counts(self) -> Counter[str]:
        """How many calls were `written`, `failed`, `cancelled`, `unfinished` or `refused`; those still open are `open`."""
        return self._file.counts + Counter(open=len(self._open))

    @property
    def refusals(self) -> list[Unconvertible]:
        """Why the last hundred calls were refused."""
        return list(self._file.refusals)

    def attach(self) -> None:
        """Listen to all calls of the program."""
        root = get_dispatcher()
        if self not in root.event_handlers:
            root.add_event_handler(self)
            root.add_span_handler(self._spans)

    def detach(self) -> None:
        """Listen no more."""
        root = get_dispatcher()
        root.event_handlers = [one for one in root.event_handlers if one is not self]
        root.span_handlers = [one for one in root.span_handlers if one is not self._spans]

    def data(self, *, collapse_prefixes: bool = True) -> TrainingData:
        """Return what was recorded so far.

        Args:
            collapse_prefixes: Whether calls whose conversation a later one of the same run continues are left out.
        """
        return read_recording(self._file.path, collapse_prefixes=collapse_prefixes)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Take an event of a call."""
        if isinstance(event, LLMChatStartEvent):
            self._begin(event)
        elif isinstance(event, LLMChatEndEvent):
            self._answered(event)
        elif isinstance(event, ExceptionEvent):
            self._end(event.span_id, _how(event.exception))
        elif isinstance(event, SpanDropEvent):  # sent while the exception, of which it has the text alone, is being handled
            self._end(event.span_id, _how(sys.exc_info()[1]))

    def _begin(self, event: LLMChatStartEvent) -> None:
        span = event.span_id or event.id_
        asked = event.additional_kwargs
        tools = asked.get("tools") or asked.get("functions") or (event.model_dict.get("additional_kwargs") or {}).get("tools")
        trace = thread_of(event.tags) or self._spans.root(span)
        self._open[span] = _Call([*event.messages], tools or (), trace)
        if len(self._open) > _MOST_OPEN:  # streams that nobody read to their end
            self._end(next(iter(self._open)), "cancelled")

    def _answered(self, event: LLMChatEndEvent) -> None:
        call = self._open.pop(event.span_id or "", None)
        if call is None:
            return
        if event.response is None or _reason(event.response) in UNFINISHED:
            self._file.count("unfinished")
            return
        with self._file.refusing():
            self._file.write(self._row(call, event.response.message), call.trace)

    def _end(self, span: str | None, how: str) -> None:
        if self._open.pop(span or "", None) is not None:
            self._file.count(how)

    def _row(self, call: _Call, answer: ChatMessage) -> Row:
        # A handler that collects calls may have put the answer behind the question by now.
        asked = [message for message in call.messages if message is not answer]
        messages, _changed = conversation([*asked, answer], self._options, next(self._numbers))
        tools = wire_tools(call.tools) or []
        tools = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
        return {"messages": messages, "tools": tools} if tools else {"messages": messages}


class _Spans(BaseSpanHandler[Any]):
    """Knows of every span that is open to which run it belongs; it keeps nothing else."""

    _roots: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        return "FinetuneRecorderSpans"

    def root(self, span: str) -> str | None:
        """Return the id of the run that a span belongs to."""
        return self._roots.get(span)

    def span_enter(
        self,
        id_: str,
        bound_args: Any,
        instance: Any = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._roots[id_] = self._roots.get(parent_id, parent_id) if parent_id else id_

    def span_exit(self, id_: str, *args: Any, **kwargs: Any) -> None:
        self._roots.pop(id_, None)

    def span_drop(self, id_: str, *args: Any, **kwargs: Any) -> None:
        self._roots.pop(id_, None)

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        return None

    prepare_to_exit_span = prepare_to_drop_span = new_span


def _how(problem: BaseException | None) -> str:
    return "failed" if problem is None or isinstance(problem, Exception) else "cancelled"


def _reason(response: Any) -> Any:
    """Why the answer ended, where the model tells."""
    raw = response.raw
    raw = raw if isinstance(raw, Mapping) else getattr(raw, "__dict__", {})
    choices = raw.get("choices") or ()
    choice = choices[0] if choices else {}
    held = choice if isinstance(choice, Mapping) else getattr(choice, "__dict__", {})
    return held.get("finish_reason") or raw.get("finish_reason") or raw.get("stop_reason")
