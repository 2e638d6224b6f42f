"""Records live calls of chat models as rows for training."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.events.span import SpanDropEvent
from pydantic import PrivateAttr

from llama_index_together_adapters.finetuning.messages import convert_messages
from llama_index_together_adapters.finetuning.source import wire_tools
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import UNFINISHED_REASONS
from together_adapters.finetune.recording import CallRecording, Mode, OpenCall, RecorderBase, thread_of
from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.suggestions import suggests_keywords


class FinetuneRecorder(RecorderBase, BaseEventHandler):
    """Records live calls as rows for training; an event handler for all chat models.

    Each call is written to the file as soon as it is answered, with its tools, reasoning and tool calls, but without parameters
    and keys. Calls that fail, are cancelled or cut off, or cannot become a row are counted and not written. A recorder is safe to
    use from several threads and tasks, and processes may share a file, each with `mode="a"`.

    Calls of one run belong to one trace, as do calls with the same `thread_id`, `conversation_id` or `session_id` in
    `instrument_tags`. A recorder that is added with `dispatcher.add_event_handler` instead of `attach` does not see the runs.

    Example:
        ```python
        from llama_index_together_adapters import TogetherLLM
        from llama_index_together_adapters.finetuning import FinetuneRecorder
        from together_adapters.finetune import write_jsonl

        with FinetuneRecorder("calls.jsonl", mode="a") as recorder:
            TogetherLLM("openai/gpt-oss-120b").complete("Name one prime number.")
        write_jsonl(recorder.data(), "train.jsonl", overwrite=True)
        ```
    """

    _recording: CallRecording = PrivateAttr()
    _options: Options = PrivateAttr()
    _spans: _Spans = PrivateAttr()

    @suggests_keywords
    def __init__(self, path: str | os.PathLike[str], *, mode: Mode = "x", reasoning: Literal["keep", "drop"] = "keep") -> None:
        """Creates the file, or opens it with `mode="a"`.

        Args:
            path: The file of the rows, for its owner only.
            mode: `x` for a new file; `a` to add to one that may exist. `existing_rows` says how many rows it had, and the log does.
            reasoning: `keep`, or `drop` to remove reasoning.

        Raises:
            FileExistsError: The file exists, and the mode is `x`.
            OSError: The file cannot be written.
            ConfigurationError: There is no such mode.
        """
        super().__init__()
        self._recording = CallRecording(path, mode)
        self._options = Options(reasoning=reasoning)
        self._spans = _Spans()

    @classmethod
    def class_name(cls) -> str:
        return "FinetuneRecorder"

    def __enter__(self) -> FinetuneRecorder:
        self.attach()
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def attach(self) -> None:
        """Starts to record all calls of the program."""
        root = get_dispatcher()
        if self not in root.event_handlers:
            root.add_event_handler(self)
            root.add_span_handler(self._spans)

    def detach(self) -> None:
        """Stops recording."""
        root = get_dispatcher()
        root.event_handlers = [one for one in root.event_handlers if one is not self]
        root.span_handlers = [one for one in root.span_handlers if one is not self._spans]

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Handles an event of a call."""
        if isinstance(event, LLMChatStartEvent):
            self._begin(event)
        elif isinstance(event, LLMChatEndEvent):
            self._write(event)
        elif isinstance(event, ExceptionEvent):
            self._recording.end(event.span_id, _outcome(event.exception))
        elif isinstance(event, SpanDropEvent):  # sent while the exception, of which it has the text alone, is being handled
            self._recording.end(event.span_id, _outcome(sys.exc_info()[1]))

    def _begin(self, event: LLMChatStartEvent) -> None:
        span = event.span_id or event.id_
        kwargs = event.additional_kwargs
        tools = kwargs.get("tools") or kwargs.get("functions") or (event.model_dict.get("additional_kwargs") or {}).get("tools")
        self._recording.begin(span, event.messages, tools or (), thread_of(event.tags) or self._spans.root(span))

    def _write(self, event: LLMChatEndEvent) -> None:
        call = self._recording.calls.pop(event.span_id, None)
        if call is None:
            return
        if event.response is None or _finish_reason(event.response) in UNFINISHED_REASONS:
            self._recording.file.count("unfinished")
            return
        self._recording.write(call.trace, partial(self._row, call, event.response.message))

    def _row(self, call: OpenCall, answer: ChatMessage, number: int) -> Row:
        # A handler that collects calls may have put the answer behind the question by now.
        question = [message for message in call.messages if message is not answer]
        messages = convert_messages([*question, answer], self._options, number).row["messages"]
        try:
            tools = wire_tools(call.tools)
        except ValueError as error:
            raise Unconvertible("tool_invalid", str(error), "tools") from None
        return {"messages": messages, "tools": tools} if tools else {"messages": messages}


class _Spans(BaseSpanHandler[Any]):
    """Maps every open span to its run."""

    _roots: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        return "FinetuneRecorderSpans"

    def root(self, span: str) -> str | None:
        """Returns the id of the run that a span belongs to."""
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


def _outcome(problem: BaseException | None) -> str:
    return "failed" if problem is None or isinstance(problem, Exception) else "cancelled"


def _finish_reason(response: Any) -> Any:
    """Returns the finish reason of a response, if the model gives one."""
    raw = _fields(response.raw)
    choice = _fields((raw.get("choices") or ({},))[0])
    return choice.get("finish_reason") or raw.get("finish_reason") or raw.get("stop_reason")


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
