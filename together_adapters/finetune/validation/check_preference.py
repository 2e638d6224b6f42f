"""Preferences: a question with two answers, one of them better."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import RowFindings, kind_of
from together_adapters.finetune.validation.check_messages import check_message, check_messages, check_role
from together_adapters.finetune.validation.check_tools import ToolCallTracker, check_tools
from together_adapters.finetune.validation.fast_path import text_answer

_KEYS: Final = frozenset({"messages", "tools"})


def check_preference(notes: RowFindings, row: dict[str, Any]) -> None:
    """Look at a row of two answers."""
    declared = _check_input(notes, row["input"])
    before = notes.chars
    outputs = [_check_output(notes, row[name], name, declared) for name in ("preferred_output", "non_preferred_output")]
    notes.trained_chars += notes.chars - before
    if None not in outputs and outputs[0] == outputs[1]:
        notes.add("pref_outputs_identical", "non_preferred_output", "the two answers are the same")


def _check_input(notes: RowFindings, given: Any) -> set[str] | None:
    if not isinstance(given, dict):
        notes.add("pref_input_not_object", "input", f"input must be an object with messages, not {kind_of(given)}", given)
        return None
    declared = check_tools(notes, given["tools"], "input.tools") if "tools" in given else None
    for key in given.keys() - _KEYS:
        notes.add("extra_column", f"input.{key[:80]}", f"{key[:60]!r} is not part of an input")
    if "messages" not in given:
        notes.add("pref_input_messages_missing", "input", "input has no messages")
    elif check_messages(notes, given["messages"], "input.messages", declared, trains=False) == "assistant":
        notes.add("pref_input_ends_with_assistant", "input.messages", "the input ends with an answer")
    return declared


def _check_output(notes: RowFindings, given: Any, path: str, declared: set[str] | None) -> Any:
    """Look at an answer; return what is to be compared with the other one."""
    if (text := text_answer(notes, given)) is not None:
        return text, [], ""
    if not isinstance(given, list):
        notes.add("pref_output_not_list", path, f"{path} must be a list of one message, not {kind_of(given)}", given)
        return None
    if len(given) != 1:
        notes.add("pref_output_not_exactly_one", path, f"{path} holds {len(given)} messages instead of one")
        return None
    message, here = given[0], (path, 0)
    if not isinstance(message, dict):
        notes.add("message_not_object", here, f"a message must be an object, not {kind_of(message)}", message)
        return None
    if "role" not in message:
        notes.add("pref_output_role_missing", here, "an answer needs the role assistant")
    elif (role := check_role(notes, message, here)) not in (None, "assistant"):
        notes.add("pref_output_role_not_assistant", (here, "role"), f"an answer has the role assistant, not {role}", role)
    notes.count_role("assistant")
    check_message(notes, message, here, "assistant", ToolCallTracker(notes, declared), "pref_output_content_missing")
    return _said(message)


def _said(message: dict[str, Any]) -> Any:
    """What an answer says, apart from how it is written."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text")) for part in content)
    calls = message.get("tool_calls")
    functions = [call.get("function") if isinstance(call, dict) else call for call in calls] if isinstance(calls, list) else []
    return content or "", functions, message.get("reasoning") or message.get("reasoning_content") or ""
