"""The short way for rows that are plainly good: they are accepted at a glance, everything else goes the long way.

It may accept only what the long way finds nothing in; a test holds both against each other.
"""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.notes import Notes

_MESSAGE: Final = frozenset({"role", "content"})


def is_plain(notes: Notes, row: dict[str, Any]) -> bool:
    """Whether a row is plainly good; its facts are then noted.

    Plain is a conversation of texts alone: perhaps a system message, then user and assistant in turn, to an answer.
    """
    if len(row) != 1:
        return False
    messages = row.get("messages")
    if type(messages) is not list or not messages:
        return False
    chars = trained = 0
    expected, other = "user", "assistant"
    begun = begins_with_system = False
    for message in messages:
        if type(message) is not dict or message.keys() != _MESSAGE:
            return False
        content, role = message["content"], message["role"]
        if type(content) is not str:
            return False
        chars += len(content)
        if role == expected:
            begun = True
            if role == "assistant":
                if not content or content.isspace():
                    return False
                trained += len(content)
            expected, other = other, expected
        elif role == "system" and not begun and not begins_with_system:
            begins_with_system = True
        else:
            return False
    turns = len(messages) - begins_with_system
    if expected == "assistant" or turns == 0:
        return False
    notes.format = "conversation"
    notes.chars += chars
    notes.trained_chars += trained
    notes.turns += len(messages)
    roles = notes.roles
    roles["user"] = roles.get("user", 0) + turns // 2
    roles["assistant"] = roles.get("assistant", 0) + turns // 2
    if begins_with_system:
        roles["system"] = roles.get("system", 0) + 1
    return True
