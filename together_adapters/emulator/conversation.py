"""The messages of a chat request, validated and parsed into one plain form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.errors import bad_request, unprocessable

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MAX_MESSAGES: Final = 10_000
_MEDIA: Final = {
    "image_url": "an image", "image": "an image", "video_url": "a video", "audio_url": "an audio clip",
    "input_audio": "an audio clip", "file": "a file", "document": "a file",
}  # fmt: skip
_LENIENT_ONLY: Final = ("image", "file", "document")  # content parts that only the lenient mode of the emulator accepts

Scores = Sequence[Mapping[str, float]]
"""Log-probabilities of the first tokens of an answer and of their alternatives, where they are not invented."""


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """A call of a tool, with its arguments as a dictionary; `text` is what is sent as them, or `...` for their JSON."""

    name: str
    arguments: dict[str, Any] = field(hash=False)
    id: str = ""
    text: Any = ...


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its text, descriptions of its other content, and its tool calls."""

    role: str
    text: str
    media: tuple[str, ...] = ()
    tool_calls: tuple[ParsedToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Conversation:
    """All messages of a request, and the parts of them from which an answer is built."""

    messages: tuple[Message, ...]

    @cached_property
    def system(self) -> str:
        """The instructions: every system message, in order."""
        return "\n\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    @cached_property
    def last_user(self) -> int:
        """Index of the last user message that has text; -1 when there is none."""
        return max((i for i, message in enumerate(self.messages) if message.role == "user" and message.text.strip()), default=-1)

    @cached_property
    def prompt(self) -> str:
        """The last user message, or the last text of any role when there is no user message."""
        if self.last_user >= 0:
            return self.messages[self.last_user].text
        return next((message.text for message in reversed(self.messages) if message.text.strip()), "")

    @cached_property
    def full_prompt(self) -> str:
        """The instructions and the last user message as one text."""
        return f"{self.system}\n{self.prompt}"

    @cached_property
    def history(self) -> tuple[Message, ...]:
        """The messages of user and assistant before the last user message."""
        earlier = self.messages[: max(self.last_user, 0)]
        return tuple(message for message in earlier if message.role in ("user", "assistant") and message.text)

    @cached_property
    def tool_results(self) -> tuple[Message, ...]:
        """The results of tools after the last user message."""
        return tuple(message for message in self.messages[self.last_user + 1 :] if message.role in ("tool", "function"))

    @cached_property
    def prompt_with_results(self) -> str:
        """The prompt, and after it what tools returned."""
        return "\n".join([self.prompt, *(result.text for result in self.tool_results)])

    @cached_property
    def previous_calls(self) -> tuple[ParsedToolCall, ...]:
        """The tool calls after the last user message."""
        return tuple(call for message in self.messages[self.last_user + 1 :] for call in message.tool_calls)

    @cached_property
    def media(self) -> tuple[str, ...]:
        """Descriptions of the images, audio and files since the last user message, which may have no text."""
        last = max((i for i, message in enumerate(self.messages) if message.role == "user"), default=0)
        return tuple(kind for message in self.messages[last:] for kind in message.media)


def parse_messages(messages: Any, strict: bool = False) -> Conversation:
    """Parses the `messages` of a request; raises `ApiError` where they are missing or invalid."""
    if messages is None or messages == []:
        raise bad_request(f"Input required: messages is {'missing' if messages is None else 'empty'}.", param="messages")
    if not isinstance(messages, list):
        raise bad_request("Invalid JSON data: messages must be an array.", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise bad_request(
            f"messages may have at most {MAX_MESSAGES} entries; this request has {len(messages)}.", param="messages"
        )
    return Conversation(tuple(_message(message, f"messages[{i}]", strict) for i, message in enumerate(messages)))


def parse_arguments(arguments: Any) -> dict[str, Any]:
    """The arguments of a tool call, given as JSON or as a dictionary; empty when they are neither."""
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _message(message: Any, path: str, strict: bool) -> Message:
    if not isinstance(message, dict):
        raise bad_request(f"Invalid JSON data: {path} must be an object.", param=path)
    role = message.get("role")
    if role not in ROLES:
        raise unprocessable(f"{path}.role must be one of {', '.join(ROLES)}", param=f"{path}.role")
    text, media = _content(message.get("content"), f"{path}.content", strict)
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise unprocessable(f"{path}.tool_calls must be an array", param=f"{path}.tool_calls")
    tool_calls = tuple(_tool_call(call, f"{path}.tool_calls[{i}]", strict) for i, call in enumerate(calls or ()))
    if strict and role == "tool" and not message.get("tool_call_id"):
        raise unprocessable(f"{path}.tool_call_id is required", param=f"{path}.tool_call_id")
    if role in ("user", "system") and message.get("content") is None:
        raise unprocessable(f"{path}.content is required", param=f"{path}.content")
    return Message(role, text, media, tool_calls, str(message.get("tool_call_id") or ""), str(message.get("name") or ""))


def _content(content: Any, path: str, strict: bool) -> tuple[str, tuple[str, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, list):
        raise unprocessable(f"{path} must be a string or an array of parts", param=path)
    texts: list[str] = []
    media: list[str] = []
    for i, part in enumerate(content):
        part_path = f"{path}[{i}]"
        if not isinstance(part, dict | str):
            raise unprocessable(f"{part_path} must be an object", param=part_path)
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(kind, str) and kind in _MEDIA and not (strict and kind in _LENIENT_ONLY):
            _check_address(part.get(kind), f"{part_path}.{kind}")
            media.append(_MEDIA[kind])
        elif strict or not isinstance(kind, str) or kind == "text":
            raise unprocessable(f"{part_path} has the unsupported type {str(kind)[:40]}", param=part_path)
    return "\n".join(texts), tuple(media)


def _check_address(value: Any, path: str) -> None:
    """Refuses the path of a file in place of the address of a medium."""
    url = value.get("url") if isinstance(value, dict) else value
    if isinstance(url, str) and not url.lower().startswith(("http://", "https://", "data:")):
        raise unprocessable(
            f"{path}.url must be an address (https://...) or a data URL (data:image/png;base64,...), which a file has to become",
            param=path,
        )


def _tool_call(call: Any, path: str, strict: bool) -> ParsedToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unprocessable(f"{path} needs a function with a name", param=path)
    arguments = function.get("arguments")
    if strict and not isinstance(arguments, str):
        raise unprocessable(f"{path}.function.arguments must be a JSON string", param=path)
    return ParsedToolCall(function["name"], parse_arguments(arguments), str(call.get("id") or ""))
