"""Tool calls of a streamed message, assembled from their deltas. Pure.

Engines stream tool calls in many ways: with an index, without one, or with the same index for all of them; with an id on the
first delta, on each, or on none; whole, in fragments, or interleaved. `ToolCallAssembler` decides to which call a delta belongs:

1. The call with the same index; without an index, the latest call. An id that another call has, and that no index contradicts,
   selects that call instead.
2. A delta starts a new call where no call matches, and where it cannot continue the call that matches: it carries a name with
   another id, or a name and more arguments although those of the call are complete.
3. A name that differs, before any arguments, is the next fragment of the name. Without id and index nothing tells it from the
   name of the next call, and it starts a new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from pydantic_core import from_json

from together_adapters.transport.surrogates import lenient_json

_CLOSING = frozenset('}"')
"""The last characters of an object, and of one that was encoded twice."""
_ARGUMENTS = ("arguments", "args", "parameters", "input")
"""Names of the arguments in the formats of engines and of other providers."""


class AssembledToolCall:
    """A tool call as far as it has been streamed."""

    __slots__ = ("_fragments", "_generated_id", "id_is_taken", "index", "is_quoted", "name", "position", "service_id", "size")

    def __init__(self, position: int, index: int | None) -> None:
        self.position = position  # among the calls of the message
        self.index = index  # on the wire
        self.service_id: str | None = None  # the id on the wire
        self.id_is_taken = False  # another call has it
        self.name = ""
        self.size = 0  # of the arguments
        self.is_quoted = False  # the arguments are a JSON string, whose text is an object
        self._fragments: list[str] = []
        self._generated_id: str | None = None

    @property
    def id(self) -> str:
        """The id on the wire, or a generated one where there is none, or another call has it."""
        if self.service_id is not None and not self.id_is_taken:
            return self.service_id
        if self._generated_id is None:
            self._generated_id = f"call_{uuid4().hex[:24]}"
        return self._generated_id

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        if len(self._fragments) > 1:
            self._fragments = ["".join(self._fragments)]
        return self._fragments[0] if self._fragments else ""

    @property
    def is_complete(self) -> bool:
        """Whether the arguments so far are a JSON object. The last character is a cheap test: names may come with each delta."""
        last = next((text.rstrip()[-1:] for text in reversed(self._fragments) if not text.isspace()), " ")
        return last in _CLOSING and parse_arguments(self.arguments) is not None

    def set_id(self, call_id: str | None) -> str | None:
        """Set the id on the wire, and return the id of the call where it is the first."""
        if call_id is None or self.service_id is not None:
            return None
        self.service_id = call_id
        return self.id

    def append_name(self, name: str | None) -> str | None:
        """Append to the name, and return what was appended: nothing where the name is repeated."""
        if name is None or (self.name and (self.size or name == self.name)):
            return None
        self.name += name
        return name

    def append(self, text: str) -> str:
        """Append to the arguments, and return what was appended: an empty object for null, and nothing while they are quoted."""
        if not self.size:
            text = "{}" if text.strip() == "null" else text.lstrip()
            self.is_quoted = text.startswith('"')
        self._fragments.append(text)
        self.size += len(text)
        return "" if self.is_quoted else text


ToolCallUpdate = tuple[AssembledToolCall, str | None, str | None, str]
"""What one delta changes: the call, with the delta applied; the id, where the delta is the first to carry it; what it adds to the
name, if anything; and what it adds to the arguments. A plain tuple, because there is one for every token."""


class ToolCallAssembler:
    """Assembles the tool calls of one streamed message: `calls` are those so far, in the order in which they started."""

    def __init__(self) -> None:
        self.calls: list[AssembledToolCall] = []
        self._by_index: dict[Any, AssembledToolCall] = {}
        self._by_id: dict[str, AssembledToolCall] = {}

    def add(self, deltas: Iterable[Any]) -> list[ToolCallUpdate]:
        """Apply the `tool_calls` of one chunk and return what each delta changes; values that are not objects are skipped."""
        updates: list[ToolCallUpdate] = []
        for delta in deltas:
            if not isinstance(delta, dict):
                continue
            index, call_id, name, arguments = _fields(delta)
            call = self._by_index.get(index) if call_id is None and name is None else None
            if call is None:
                call = self._find(index, call_id, name, arguments)
                call_id = call.set_id(call_id)
                name = call.append_name(name)
            updates.append((call, call_id, name, call.append(arguments) if arguments else ""))
        return updates

    def _find(self, index: Any, call_id: str | None, name: str | None, arguments: str | None) -> AssembledToolCall:
        """Return the call that a delta continues, or the new one that it starts."""
        call = self._match(index, call_id)
        if call is None or _starts_new_call(call, index, call_id, name, arguments):
            call = AssembledToolCall(len(self.calls), index)
            self.calls.append(call)
            if index is not None:
                self._by_index[index] = call
        elif call.index is None and index is not None:
            call.index = index
            self._by_index[index] = call
        if call_id is not None and call.service_id is None:
            call.id_is_taken = call_id in self._by_id
            self._by_id[call_id] = call
        return call

    def _match(self, index: Any, call_id: str | None) -> AssembledToolCall | None:
        """Return the call that a delta names by its index or its id; without both, the latest."""
        latest = self.calls[-1] if self.calls else None
        call = latest if index is None else self._by_index.get(index)
        if call_id is not None and (call is None or call.service_id != call_id):
            namesake = self._by_id.get(call_id)
            if namesake is not None and (index is None or namesake.index is None or namesake.index == index):
                return namesake
        if call is None and latest is not None and latest.index is None:
            return latest
        return call


def _starts_new_call(call: AssembledToolCall, index: Any, call_id: str | None, name: str | None, arguments: str | None) -> bool:
    """Whether a delta that matches `call` cannot continue it."""
    has_new_id = call_id is not None and call_id != call.service_id
    if has_new_id and call.service_id is not None:
        # Some engines give every delta an id of its own: an id beside further arguments starts nothing.
        return name is not None or arguments is None
    if name is None or not call.name:
        return False
    if name == call.name:
        return (call.service_id is None or bool(arguments and arguments.strip())) and call.is_complete
    return has_new_id or call.size > 0 or (call.service_id is None and (index is None or index != call.index))


def whole_tool_calls(tool_calls: Iterable[Any] | None) -> list[AssembledToolCall]:
    """Return the `tool_calls` of a message that was not streamed; values that are not objects are skipped."""
    calls: list[AssembledToolCall] = []
    for index, call_id, name, arguments in (_fields(item) for item in tool_calls or () if isinstance(item, dict)):
        call = AssembledToolCall(len(calls), index)
        call.service_id = call_id
        call.id_is_taken = any(call_id == other.service_id for other in calls)
        call.name = name or ""
        call.append(arguments or "")
        calls.append(call)
    return calls


def _fields(delta: dict[str, Any]) -> tuple[Any, str | None, str | None, str | None]:
    """Return index, id, name and arguments. Empty ids and names are None; arguments are None where there is no function."""
    function = delta.get("function")
    if not function:
        function = delta.get("custom") or delta  # a tool of free text, or a call in the format of Ollama
        if not isinstance(function, dict) or not (function.get("name") or any(name in function for name in _ARGUMENTS)):
            return delta.get("index"), delta.get("id") or None, None, None
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        value = next((function[name] for name in _ARGUMENTS if function.get(name) is not None), "")
        arguments = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return delta.get("index"), delta.get("id") or None, function.get("name") or None, arguments


def wire_call(call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    """Return a tool call of a message in a request."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call_id or "", "type": "function", "function": {"name": name or "", "arguments": text}}


def parse_arguments(arguments: Any) -> dict[str, Any] | None:
    """Return complete arguments as a dict, and None where they are not a JSON object. Nothing, or null, is an empty object."""
    if arguments is None or isinstance(arguments, dict):
        return arguments or {}
    try:
        value = _parse(arguments) if arguments.strip() else {}
        if isinstance(value, str):  # some servers encode twice
            value = _parse(value)
    except (ValueError, AttributeError, RecursionError):
        return None
    return {} if value is None else value if isinstance(value, dict) else None


def _parse(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        # Engines put raw line breaks into strings, and cut characters in two.
        return json.loads(lenient_json(text.encode("utf-8", "replace")), strict=False)
