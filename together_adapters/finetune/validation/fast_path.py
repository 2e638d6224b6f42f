"""The short way for conversations of texts alone, the most common ones: everything else goes the long way.

It may accept only what the long way finds nothing in; a test holds both against each other.
"""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.findings import RowFindings

_KEYS: Final = 2


def is_text_conversation(notes: RowFindings, row: dict[str, Any]) -> bool:
    """Whether a row is a plainly good conversation, and nothing else; its facts are then noted."""
    messages = row.get("messages") if len(row) == 1 else None
    if type(messages) is list and messages and are_text_messages(notes, messages):
        notes.format = "conversation"
        return True
    return False


def are_text_messages(notes: RowFindings, messages: list[Any], *, trains: bool = True) -> bool:
    """Whether messages are plainly good; their facts are then noted.

    Plain is: perhaps a system message, then user and assistant in turn, all of them texts.

    Args:
        notes: Where to note the facts.
        messages: The messages; at least one.
        trains: Whether the last is an answer that is trained on; else it is a question.
    """
    chars = trained = 0
    last = None
    try:
        for message in messages:
            role, content = message["role"], message["content"]
            if type(content) is not str or len(message) != _KEYS or type(message) is not dict:
                return False
            chars += len(content)
            if role == "assistant":
                if last != "user" or not content or content.isspace():
                    return False
                trained += len(content)
            elif last == "user" if role == "user" else role != "system" or last is not None:
                return False
            last = role
    except (KeyError, TypeError):
        return False
    if last != ("assistant" if trains else "user"):
        return False
    turns, roles = len(messages), notes.roles
    notes.turns += turns
    notes.chars += chars
    notes.trained_chars += trained if trains else 0
    if messages[0]["role"] == "system":
        roles["system"] = roles.get("system", 0) + 1
        turns -= 1
    roles["user"] = roles.get("user", 0) + (turns + 1) // 2
    if turns > 1:
        roles["assistant"] = roles.get("assistant", 0) + turns // 2
    return True


def text_answer(notes: RowFindings, messages: Any) -> str | None:
    """Return the text of the only message, where it is plainly a good answer; its facts but for training are then noted."""
    message = messages[0] if type(messages) is list and len(messages) == 1 else None
    if type(message) is not dict or len(message) != _KEYS or message.get("role") != "assistant":
        return None
    content = message.get("content")
    if type(content) is not str or not content or content.isspace():
        return None
    notes.count_role("assistant")
    notes.chars += len(content)
    return content
