"""Tool calls: from the wire in one piece or in any order of pieces, to blocks, and to what agents select. Pure.

Servers differ in how they stream calls: in pieces, whole, several in one chunk, interleaved, without an index, or all under
one index. A call is recognised by its id where one is given, else by its index, else it is the last one.

Agents ask for the arguments on every chunk. To keep that linear in their length, long arguments are joined and parsed again
only when they have grown by a noticeable part; the last chunk always has them whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

_SHORT = 2048
_STEP = 64


class StreamedCall:
    """One tool call while it arrives.

    Attributes:
        block: The call so far, as a content block.
        mirror: The call so far, as the plain dict that older consumers and tracers read.
        unsettled: Whether something came since `show(final=True)`.
    """

    def __init__(self) -> None:
        self.block = ToolCallBlock(tool_call_id=f"call_{uuid4().hex[:24]}", tool_name="")
        self.mirror = _mirror(self.block.tool_call_id, "", "")
        self._named = ""
        self._id: str | None = None
        self._pieces: list[str] = []
        self._size = self._shown = 0
        self.unsettled = False

    @property
    def name(self) -> str:
        """The function's name, empty until it came."""
        return self._named

    @property
    def has_id(self) -> bool:
        """Whether the service named the call."""
        return self._id is not None

    @property
    def whole(self) -> bool:
        """Whether the arguments so far are complete JSON."""
        return parse_arguments("".join(self._pieces)) is not None and self._size > 0

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take in one delta."""
        function = delta.get("function") or {}
        if self._id is None and delta.get("id"):
            self._id = delta["id"]
            self.unsettled = True
        if not self._named and function.get("name"):
            self._named = function["name"]
            self.unsettled = True
        if arguments := function.get("arguments"):
            piece = arguments if isinstance(arguments, str) else json.dumps(arguments)
            self._pieces.append(piece)
            self._size += len(piece)
            self.unsettled = True
        if self._size < _SHORT or (self._size - self._shown) * _STEP >= self._size:
            self.show(final=False)

    def show(self, *, final: bool) -> None:
        """Bring `block` and `mirror` up to date.

        Args:
            final: Nothing more is expected; arguments that are no JSON object then stay text.
        """
        if not self.unsettled:
            return
        text = "".join(self._pieces)
        self._pieces = [text] if text else []
        self._shown = self._size
        self.unsettled = not final
        call_id = self._id or self.block.tool_call_id
        kwargs: Any = final_arguments(text) if final else partial_arguments(text)
        self.block = ToolCallBlock(tool_call_id=call_id, tool_name=self._named, tool_kwargs=kwargs)
        self.mirror = _mirror(call_id, self._named, text)


class StreamedCalls:
    """The tool calls of a streamed message.

    Args:
        parallel: Whether several calls are wanted; otherwise those after the first are left out.
    """

    def __init__(self, *, parallel: bool = True) -> None:
        self._calls: list[StreamedCall] = []
        self._by_id: dict[str, StreamedCall] = {}
        self._by_index: dict[Any, StreamedCall] = {}
        self._parallel = parallel

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def unsettled(self) -> bool:
        """Whether a call changed since it was last brought up to date for good."""
        return any(call.unsettled for call in self._calls)

    @property
    def shown(self) -> list[StreamedCall]:
        """The calls that are wanted and have a name."""
        named = [call for call in self._calls if call.name]
        return named if self._parallel else named[:1]

    def add(self, deltas: Iterable[Mapping[str, Any]]) -> None:
        """Take in the `tool_calls` of one chunk."""
        for delta in deltas:
            call = self._find(delta)
            if call is None:
                call = StreamedCall()
                if self._calls:
                    self._calls[-1].show(final=False)
                self._calls.append(call)
            if delta.get("id"):
                self._by_id[delta["id"]] = call
            if delta.get("index") is not None:
                self._by_index[delta["index"]] = call
            call.add(delta)

    def show(self, *, final: bool) -> None:
        """Bring every call up to date."""
        for call in self._calls:
            call.show(final=final)

    @property
    def _last(self) -> StreamedCall | None:
        return self._calls[-1] if self._calls else None

    def _find(self, delta: Mapping[str, Any]) -> StreamedCall | None:
        """Return the call that a delta continues; None when it begins one."""
        call_id, index = delta.get("id"), delta.get("index")
        name = (delta.get("function") or {}).get("name")
        if call_id and call_id in self._by_id:
            return self._by_id[call_id]
        known = self._by_index.get(index) if index is not None else None
        if call_id and name:
            begun = known if index is not None else self._last
            return begun if begun is not None and not begun.has_id and not begun.name else None
        last = known or self._last
        if not name:
            return last
        if known is None and index is not None:
            return None
        return None if last is None or (last.name and (last.name != name or last.whole)) else last


def _mirror(call_id: str | None, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def parse_arguments(arguments: Any) -> dict[str, Any] | None:
    """Return complete arguments as a dict, and None where they are no JSON object. Nothing, or null, is an empty one."""
    if arguments is None or isinstance(arguments, dict):
        return arguments or {}
    try:
        parsed = from_json(arguments) if arguments.strip() else {}
        if isinstance(parsed, str):  # some servers encode twice
            parsed = from_json(parsed)
    except (ValueError, AttributeError):
        return None
    return {} if parsed is None else parsed if isinstance(parsed, dict) else None


def partial_arguments(text: str) -> dict[str, Any]:
    """Return what the beginning of a JSON object holds so far."""
    try:
        parsed = from_json(text, allow_partial="trailing-strings") if text.strip() else {}
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def final_arguments(arguments: Any) -> dict[str, Any] | str:
    """Return arguments as a dict, or as they came where they are no JSON object."""
    parsed = parse_arguments(arguments)
    return str(arguments) if parsed is None else parsed


def whole_calls(wire: Any, *, parallel: bool = True) -> list[StreamedCall]:
    """Return the tool calls of a whole answer. An empty list and null both mean none."""
    calls = []
    for item in wire or ():
        if isinstance(item, Mapping):
            call = StreamedCall()
            call.add(item)
            call.show(final=True)
            if call.name:
                calls.append(call)
    return calls if parallel else calls[:1]


def select(message: ChatMessage) -> list[ToolSelection]:
    """Return the calls of a message as agents want them; arguments that are no JSON object become empty."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if not blocks:
        return [_legacy_selection(call) for call in legacy_calls(message)]
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=block.tool_kwargs if isinstance(block.tool_kwargs, dict) else parse_arguments(block.tool_kwargs) or {},
        )
        for block in blocks
    ]


def legacy_calls(message: ChatMessage) -> list[dict[str, Any]]:
    """Return the calls in `additional_kwargs`, plain dicts or another SDK's objects, in the shape of the wire."""
    kept = message.additional_kwargs.get("tool_calls")
    calls: Sequence[Any] = kept if isinstance(kept, list | tuple) else ()
    return [call if isinstance(call, dict) else call.model_dump() for call in calls]


def _legacy_selection(call: Mapping[str, Any]) -> ToolSelection:
    function = call.get("function") or {}
    return ToolSelection(
        tool_id=call.get("id") or "",
        tool_name=function.get("name") or "",
        tool_kwargs=parse_arguments(function.get("arguments")) or {},
    )


def keep_first(message: ChatMessage) -> None:
    """Leave out every call of a message but the first."""
    blocks = message.blocks
    calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
    if len(calls) > 1:
        message.blocks = [block for block in blocks if not isinstance(block, ToolCallBlock) or block is calls[0]]
    if len(legacy_calls(message)) > 1:
        message.additional_kwargs = {**message.additional_kwargs, "tool_calls": message.additional_kwargs["tool_calls"][:1]}
