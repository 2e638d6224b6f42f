"""Checks messages: roles and their order, content, weights, reasoning, tool calls.

Conversations with text only are the most common rows and checked at once. A test compares both ways.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from together_adapters.finetune.findings import JsonPath, RowFindings, kind_of
from together_adapters.finetune.rules import MAX_IMAGES, MESSAGE_KEYS, ROLES
from together_adapters.finetune.validation.check_content import ContentSummary, check_content, refuse_blank
from together_adapters.finetune.validation.check_tools import ToolCallTracker
from together_adapters.suggestions import suggestion

_TEXT_MESSAGE_KEYS: Final = 2
"""A message with text only has a role and a content."""
_Message = dict[str, Any]
_OTHER_ROLES: Final = {"human": "user", "bot": "assistant", "model": "assistant", "ai": "assistant"}
_STRING_FIELDS: Final = frozenset({"name", "reasoning", "reasoning_content"})


def check_messages(
    findings: RowFindings, messages: Any, path: JsonPath, tool_names: set[str] | None, *, for_training: bool = True
) -> str | None:
    """Checks a conversation, or with `for_training=False` the input of a preference; returns the role of its last message."""
    if not isinstance(messages, list):
        findings.add("messages_not_list", path, f"messages must be a list, not {kind_of(messages)}", messages)
        return None
    if not messages:
        findings.add("messages_empty", path, "there are no messages")
        return None
    if are_text_messages(findings, messages, for_training=for_training):
        return "assistant" if for_training else "user"
    checker = _ConversationChecker(findings, tool_names, for_training)
    for index, message in enumerate(messages):
        checker.add(message, (path, index), index)
    checker.finish(path)
    return checker.last_role


class _ConversationChecker:
    """Checks a conversation message by message."""

    def __init__(self, findings: RowFindings, tool_names: set[str] | None, for_training: bool) -> None:
        self.last_role: str | None = None
        self._findings = findings
        self._for_training = for_training
        self._calls = ToolCallTracker(findings, tool_names)
        self._has_turns = False
        self._has_invalid_roles = False
        self._answers = 0
        self._trained_answers = 0
        self._images = 0
        self._uses_parts: bool | None = None
        self._reported_images = False
        self._reported_mixed = False

    def add(self, message: Any, path: JsonPath, index: int) -> None:
        """Checks the next message."""
        findings = self._findings
        if not isinstance(message, dict):
            findings.turns += 1
            findings.add("message_not_object", path, f"a message must be an object, not {kind_of(message)}", message)
            self.last_role, self._has_turns = None, True
            return
        role = message.get("role")
        if type(role) is not str or role not in ROLES:
            role = check_role(findings, message, path)
            self._has_invalid_roles = self._has_invalid_roles or role is None
        findings.count_role(role or "other")
        if role in (self.last_role, "system") or not self._has_turns or self._calls.open_calls:
            self._check_order(role, path, index)
        before = findings.chars
        content = check_message(findings, message, path, role, self._calls)
        if role == "assistant":
            self._count_answer(message.get("weight"), findings.chars - before)
        if content is not None and (content.images or content.parts is not self._uses_parts):
            self._count_content(message, path, content)
        self.last_role = role

    def finish(self, path: JsonPath) -> None:
        """Checks the conversation as a whole."""
        findings = self._findings
        self._calls.finish()
        if self._images > MAX_IMAGES and not self._reported_images:
            findings.add("too_many_images", path, f"the row has {self._images} images; {MAX_IMAGES} are allowed")
        if not self._for_training:
            return
        if not self._answers:
            note = " beside those of invalid roles" if self._has_invalid_roles else ""
            findings.add("no_assistant_message", path, f"there is no assistant message{note}")
        elif not self._trained_answers:
            findings.add("nothing_to_train", path, "every assistant message has weight 0")
        elif self.last_role in ("user", "tool"):
            findings.add(f"ends_with_{self.last_role}", path, f"the conversation ends with a {self.last_role} message")

    def _check_order(self, role: str | None, path: JsonPath, index: int) -> None:
        findings = self._findings
        if role == "system" and index:
            findings.add("system_not_first", path, "the system message is not the first message")
        elif role is not None and role == self.last_role and role != "tool":
            findings.add("roles_do_not_alternate", path, f"two consecutive messages have the role {role}")
        if role != "system":
            if role == "assistant" and not self._has_turns:
                findings.add("leading_assistant", path, "the conversation starts with an assistant message")
            self._has_turns = True
        if role != "tool" and self.last_role is not None:
            self._calls.close()

    def _count_answer(self, weight: Any, chars: int) -> None:
        self._answers += 1
        self._trained_answers += weight != 0 or isinstance(weight, bool)
        if self._for_training and weight != 0:
            self._findings.trained_chars += chars

    def _count_content(self, message: _Message, path: JsonPath, content: ContentSummary) -> None:
        if content.images:
            self._images += content.images
            self._reported_images = self._reported_images or content.images > MAX_IMAGES
            weight = message.get("weight")
            if isinstance(weight, int | float) and weight != 0:
                text = "a message with an image must have weight 0 or none"
                self._findings.add("image_message_weight_nonzero", (path, "weight"), text, weight)
        if content.empty and not content.parts:
            return
        if self._uses_parts is None:
            self._uses_parts = content.parts
        elif self._uses_parts != content.parts and not self._reported_mixed:
            self._reported_mixed = True
            self._findings.add("content_mixed", (path, "content"), "some contents are strings, others are lists of parts")


def check_role(findings: RowFindings, message: _Message, path: JsonPath) -> str | None:
    """Returns the role of a message, or None if it has no valid one."""
    role = message.get("role")
    if isinstance(role, str) and role in ROLES:
        return role
    if "role" not in message:
        findings.add("role_missing", path, "a message must have a role")
    elif not isinstance(role, str):
        findings.add("role_not_string", (path, "role"), f"role must be a string, not {kind_of(role)}", role)
    else:
        findings.add("role_unknown", (path, "role"), f"unknown role {role[:60]!r}{_role_advice(role[:60])}", role)
    return None


@lru_cache
def _role_advice(role: str) -> str:
    advice = {"developer": "; use a system message", "function": "; use the role tool for results"}
    return advice.get(role) or suggestion(role, ROLES, _OTHER_ROLES)


def check_message(
    findings: RowFindings,
    message: _Message,
    path: JsonPath,
    role: str | None,
    calls: ToolCallTracker,
    code: str = "content_missing",
) -> ContentSummary | None:
    """Checks the fields of a message except its role; returns a summary of its content. `code` is for a missing one."""
    is_text = len(message) == _TEXT_MESSAGE_KEYS and "role" in message and "content" in message
    has_calls = not is_text and _check_other_fields(findings, message, path, role, calls)
    if role == "tool":
        calls.add_result(message, path)
    content = message.get("content")
    if content is None and has_calls:
        return None
    if content is None and "content" not in message:
        findings.add(code, path, "a message must have content" + (" or tool calls" if role == "assistant" else ""))
        return None
    summary = check_content(findings, content, (path, "content"), role or "user")
    if role == "assistant" and not has_calls:
        refuse_blank(findings, summary, (path, "content"), "the content of the assistant message")
    return summary


def _check_other_fields(
    findings: RowFindings, message: _Message, path: JsonPath, role: str | None, calls: ToolCallTracker
) -> bool:
    """Checks all fields but role and content; returns whether tool calls can stand in for content."""
    if not message.keys() <= MESSAGE_KEYS:
        for key, value in message.items():
            if key not in MESSAGE_KEYS:
                findings.add("unknown_message_key", (path, key[:80]), f"{key[:60]!r} is not a field of a message", value)
    if "weight" in message:
        _check_weight(findings, message["weight"], (path, "weight"))
    if not _STRING_FIELDS.isdisjoint(message) or (role != "tool" and "tool_call_id" in message):
        _check_string_fields(findings, message, path, role)
    return "tool_calls" in message and _check_calls(findings, message, (path, "tool_calls"), role, calls)


def _check_weight(findings: RowFindings, weight: Any, path: JsonPath) -> None:
    findings.has_message_weights = True
    if isinstance(weight, bool) or not isinstance(weight, int):
        findings.add("message_weight_not_int", path, f"weight must be the integer 0 or 1, not {weight!r:.40}", weight)
    elif weight not in (0, 1):
        findings.add("message_weight_range", path, "weight must be 0 or 1", weight)


def _check_string_fields(findings: RowFindings, message: _Message, path: JsonPath, role: str | None) -> None:
    """Checks name, reasoning and tool_call_id."""
    for key in ("name", "reasoning", "reasoning_content", "tool_call_id"):
        if key in message and message[key] is None and not (key == "tool_call_id" and role == "tool"):
            findings.add("null_field", (path, key), f"{key} is null")
    name = message.get("name")
    if name is not None and not isinstance(name, str):
        findings.add("name_not_string", (path, "name"), f"name must be a string, not {kind_of(name)}", name)
    findings.chars += len(name) if isinstance(name, str) else 0
    if message.get("tool_call_id") is not None and role not in ("tool", None):
        findings.add("tool_call_id_outside_tool", (path, "tool_call_id"), f"a message with role {role} has a tool_call_id")
    keys = [key for key in ("reasoning", "reasoning_content") if message.get(key) is not None]
    for key in keys:
        if not isinstance(message[key], str):
            text = f"{key} must be a string, not {kind_of(message[key])}"
            findings.add("reasoning_not_string", (path, key), text, message[key])
        elif role == "assistant":
            findings.chars += len(message[key])
            findings.has_reasoning = findings.has_reasoning or bool(message[key])
        elif role is not None:
            findings.add("reasoning_outside_assistant", (path, key), f"a message with role {role} has reasoning")
    if len(keys) > 1:
        findings.add("reasoning_twice", path, "the message has both reasoning and reasoning_content")


def _check_calls(findings: RowFindings, message: _Message, path: JsonPath, role: str | None, calls: ToolCallTracker) -> bool:
    """Checks tool calls; returns whether they can stand in for content."""
    tool_calls = message["tool_calls"]
    if tool_calls is None:
        if message.get("content") is not None:
            findings.add("null_field", path, "tool_calls is null")
        return False
    if not isinstance(tool_calls, list):
        findings.add("tool_calls_not_list", path, f"tool_calls must be a list, not {kind_of(tool_calls)}", tool_calls)
        return True
    if tool_calls and role not in ("assistant", None):
        findings.add("tool_calls_outside_assistant", path, f"a message with role {role} has tool calls")
        return False
    if role == "assistant":
        calls.add_calls(tool_calls, path)
    return bool(tool_calls)


def is_text_conversation(findings: RowFindings, row: dict[str, Any]) -> bool:
    """Whether a row is a valid conversation with text only; counts its facts if it is."""
    messages = row.get("messages") if len(row) == 1 else None
    if type(messages) is list and messages and are_text_messages(findings, messages):
        findings.format = "conversation"
        return True
    return False


def are_text_messages(findings: RowFindings, messages: list[Any], *, for_training: bool = True) -> bool:
    """Whether messages with text only are valid: for training, the last one must be an answer, else a question; counts their facts."""
    chars = trained_chars = 0
    previous = None
    try:
        for message in messages:
            role, content = message["role"], message["content"]
            if type(content) is not str or len(message) != _TEXT_MESSAGE_KEYS or type(message) is not dict:
                return False
            chars += len(content)
            if role == "assistant":
                if previous != "user" or not content or content.isspace():
                    return False
                trained_chars += len(content)
            elif previous == "user" if role == "user" else role != "system" or previous is not None:
                return False
            previous = role
    except (KeyError, TypeError):
        return False
    if previous != ("assistant" if for_training else "user"):
        return False
    turns, roles = len(messages), findings.roles
    findings.turns += turns
    findings.chars += chars
    findings.trained_chars += trained_chars if for_training else 0
    if messages[0]["role"] == "system":
        roles["system"] = roles.get("system", 0) + 1
        turns -= 1
    roles["user"] = roles.get("user", 0) + (turns + 1) // 2
    if turns > 1:
        roles["assistant"] = roles.get("assistant", 0) + turns // 2
    return True


def text_answer(findings: RowFindings, messages: Any) -> str | None:
    """Returns the text of the only message if it is a valid answer with text only; counts its facts, except for training."""
    message = messages[0] if type(messages) is list and len(messages) == 1 else None
    if type(message) is not dict or len(message) != _TEXT_MESSAGE_KEYS or message.get("role") != "assistant":
        return None
    content = message.get("content")
    if type(content) is not str or not content or content.isspace():
        return None
    findings.count_role("assistant")
    findings.chars += len(content)
    return content
