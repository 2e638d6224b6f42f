"""LlamaIndex's tool calls from and to the wire, streamed ones as `adapters.tool_call_deltas` assembles them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from together_adapters.adapters.tool_arguments import UNREADABLE, legacy_call_fields, request_call
from together_adapters.adapters.tool_call_deltas import (
    AssembledToolCall,
    ToolCallAssembler,
    parse_arguments,
    whole_tool_calls,
    wire_call,
)

_SHORT = 2048
_STEP = 64


def has_grown(size: int, parsed_size: int) -> bool:
    """Whether a streamed text is to be parsed again: short ones always, long ones after a noticeable part, to keep it linear."""
    return size < _SHORT or (size - parsed_size) * _STEP >= size


class StreamedToolCall:
    """A tool call that is being streamed: its content block, and the dict `wire` that older consumers and tracers read."""

    def __init__(self, call: AssembledToolCall) -> None:
        self._call = call
        self._parsed_size = 0
        self.is_stale = True  # it has changed since `update(final=True)`
        self.update(final=False)

    def update(self, *, final: bool) -> None:
        """Update `block` and `wire`; where `final`, arguments that are not a JSON object stay text."""
        if not self.is_stale:
            return
        call, text = self._call, self._call.arguments
        self._parsed_size = call.size
        self.is_stale = not final
        self.is_call = bool(call.name or (final and call.size))
        kwargs = parse_arguments(text) if final else _partial_arguments(text)
        self.block = ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=text if kwargs is None else kwargs)
        self.wire = wire_call(call.id, call.name, text)

    def mark_changed(self) -> None:
        """Take note of a delta, and update where there is enough that is new."""
        self.is_stale = True
        size = self._call.size
        if size < _SHORT or (size - self._parsed_size) * _STEP >= size:
            self.update(final=False)


class StreamedToolCalls:
    """The tool calls of a streamed message; with `parallel=False` only the first. Agents read them after every chunk."""

    def __init__(self, *, parallel: bool = True) -> None:
        self._assembler = ToolCallAssembler()
        self._calls: list[StreamedToolCall] = []
        self._parallel = parallel

    @property
    def is_stale(self) -> bool:
        """Whether a call has changed since `update(final=True)`."""
        return any(call.is_stale for call in self._calls)

    @property
    def calls(self) -> list[StreamedToolCall]:
        """The calls that have a name; at the end also those with arguments alone, so that an agent tells the model."""
        calls = [call for call in self._calls if call.is_call]
        return calls if self._parallel else calls[:1]

    def add(self, deltas: Iterable[Any]) -> None:
        """Apply the `tool_calls` of one chunk."""
        calls = self._calls
        for call, _, _, _ in self._assembler.add(deltas):
            if call.position < len(calls):
                calls[call.position].mark_changed()
                continue
            if calls:
                calls[-1].update(final=False)
            calls.append(StreamedToolCall(call))

    def update(self, *, final: bool) -> None:
        """Update every call."""
        for call in self._calls:
            call.update(final=final)


def parse_tool_calls(tool_calls: Any, *, parallel: bool = True) -> list[StreamedToolCall]:
    """Return the tool calls of a response; with `parallel=False` only the first."""
    calls = [StreamedToolCall(call) for call in whole_tool_calls(tool_calls) if call.name or call.size]
    for call in calls:
        call.update(final=True)
    return calls if parallel else calls[:1]


def _partial_arguments(text: str) -> dict[str, Any]:
    """Return what the start of a JSON object holds."""
    try:
        value = from_json(text, allow_partial="trailing-strings") if text.strip() else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def wire_tool_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the tool calls of an assistant message for a request."""
    if blocks := _tool_call_blocks(message):
        return [request_call(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    older = message.additional_kwargs.get("tool_calls")
    fields = [legacy_call_fields(call) for call in older] if isinstance(older, list | tuple) else []
    return [request_call(*each) for each in fields if each is not None]


def tool_selections(message: ChatMessage) -> list[ToolSelection]:
    """Return the tool calls of a message as agents read them.

    Arguments that are not a JSON object stand as text under a name that no tool has, so that the call fails and the model is told.
    """
    return [
        ToolSelection(tool_id=call_id or "", tool_name=name or "", tool_kwargs=_selected_arguments(arguments))
        for call_id, name, arguments in _calls(message)
    ]


def _selected_arguments(arguments: Any) -> dict[str, Any]:
    kwargs = parse_arguments(arguments)
    return {UNREADABLE: arguments} if kwargs is None else kwargs


def _calls(message: ChatMessage) -> list[tuple[str | None, str | None, Any]]:
    """Return id, name and arguments of the tool calls in a message's blocks, or else of those in `additional_kwargs`."""
    if blocks := _tool_call_blocks(message):
        return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    calls = [(call, call.get("function") or {}) for call in legacy_calls(message)]
    return [(call.get("id"), function.get("name"), function.get("arguments")) for call, function in calls]


def legacy_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the calls in `additional_kwargs`, which are dicts or objects of another SDK, as dicts of the wire."""
    value = message.additional_kwargs.get("tool_calls")
    calls: Sequence[Any] = value if isinstance(value, list | tuple) else ()
    return [call if isinstance(call, dict) else call.model_dump() for call in calls]


def _tool_call_blocks(message: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def keep_first(message: ChatMessage) -> None:
    """Remove every tool call of a message but the first."""
    calls = _tool_call_blocks(message)
    if len(calls) > 1:
        message.blocks = [block for block in message.blocks if not isinstance(block, ToolCallBlock) or block is calls[0]]
    if len(legacy_calls(message)) > 1:
        message.additional_kwargs = {**message.additional_kwargs, "tool_calls": message.additional_kwargs["tool_calls"][:1]}
