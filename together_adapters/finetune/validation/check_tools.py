"""Tools: what is declared, what is called, and whether every call and its result belong together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from together_adapters.finetune.findings import Path, RowFindings, kind_of
from together_adapters.finetune.validation.json_values import copy_json, is_finite

_KEPT: Final = 8
_KEPT_CHARS: Final = 65_536
_KEYS_OF_CALL: Final = 3
_KEYS_OF_FUNCTION: Final = 2


class _Declaration(NamedTuple):
    """A declaration of tools without faults.

    Attributes:
        tools: What is declared; a copy, since the row may be altered by whoever gave it.
        names: The names of the tools.
        chars: How many characters a model reads of it.
        others: Where what is neither text nor null stands, and its type: 1, 1.0 and true are equal, but not as long.
    """

    tools: list[Any]
    names: set[str]
    chars: int
    others: list[tuple[tuple[Any, ...], type]]

    def is_of(self, tools: list[Any]) -> bool:
        """Whether this is that declaration."""
        return self.tools == tools and all(type(reduce(getitem, way, tools)) is kind for way, kind in self.others)


def check_tools(notes: RowFindings, tools: Any, path: Path) -> set[str] | None:
    """Look at a declaration of tools; return their names, or None when nothing is declared."""
    known: list[_Declaration] = notes.declarations
    for declaration in known:
        if declaration.is_of(tools):
            notes.has_tools = True
            notes.chars += declaration.chars
            return declaration.names
    faults, chars = len(notes.findings), notes.chars
    names = _check_tools(notes, tools, path)
    notes.unseen = notes.unseen or not is_finite(tools)
    chars = notes.chars - chars
    if names and len(notes.findings) == faults and not notes.unseen and chars <= _KEPT_CHARS:
        known.insert(0, _Declaration(copy_json(tools), names, chars, list(_others(tools))))
        del known[_KEPT:]
    return names


def _others(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], type]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _others(item, (*way, key))
    elif value is not None and type(value) is not str:
        yield way, type(value)


def _check_tools(notes: RowFindings, tools: Any, path: Path) -> set[str] | None:
    if tools is None:
        notes.add("null_field", path, "tools is null")
        return None
    if not isinstance(tools, list):
        notes.add("tools_not_list", path, f"tools must be a list, not {kind_of(tools)}", tools)
        return None
    names: set[str] = set()
    for place, tool in enumerate(tools):
        here = path, place
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(name, str) or not name:
            notes.add("tool_invalid", here, "a tool must be a function with a name", tool)
        elif not isinstance(parameters := function.get("parameters", {}), dict | None):  # type: ignore[union-attr]
            notes.add(
                "tool_invalid", ((here, "function"), "parameters"), f"parameters must be an object, not {kind_of(parameters)}"
            )
        elif name in names:
            notes.add("tool_duplicate", here, f"the tool {name[:60]!r} is declared twice")
        if isinstance(name, str):
            names.add(name)
    notes.has_tools = notes.has_tools or bool(tools)
    notes.chars += len(to_json(tools, inf_nan_mode="constants").decode())
    return names


class ToolCallTracker:
    """The calls of one conversation, from the message that makes them to the results that answer them.

    Attributes:
        open: Those without a result so far, and where they are made.
    """

    def __init__(self, notes: RowFindings, declared: set[str] | None) -> None:
        self._notes = notes
        self._declared = declared
        self.open: dict[str, Path] = {}
        self._answered = False
        self._told_missing = False

    def make(self, calls: list[Any], path: Path) -> None:
        """Look at the calls of an assistant message."""
        notes = self._notes
        notes.has_tools = notes.has_tools or bool(calls)
        notes.has_parallel_tool_calls = notes.has_parallel_tool_calls or len(calls) > 1
        self._answered = False
        for place, call in enumerate(calls):
            here = path, place
            if not isinstance(call, dict):
                notes.add("tool_call_invalid", here, f"a call must be an object, not {kind_of(call)}", call)
                continue
            self._check_id(call, here)
            if call.get("type") != "function":
                notes.add("tool_call_invalid", (here, "type"), "the type of a call must be function", call.get("type"))
            function = call.get("function")
            if isinstance(function, dict):
                notes.unseen = notes.unseen or len(call) > _KEYS_OF_CALL or len(function) > _KEYS_OF_FUNCTION
                self._check_function(function, (here, "function"))
            else:
                said = f"function must be an object, not {kind_of(function)}"
                notes.add("tool_call_invalid", (here, "function"), said, function)

    def answer(self, message: dict[str, Any], path: Path) -> None:
        """Look at a result."""
        name = message.get("tool_call_id")
        if not isinstance(name, str) or not name:
            self._notes.add("tool_result_unmatched", path, "a tool message needs the tool_call_id of a call", name)
        elif self.open.pop(name, None) is None:
            said = f"no open call before it has the id {name[:60]!r}"
            self._notes.add("tool_result_unmatched", (path, "tool_call_id"), said, name)
        self._answered = True

    def close(self) -> None:
        """Make sure that nothing is open where the conversation goes on without results."""
        for path in self.open.values():
            self._notes.add("tool_call_unanswered", path, "the conversation goes on without the result of this call")
        self.open.clear()

    def end(self) -> None:
        """The conversation ends. Calls may stay open in its last message, but not when some of them were answered."""
        if self._answered:
            self.close()

    def _check_id(self, call: dict[str, Any], path: Path) -> None:
        name = call.get("id")
        if not isinstance(name, str) or not name:
            self._notes.add("tool_call_invalid", (path, "id"), f"the id of a call must be a text, not {kind_of(name)}", name)
        elif name in self.open:
            self._notes.add("tool_call_id_duplicate", (path, "id"), f"the id {name[:60]!r} belongs to another open call", name)
        else:
            self.open[name] = path

    def _check_function(self, function: dict[str, Any], path: Path) -> None:
        notes = self._notes
        name = function.get("name")
        if not isinstance(name, str) or not name:
            notes.add("tool_call_invalid", (path, "name"), f"the name of a function must be a text, not {kind_of(name)}", name)
        else:
            notes.count_tool(name[:80])
            notes.chars += len(name)
            self._check_declared(name, (path, "name"))
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            said = f"arguments must be a text, not {kind_of(arguments)}"
            notes.add("tool_arguments_not_string", (path, "arguments"), said, arguments)
        else:
            notes.chars += len(arguments)
            if not is_json_object(arguments):
                said = "arguments must be the text of a JSON object"
                notes.add("tool_arguments_not_object", (path, "arguments"), said, arguments)

    def _check_declared(self, name: str, path: Path) -> None:
        if self._declared is None:
            if not self._told_missing:
                self._told_missing = True
                self._notes.add("tools_missing", path, "a tool is called, but the row declares none")
        elif name not in self._declared:
            self._notes.add("tool_undeclared", path, f"the tool {name[:60]!r} is called but not declared", name)


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except ValueError:
        return False
