"""Tools: what is declared, what is called, and whether every call and its result belong together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json, to_json

from together_adapters.finetune.notes import Notes, kind_of


def check_tools(notes: Notes, tools: Any, path: str) -> set[str] | None:
    """Look at a declaration of tools; return their names, or None when nothing is declared."""
    if tools is None:
        notes.add("null_field", path, "tools is null")
        return None
    if not isinstance(tools, list):
        notes.add("tools_not_list", path, f"tools must be a list, not {kind_of(tools)}", tools)
        return None
    names: set[str] = set()
    for place, tool in enumerate(tools):
        here = f"{path}[{place}]"
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(name, str) or not name:
            notes.add("tool_invalid", here, "a tool must be a function with a name", tool)
        elif not isinstance(parameters := function.get("parameters", {}), dict | None):  # type: ignore[union-attr]
            notes.add("tool_invalid", f"{here}.function.parameters", f"parameters must be an object, not {kind_of(parameters)}")
        elif name in names:
            notes.add("tool_duplicate", here, f"the tool {name[:60]!r} is declared twice")
        if isinstance(name, str):
            names.add(name)
    notes.has_tools = notes.has_tools or bool(tools)
    notes.chars += len(to_json(tools, inf_nan_mode="constants").decode())
    return names


class Calls:
    """The calls of one conversation, from the message that makes them to the results that answer them."""

    def __init__(self, notes: Notes, declared: set[str] | None) -> None:
        self._notes = notes
        self._declared = declared
        self._open: dict[str, str] = {}
        self._answered = False
        self._told_missing = False

    def make(self, calls: list[Any], path: str) -> None:
        """Look at the calls of an assistant message."""
        notes = self._notes
        notes.has_tools = notes.has_tools or bool(calls)
        notes.has_parallel_tool_calls = notes.has_parallel_tool_calls or len(calls) > 1
        self._answered = False
        for place, call in enumerate(calls):
            here = f"{path}[{place}]"
            if not isinstance(call, dict):
                notes.add("tool_call_invalid", here, f"a call must be an object, not {kind_of(call)}", call)
                continue
            self._check_id(call, here)
            if call.get("type") != "function":
                notes.add("tool_call_invalid", f"{here}.type", "the type of a call must be function", call.get("type"))
            function = call.get("function")
            if isinstance(function, dict):
                self._check_function(function, f"{here}.function")
            else:
                notes.add(
                    "tool_call_invalid", f"{here}.function", f"function must be an object, not {kind_of(function)}", function
                )

    def answer(self, message: dict[str, Any], path: str) -> None:
        """Look at a result."""
        name = message.get("tool_call_id")
        if not isinstance(name, str) or not name:
            self._notes.add("tool_result_unmatched", path, "a tool message needs the tool_call_id of a call", name)
        elif self._open.pop(name, None) is None:
            self._notes.add(
                "tool_result_unmatched", f"{path}.tool_call_id", f"no open call before it has the id {name[:60]!r}", name
            )
        self._answered = True

    def close(self) -> None:
        """Make sure that nothing is open where the conversation goes on without results."""
        self._tell(self._open.values())
        self._open.clear()

    def end(self) -> None:
        """The conversation ends. Calls may stay open in its last message, but not when some of them were answered."""
        if self._answered:
            self.close()

    def _tell(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._notes.add("tool_call_unanswered", path, "the conversation goes on without the result of this call")

    def _check_id(self, call: dict[str, Any], path: str) -> None:
        name = call.get("id")
        if not isinstance(name, str) or not name:
            self._notes.add("tool_call_invalid", f"{path}.id", f"the id of a call must be a text, not {kind_of(name)}", name)
        elif name in self._open:
            self._notes.add("tool_call_id_duplicate", f"{path}.id", f"the id {name[:60]!r} belongs to another open call", name)
        else:
            self._open[name] = path

    def _check_function(self, function: dict[str, Any], path: str) -> None:
        notes = self._notes
        name = function.get("name")
        if not isinstance(name, str) or not name:
            notes.add("tool_call_invalid", f"{path}.name", f"the name of a function must be a text, not {kind_of(name)}", name)
        else:
            notes.count_tool(name[:80])
            notes.chars += len(name)
            self._check_declared(name, f"{path}.name")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            notes.add(
                "tool_arguments_not_string", f"{path}.arguments", f"arguments must be a text, not {kind_of(arguments)}", arguments
            )
        else:
            notes.chars += len(arguments)
            if not is_object(arguments):
                notes.add(
                    "tool_arguments_not_object", f"{path}.arguments", "arguments must be the text of a JSON object", arguments
                )

    def _check_declared(self, name: str, path: str) -> None:
        if self._declared is None:
            if not self._told_missing:
                self._told_missing = True
                self._notes.add("tools_missing", path, "a tool is called, but the row declares none")
        elif name not in self._declared:
            self._notes.add("tool_undeclared", path, f"the tool {name[:60]!r} is called but not declared", name)


def is_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except ValueError:
        return False
