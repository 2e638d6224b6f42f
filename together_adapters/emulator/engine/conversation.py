"""The messages of a chat request, read once and forgivingly into one plain form."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.http.errors import bad_request, unprocessable

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MOST_MESSAGES: Final = 10_000
_MEDIA: Final = {
    "image_url": "an image", "image": "an image", "video_url": "a video", "audio_url": "an audio clip",
    "input_audio": "an audio clip", "file": "a file", "document": "a file",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: made earlier in a conversation, or to be made now."""

    name: str
    arguments: dict[str, Any] = field(hash=False)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its text, and what came with it."""

    role: str
    text: str
    media: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Conversation:
    """All messages, and the views on them that finding an answer needs."""

    messages: tuple[Message, ...]

    @cached_property
    def system(self) -> str:
        """The instructions: every system message, in order."""
        return "\n\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    @cached_property
    def last_user(self) -> int:
        """Position of the last user message that says something; -1 when there is none."""
        spoken = [at for at, message in enumerate(self.messages) if message.role == "user" and message.text.strip()]
        return spoken[-1] if spoken else -1

    @cached_property
    def prompt(self) -> str:
        """The last user message, or the last text of any role where no user spoke."""
        if self.last_user >= 0:
            return self.messages[self.last_user].text
        return next((message.text for message in reversed(self.messages) if message.text.strip()), "")

    @cached_property
    def history(self) -> tuple[Message, ...]:
        """What user and assistant said before the last user message."""
        earlier = self.messages[: max(self.last_user, 0)]
        return tuple(message for message in earlier if message.role in ("user", "assistant") and message.text)

    @cached_property
    def observations(self) -> tuple[Message, ...]:
        """Tool results that came after the last user message."""
        return tuple(message for message in self.messages[self.last_user + 1 :] if message.role in ("tool", "function"))

    @cached_property
    def made_calls(self) -> tuple[Call, ...]:
        """Tool calls that were made after the last user message."""
        return tuple(call for message in self.messages[self.last_user + 1 :] for call in message.calls)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """What the last user message, and tool results after it, brought besides text."""
        return tuple(kind for message in self.messages[max(self.last_user_any, 0) :] for kind in message.media)

    @cached_property
    def last_user_any(self) -> int:
        """Position of the last user message, text or not."""
        return max((at for at, message in enumerate(self.messages) if message.role == "user"), default=-1)


def read(messages: Any, strict: bool = False) -> Conversation:
    """Read the `messages` of a request.

    Raises:
        ApiError: They are missing, or not messages.
    """
    if messages is None:
        raise bad_request("Input required: messages is missing.", param="messages")
    if not isinstance(messages, list):
        raise bad_request("Invalid JSON data: messages must be an array.", param="messages")
    if not messages:
        raise bad_request("Input required: messages is empty.", param="messages")
    if len(messages) > MOST_MESSAGES:
        raise bad_request(f"messages may hold {MOST_MESSAGES} at most; this request has {len(messages)}.", param="messages")
    return Conversation(tuple(_message(message, at, strict) for at, message in enumerate(messages)))


def _message(message: Any, at: int, strict: bool) -> Message:
    where = f"messages[{at}]"
    if not isinstance(message, dict):
        raise bad_request(f"Invalid JSON data: {where} must be an object.", param=where)
    role = message.get("role")
    if role not in ROLES:
        raise unprocessable(f"{where}.role must be one of {', '.join(ROLES)}", param=f"{where}.role")
    text, media = _content(message.get("content"), where, strict)
    calls = _calls(message.get("tool_calls"), where, strict)
    if strict and role == "tool" and not message.get("tool_call_id"):
        raise unprocessable(f"{where}.tool_call_id is required", param=f"{where}.tool_call_id")
    if role in ("user", "system") and message.get("content") is None:
        raise unprocessable(f"{where}.content is required", param=f"{where}.content")
    return Message(role, text, media, calls, str(message.get("tool_call_id") or ""), str(message.get("name") or ""))


def _content(content: Any, where: str, strict: bool) -> tuple[str, tuple[str, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, list):
        raise unprocessable(f"{where}.content must be a string or an array of parts", param=f"{where}.content")
    texts: list[str] = []
    media: list[str] = []
    for position, part in enumerate(content):
        place = f"{where}.content[{position}]"
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise unprocessable(f"{place} must be an object", param=place)
        kind = part.get("type")
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(kind, str) and kind in _MEDIA and not (strict and kind in ("file", "document", "image")):
            media.append(_MEDIA[kind])
        elif strict or not isinstance(kind, str) or kind == "text":
            raise unprocessable(f"{place} is no content part that this server reads (type {str(kind)[:40]})", param=place)
    return "\n".join(texts), tuple(media)


def _calls(calls: Any, where: str, strict: bool) -> tuple[Call, ...]:
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise unprocessable(f"{where}.tool_calls must be an array", param=f"{where}.tool_calls")
    return tuple(_call(call, f"{where}.tool_calls[{at}]", strict) for at, call in enumerate(calls))


def _call(call: Any, where: str, strict: bool) -> Call:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unprocessable(f"{where} needs a function with a name", param=where)
    arguments = function.get("arguments")
    if strict and not isinstance(arguments, str):
        raise unprocessable(f"{where}.function.arguments must be a JSON string", param=where)
    try:
        read = json.loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments
    except (ValueError, RecursionError):
        read = None
    return Call(function["name"], read if isinstance(read, dict) else {}, str(call.get("id") or ""))
