"""Records live calls of chat models as rows for training."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult

from langchain_together_adapters.finetuning.messages import convert_messages
from langchain_together_adapters.tools import wire_tools
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.traces import UNFINISHED_REASONS
from together_adapters.finetune.recording import CallRecording, Mode, OpenCall, RecorderBase, thread_of
from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.suggestions import suggests_keywords

_CANCELLED: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


class FinetuneRecorder(RecorderBase, BaseCallbackHandler):
    """Records live calls as rows for training; a callback for any chat model, chain, agent or graph.

    Each call is written to the file as soon as it is answered, with its tools, reasoning and tool calls, but without parameters
    and keys. Calls that fail, are cancelled or cut off, or cannot become a row are counted and not written. A recorder is safe to
    use from several threads and tasks, and processes may share a file, each with `mode="a"`.

    Calls of one run belong to one trace, as do calls with the same `thread_id` in their metadata. A recorder that is passed to
    the model alone does not see the run.

    Example:
        ```python
        from langchain_together_adapters import ChatTogether
        from langchain_together_adapters.finetuning import FinetuneRecorder
        from together_adapters.finetune import write_jsonl

        recorder = FinetuneRecorder("calls.jsonl", mode="a")
        llm = ChatTogether(model="openai/gpt-oss-120b")
        llm.invoke("Name one prime number.", config={"callbacks": [recorder]})
        write_jsonl(recorder.data(), "train.jsonl", overwrite=True)
        ```
    """

    run_inline = True

    @suggests_keywords
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: Mode = "x",
        reasoning: Any = "keep",
        tool_errors: Any = "keep",
        invalid_tool_calls: Any = "refuse",
    ) -> None:
        """Creates the file, or opens it with `mode="a"`.

        Args:
            path: The file of the rows, for its owner only.
            mode: `x` for a new file; `a` to add to one that may exist. `existing_rows` says how many rows it had, and the log does.
            reasoning: `keep`, or `drop` to remove reasoning.
            tool_errors: `keep`, or `drop_row` to drop conversations in which a tool failed.
            invalid_tool_calls: `refuse` conversations with calls that could not be parsed, `keep` such calls or `drop` them.

        Raises:
            FileExistsError: The file exists, and the mode is `x`.
            OSError: The file cannot be written.
            ConfigurationError: There is no such mode.
        """
        super().__init__()
        self._recording = CallRecording(path, mode)
        self._options = Options(
            reasoning=reasoning, signed_reasoning="refuse", tool_errors=tool_errors, invalid_tool_calls=invalid_tool_calls
        )
        self._roots: dict[UUID, UUID] = {}

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
        params = kwargs.get("invocation_params") or {}
        tools = params.get("tools") or params.get("functions") or ()
        trace = thread_of(metadata) or str(self._root(run_id, parent_run_id))
        self._recording.begin(run_id, messages[0], tools, trace)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        call = self._recording.calls.pop(run_id, None)
        if call is None:
            return
        for generation in response.generations[0]:
            message = getattr(generation, "message", None)
            if not isinstance(message, BaseMessage):
                continue
            if _finish_reason(message, generation.generation_info) in UNFINISHED_REASONS:
                self._recording.file.count("unfinished")
                continue
            self._recording.write(call.trace, partial(self._row, call, message))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._recording.end(run_id, "cancelled" if isinstance(error, _CANCELLED) else "failed")

    def on_chain_start(self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        self._roots[run_id] = self._root(run_id, parent_run_id)

    on_tool_start = on_retriever_start = on_chain_start

    def on_chain_end(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self._roots.pop(run_id, None)

    on_tool_end = on_retriever_end = on_chain_end
    on_chain_error = on_tool_error = on_retriever_error = on_chain_end

    def _root(self, run_id: UUID, parent: UUID | None) -> UUID:
        return run_id if parent is None else self._roots.get(parent, parent)

    def _row(self, call: OpenCall, answer: BaseMessage, number: int) -> Row:
        messages = convert_messages([*call.messages, answer], self._options, number).row["messages"]
        for message in messages:
            message.pop("status", None)
        try:
            tools = wire_tools(call.tools)
        except ValueError as error:
            raise Unconvertible("tool_invalid", str(error), "tools") from None
        return {"messages": messages, "tools": tools} if tools else {"messages": messages}


def _finish_reason(message: BaseMessage, info: Mapping[str, Any] | None) -> Any:
    metadata = {**message.response_metadata, **(info or {})}
    return metadata.get("finish_reason") or metadata.get("stop_reason")
