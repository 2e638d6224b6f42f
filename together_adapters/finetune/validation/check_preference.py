"""Checks preferences: an input and two outputs, one of which is preferred."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import RowFindings, kind_of
from together_adapters.finetune.validation.check_messages import check_message, check_messages, check_role, text_answer
from together_adapters.finetune.validation.check_tools import ToolCallTracker, check_tools

_KEYS: Final = frozenset({"messages", "tools"})


def check_preference(findings: RowFindings, row: dict[str, Any]) -> None:
    """Checks a row of the preference format."""
    tool_names = _check_input(findings, row["input"])
    before = findings.chars
    outputs = [_check_output(findings, row[name], name, tool_names) for name in ("preferred_output", "non_preferred_output")]
    findings.trained_chars += findings.chars - before
    if None not in outputs and outputs[0] == outputs[1]:
        findings.add("pref_outputs_identical", "non_preferred_output", "the two outputs are identical")


def _check_input(findings: RowFindings, value: Any) -> set[str] | None:
    if not isinstance(value, dict):
        findings.add("pref_input_not_object", "input", f"input must be an object with messages, not {kind_of(value)}", value)
        return None
    tool_names = check_tools(findings, value["tools"], "input.tools") if "tools" in value else None
    for key in [key for key in value if key not in _KEYS]:
        findings.add("extra_column", f"input.{key[:80]}", f"{key[:60]!r} is not a field of input")
    if "messages" not in value:
        findings.add("pref_input_messages_missing", "input", "input has no messages")
    elif check_messages(findings, value["messages"], "input.messages", tool_names, for_training=False) == "assistant":
        findings.add("pref_input_ends_with_assistant", "input.messages", "input ends with an assistant message")
    return tool_names


def _check_output(findings: RowFindings, value: Any, path: str, tool_names: set[str] | None) -> Any:
    """Checks an output; returns what is compared with the other one."""
    if (text := text_answer(findings, value)) is not None:
        return text, [], ""
    if not isinstance(value, list):
        findings.add("pref_output_not_list", path, f"{path} must be a list of one message, not {kind_of(value)}", value)
        return None
    if len(value) != 1:
        findings.add("pref_output_not_exactly_one", path, f"{path} must have one message, not {len(value)}")
        return None
    message, message_path = value[0], (path, 0)
    if not isinstance(message, dict):
        findings.add("message_not_object", message_path, f"a message must be an object, not {kind_of(message)}", message)
        return None
    if "role" not in message:
        findings.add("pref_output_role_missing", message_path, "the message of an output must have the role assistant")
    elif (role := check_role(findings, message, message_path)) not in (None, "assistant"):
        text = f"the message of an output must have the role assistant, not {role}"
        findings.add("pref_output_role_not_assistant", (message_path, "role"), text, role)
    findings.count_role("assistant")
    tracker = ToolCallTracker(findings, tool_names)
    check_message(findings, message, message_path, "assistant", tracker, "pref_output_content_missing")
    return _comparable(message)


def _comparable(message: dict[str, Any]) -> Any:
    """Returns the content, calls and reasoning of an output, independent of how they are written."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text")) for part in content)
    calls = message.get("tool_calls")
    functions = [call.get("function") if isinstance(call, dict) else call for call in calls] if isinstance(calls, list) else []
    return content or "", functions, message.get("reasoning") or message.get("reasoning_content") or ""
