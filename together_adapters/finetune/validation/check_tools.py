"""Checks tools: their declarations, and that every call has a declaration and a result."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from together_adapters.finetune.findings import JsonPath, RowFindings, kind_of
from together_adapters.finetune.validation.json_values import copy_json, is_finite

_MAX_DECLARATIONS: Final = 8
_MAX_DECLARATION_CHARS: Final = 65_536
_KEYS_OF_CALL: Final = 3
_KEYS_OF_FUNCTION: Final = 2


class _Declaration(NamedTuple):
    """A valid declaration of tools, copied, since the caller may alter the row."""

    tools: list[Any]
    names: set[str]
    chars: int
    types: list[tuple[tuple[Any, ...], type]]  # by path, since 1, 1.0 and true are equal but not equally long

    def matches(self, tools: list[Any]) -> bool:
        return self.tools == tools and all(type(reduce(getitem, path, tools)) is kind for path, kind in self.types)


def check_tools(findings: RowFindings, tools: Any, path: JsonPath) -> set[str] | None:
    """Checks a declaration of tools; returns their names, or None if nothing is declared."""
    declarations: list[_Declaration] = findings.declarations
    for declaration in declarations:
        if declaration.matches(tools):
            findings.has_tools = True
            findings.chars += declaration.chars
            return declaration.names
    count, chars = len(findings.items), findings.chars
    names = _check_tools(findings, tools, path)
    findings.has_unchecked_values = findings.has_unchecked_values or not is_finite(tools)
    chars = findings.chars - chars
    if names and len(findings.items) == count and not findings.has_unchecked_values and chars <= _MAX_DECLARATION_CHARS:
        declarations.insert(0, _Declaration(copy_json(tools), names, chars, list(_value_types(tools))))
        del declarations[_MAX_DECLARATIONS:]
    return names


def _value_types(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], type]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _value_types(item, (*path, key))
    elif value is not None and type(value) is not str:
        yield path, type(value)


def _check_tools(findings: RowFindings, tools: Any, path: JsonPath) -> set[str] | None:
    if tools is None:
        findings.add("null_field", path, "tools is null")
        return None
    if not isinstance(tools, list):
        findings.add("tools_not_list", path, f"tools must be a list, not {kind_of(tools)}", tools)
        return None
    names: set[str] = set()
    for index, tool in enumerate(tools):
        tool_path = path, index
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(name, str) or not name:
            findings.add("tool_invalid", tool_path, "a tool must be a function with a name", tool)
        elif not isinstance(parameters := function.get("parameters", {}), dict | None):  # type: ignore[union-attr]
            message = f"parameters must be an object, not {kind_of(parameters)}"
            findings.add("tool_invalid", ((tool_path, "function"), "parameters"), message)
        elif name in names:
            findings.add("tool_duplicate", tool_path, f"the tool {name[:60]!r} is declared twice")
        if isinstance(name, str):
            names.add(name)
    findings.has_tools = findings.has_tools or bool(tools)
    findings.chars += len(to_json(tools, inf_nan_mode="constants").decode())
    return names


class ToolCallTracker:
    """Follows the tool calls of one conversation until their results; `open_calls` are those without a result, by id."""

    def __init__(self, findings: RowFindings, tool_names: set[str] | None) -> None:
        self.open_calls: dict[str, JsonPath] = {}
        self._findings = findings
        self._tool_names = tool_names
        self._has_results = False
        self._reported_missing_tools = False

    def add_calls(self, calls: list[Any], path: JsonPath) -> None:
        """Checks the calls of an assistant message."""
        findings = self._findings
        findings.has_tools = findings.has_tools or bool(calls)
        findings.has_parallel_tool_calls = findings.has_parallel_tool_calls or len(calls) > 1
        self._has_results = False
        for index, call in enumerate(calls):
            call_path = path, index
            if not isinstance(call, dict):
                findings.add("tool_call_invalid", call_path, f"a tool call must be an object, not {kind_of(call)}", call)
                continue
            self._check_id(call, call_path)
            if call.get("type") != "function":
                message = "the type of a tool call must be function"
                findings.add("tool_call_invalid", (call_path, "type"), message, call.get("type"))
            function = call.get("function")
            if isinstance(function, dict):
                has_more = len(call) > _KEYS_OF_CALL or len(function) > _KEYS_OF_FUNCTION
                findings.has_unchecked_values = findings.has_unchecked_values or has_more
                self._check_function(function, (call_path, "function"))
            else:
                message = f"function must be an object, not {kind_of(function)}"
                findings.add("tool_call_invalid", (call_path, "function"), message, function)

    def add_result(self, message: dict[str, Any], path: JsonPath) -> None:
        """Checks a tool message."""
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            self._findings.add("tool_result_unmatched", path, "a tool message must have the tool_call_id of a call", call_id)
        elif self.open_calls.pop(call_id, None) is None:
            text = f"no open tool call before this message has the id {call_id[:60]!r}"
            self._findings.add("tool_result_unmatched", (path, "tool_call_id"), text, call_id)
        self._has_results = True

    def close(self) -> None:
        """Reports open calls, where the conversation goes on without their results."""
        for path in self.open_calls.values():
            self._findings.add("tool_call_unanswered", path, "the conversation continues without a result of this call")
        self.open_calls.clear()

    def finish(self) -> None:
        """Ends the conversation: the calls of its last message may be open, but not if only some of them have results."""
        if self._has_results:
            self.close()

    def _check_id(self, call: dict[str, Any], path: JsonPath) -> None:
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            message = f"the id of a tool call must be a non-empty string, not {kind_of(call_id)}"
            self._findings.add("tool_call_invalid", (path, "id"), message, call_id)
        elif call_id in self.open_calls:
            message = f"another open tool call has the id {call_id[:60]!r}"
            self._findings.add("tool_call_id_duplicate", (path, "id"), message, call_id)
        else:
            self.open_calls[call_id] = path

    def _check_function(self, function: dict[str, Any], path: JsonPath) -> None:
        findings = self._findings
        name = function.get("name")
        if not isinstance(name, str) or not name:
            message = f"the name of a function must be a non-empty string, not {kind_of(name)}"
            findings.add("tool_call_invalid", (path, "name"), message, name)
        else:
            findings.count_tool(name[:80])
            findings.chars += len(name)
            self._check_name(name, (path, "name"))
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            message = f"arguments must be a string, not {kind_of(arguments)}"
            findings.add("tool_arguments_not_string", (path, "arguments"), message, arguments)
        else:
            findings.chars += len(arguments)
            if not is_json_object(arguments):
                message = "arguments must be a JSON object, as a string"
                findings.add("tool_arguments_not_object", (path, "arguments"), message, arguments)

    def _check_name(self, name: str, path: JsonPath) -> None:
        if self._tool_names is None:
            if not self._reported_missing_tools:
                self._reported_missing_tools = True
                self._findings.add("tools_missing", path, "a tool is called, but the row declares no tools")
        elif name not in self._tool_names:
            self._findings.add("tool_undeclared", path, f"the tool {name[:60]!r} is called but not declared", name)


def is_json_object(text: str) -> bool:
    """Whether a string is a JSON object."""
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except ValueError:
        return False
