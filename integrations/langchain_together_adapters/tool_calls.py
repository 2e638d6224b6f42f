"""Tool calls on their way in: whole ones parsed, streamed pieces told apart whichever way an engine cuts them. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall, ToolCallChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk


def read_calls(raw: Sequence[Any] | None) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the calls of a whole answer, and those whose arguments cannot be parsed."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in raw or ():
        function = call.get("function") or {}
        read = read_call(call.get("id") or _new_id(), function.get("name") or "", function.get("arguments"))
        if read["type"] == "tool_call":  # pyright: ignore[reportTypedDictNotRequiredAccess]
            calls.append(read)
        else:
            invalid.append(read)
    return calls, invalid


def read_call(identity: str, name: str, arguments: Any) -> ToolCall | InvalidToolCall:
    """Return one call; an invalid one, never an exception, when its arguments are no JSON object."""
    if isinstance(arguments, dict):
        return tool_call(name=name, args=arguments, id=identity)
    written = str(arguments or "")
    try:
        # Engines put raw line breaks into strings; strict parsing would refuse them.
        parsed = json.loads(written, strict=False) if written.strip() else None
    except (ValueError, RecursionError) as problem:
        return invalid_tool_call(name=name, args=written, id=identity, error=f"the arguments are not JSON: {problem}")
    if parsed is None:
        return tool_call(name=name, args={}, id=identity)
    if not isinstance(parsed, dict):
        return invalid_tool_call(name=name, args=written, id=identity, error="the arguments are JSON, but no object")
    return tool_call(name=name, args=parsed, id=identity)


@dataclass(slots=True)
class OpenCall:
    """A call that is being streamed.

    Attributes:
        position: Its place among the calls of the answer, which is the index that LangChain merges by.
        wire_index: The index that the engine gave it.
        made_up: Whether its id is ours, because the engine gave none.
    """

    position: int
    wire_index: int | None
    identity: str
    name: str
    made_up: bool
    arguments: str = ""


class CallPieces:
    """Tells to which call each streamed piece belongs.

    Engines send pieces with an index, with an id on the first piece alone or on each, without an index, or with the same
    index for all calls; some send whole calls, some several in one chunk, and some interleave them.
    """

    def __init__(self) -> None:
        self.calls: list[OpenCall] = []

    def read(self, raw: Sequence[Any]) -> list[ToolCallChunk]:
        """Return the pieces of one delta, each with the index of its call; id and name only on a call's first piece."""
        return [self._read(piece) for piece in raw]

    def _read(self, piece: Any) -> ToolCallChunk:
        function = piece.get("function") or {}
        identity, name = piece.get("id") or None, function.get("name") or None
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        call = self._find(piece.get("index"), identity, name)
        if call is None:
            call = OpenCall(len(self.calls), piece.get("index"), identity or _new_id(), name or "", identity is None)
            self.calls.append(call)
            shown_id, shown_name = call.identity, name
        else:
            shown_id, shown_name = None, self._rest_of_name(call, name)
        if not call.arguments and text.strip() == "null":
            text = "{}"
        call.arguments += text
        return tool_call_chunk(name=shown_name, args=text, id=shown_id, index=call.position)

    def _find(self, index: int | None, identity: str | None, name: str | None) -> OpenCall | None:
        """Return the open call that a piece goes on with, or None when it begins another."""
        if not self.calls:
            return None
        if identity is not None:
            same = [call for call in self.calls if call.identity == identity and index in (None, call.wire_index)]
            if same:
                return same[-1]
            nameless = self._at(index)
            return nameless if nameless is not None and nameless.made_up and not self._begins(nameless, name) else None
        call = self.calls[-1] if index is None else self._at(index)
        return None if call is None or self._begins(call, name) else call

    def _at(self, index: int | None) -> OpenCall | None:
        return next((call for call in reversed(self.calls) if index is not None and call.wire_index == index), None)

    @staticmethod
    def _begins(call: OpenCall, name: str | None) -> bool:
        """Whether a piece that brings a name and no telling id begins a new call after `call`."""
        if name is None:
            return False
        if call.made_up:
            return name != call.name or _is_complete(call.arguments)
        return bool(call.arguments) and (name != call.name or _is_complete(call.arguments))

    @staticmethod
    def _rest_of_name(call: OpenCall, name: str | None) -> str | None:
        """What a further piece adds to a call's name: nothing when it repeats it, the rest when the name comes in pieces."""
        if not name or name == call.name or call.arguments:
            return None
        call.name += name
        return name


def _is_complete(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _new_id() -> str:
    return f"call_{uuid4().hex[:24]}"
