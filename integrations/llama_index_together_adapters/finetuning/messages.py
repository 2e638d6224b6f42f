"""Converts LlamaIndex's messages to the messages of a row, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama_index_together_adapters.tool_calls import legacy_calls
from together_adapters.finetune.formats.conversation import FrameworkConversationBuilder, call, openai_calls
from together_adapters.finetune.formats.framework_source import other_framework
from together_adapters.finetune.formats.images import base64_type, base64_url
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Converted, Row, Unconvertible

_ROLES: Final[dict[str, str]] = {"chatbot": "assistant", "model": "assistant", "function": "tool"}
_EXTRA_KEYS: Final = frozenset({"name", "tool_call_id", "tool_calls", "function_call", "reasoning", "reasoning_content"})
_USER: Final = MessageRole.USER
_ASSISTANT: Final = MessageRole.ASSISTANT
_SYSTEM: Final = MessageRole.SYSTEM


def plain_rows(messages: Iterable[Any]) -> list[Row] | None:
    """Converts a conversation of texts, or returns None if it holds anything else."""
    rows: list[Row] = []
    for message in messages:
        if type(message) is not ChatMessage:
            return None
        fields = message.__dict__
        blocks, kind = fields["blocks"], fields["role"]
        # By identity: the hash of an enumeration's member is Python code.
        role = "user" if kind is _USER else "assistant" if kind is _ASSISTANT else "system" if kind is _SYSTEM else None
        if role is None or fields["additional_kwargs"] or len(blocks) != 1 or type(blocks[0]) is not TextBlock:
            return None
        rows.append({"role": role, "content": blocks[0].text})
    return rows


def convert_messages(messages: Iterable[Any], options: Options, number: int) -> Converted:
    """Converts a conversation to a row with its messages. `number` is the record's."""
    builder = FrameworkConversationBuilder(options, number)
    for message in messages:
        _read(builder, _message(message, builder.path))
    return builder.converted()


def _message(value: Any, path: str) -> ChatMessage:
    if isinstance(value, ChatMessage):
        return value
    if isinstance(value, Mapping) and "role" in value:
        try:
            return _of_dict(value)
        except (ValueError, TypeError) as problem:
            text = f"this message is not one of LlamaIndex's: {str(problem).splitlines()[0]}"
            raise Unconvertible("message_kind_unknown", text, path) from None
    raise Unconvertible(
        "message_kind_unknown", f"a {type(value).__name__} is no message{other_framework(value)}", path, type(value).__name__
    )


def _of_dict(value: Mapping[str, Any]) -> ChatMessage:
    """Converts a message of LlamaIndex's or OpenAI's JSON; paths in it are not read, because its author may not be its reader."""
    for block in value.get("blocks") or ():
        if isinstance(block, Mapping) and block.get("path"):
            raise ValueError("an image that is a path is read only from a message that the program made")
    field_names = ("role", "content", "blocks", "additional_kwargs")
    fields = {key: value[key] for key in field_names if value.get(key) is not None}
    if extras := {key: item for key, item in value.items() if key not in field_names and item is not None}:
        fields["additional_kwargs"] = {**fields.get("additional_kwargs", {}), **extras}
    return ChatMessage(**fields)


def _read(builder: FrameworkConversationBuilder, message: ChatMessage) -> None:
    """Adds a message to a conversation."""
    role = _ROLES.get(message.role.value, message.role.value)
    extras = message.additional_kwargs
    if role not in ("user", "assistant", "system", "developer", "tool"):
        raise Unconvertible("role_unknown", f"there is no role {role!r}", f"{builder.path}.role", role)
    parts: list[Row] = []
    reasoning: list[str] = []
    calls: list[Row] = []
    for index, block in enumerate(message.blocks):
        path = f"{builder.path}.blocks[{index}]"
        if isinstance(block, ToolCallBlock):
            calls.append(call(block.tool_name, block.tool_kwargs, block.tool_call_id, builder.options, path))
        elif isinstance(block, ThinkingBlock):
            reasoning.append(_reasoning_of(block, builder.options, path))
        elif not isinstance(block, CachePoint):  # a hint for the provider
            parts.append(_part(block, role, path))
    content = builder.user_content(parts or "") if role == "user" else builder.text(parts, role, "\n")
    name = {"name": extras["name"]} if isinstance(extras.get("name"), str) else {}
    builder.account(extras, _EXTRA_KEYS, "messages[].additional_kwargs")
    if role == "assistant":
        text = "".join(reasoning) if reasoning else extras.get("reasoning_content") or extras.get("reasoning")
        text = text if isinstance(text, str) else ""
        if text and builder.options.reasoning == "drop":
            builder.change("reasoning_dropped")
            text = ""
        builder.answer(content, calls or _calls_in(message, builder.path), text, **name)
    elif role == "tool":
        builder.result(content, str(extras.get("tool_call_id") or ""), name.get("name"), **name)
    else:
        builder.add(role, content, **name)


def _part(block: Any, role: str, path: str) -> Row:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if not isinstance(block, ImageBlock):
        kind = type(block).__name__
        raise Unconvertible("content_part_unsupported", f"a {kind} cannot be trained on", path, kind)
    if role != "user":
        raise Unconvertible("image_outside_user_message", f"an image in a message of role {role} cannot be trained on", path)
    try:
        return {"type": "image_url", "image_url": {"url": _image_url(block)}}
    except Exception as problem:
        raise Unconvertible("image_invalid", f"the image cannot be read: {problem}", path) from None


def _image_url(block: Any) -> str:
    """Returns the URL of an image block, or its bytes as a data URL; nothing is fetched."""
    if block.url:
        return str(block.url)
    data = block.resolve_image(as_base64=True).read()
    text = data.decode("ascii") if isinstance(data, bytes) else str(data)
    if not text:
        raise ValueError("it is empty")
    return base64_url(text, base64_type(text) or block.image_mimetype or "image/jpeg")


def _reasoning_of(block: ThinkingBlock, options: Options, path: str) -> str:
    extras = block.additional_information or {}
    is_signed = any(extras.get(key) for key in ("signature", "encrypted_content", "thought_signature"))
    if not is_signed and block.content is not None:
        return block.content
    if options.reasoning == "drop" or not extras:
        return block.content or ""
    text = "reasoning that is signed or encrypted cannot be trained on; reasoning='drop' leaves it out"
    raise Unconvertible("reasoning_unreadable", text, path)


def _calls_in(message: ChatMessage, path: str) -> list[Row]:
    """Returns the tool calls of a message that has them in `additional_kwargs`, as older data does."""
    legacy = message.additional_kwargs.get("function_call")
    calls = legacy_calls(message) or ([{"function": legacy}] if isinstance(legacy, Mapping) else [])
    return openai_calls(calls, path=path)
