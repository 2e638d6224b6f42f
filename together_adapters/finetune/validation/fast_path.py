"""Fast checks of conversations with text only, which are the most common rows; all others take the full checks.

They accept only rows in which the full checks find nothing; a test compares the two.
"""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import RowFindings

_KEYS: Final = 2
"""A message with text only has a role and a content."""


def is_text_conversation(findings: RowFindings, row: dict[str, Any]) -> bool:
    """Whether a row is a valid conversation with text only; counts its facts if it is."""
    messages = row.get("messages") if len(row) == 1 else None
    if type(messages) is list and messages and are_text_messages(findings, messages):
        findings.format = "conversation"
        return True
    return False


def are_text_messages(findings: RowFindings, messages: list[Any], *, for_training: bool = True) -> bool:
    """Whether messages are an optional system message, then user and assistant in turn, with text only; counts their facts if so.

    For training, the last message must be an answer, else a question.
    """
    chars = trained_chars = 0
    previous = None
    try:
        for message in messages:
            role, content = message["role"], message["content"]
            if type(content) is not str or len(message) != _KEYS or type(message) is not dict:
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
    if type(message) is not dict or len(message) != _KEYS or message.get("role") != "assistant":
        return None
    content = message.get("content")
    if type(content) is not str or not content or content.isspace():
        return None
    findings.count_role("assistant")
    findings.chars += len(content)
    return content
