"""LlamaIndex's messages as JSON: chat stores, memories, and the events of its fine-tuning handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import ConversationBuilder, call, openai_calls, parsed
from together_adapters.finetune.formats.openai import conversation as openai_conversation
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require
from together_adapters.finetune.records import Converted, Row, Unconvertible

DOCUMENT_KEYS: Final = frozenset({"store", "chat_store", "chat_store_key", "class_name", "token_limit"})
_MESSAGE_KEYS: Final = frozenset({"role", "content", "blocks", "additional_kwargs"})
_EXTRA_KEYS: Final = frozenset({"tool_calls", "tool_call_id", "name", "reasoning_content"})
_BLOCK_KEYS: Final = frozenset(
    "block_type text content tool_name tool_kwargs tool_call_id image image_mimetype url path detail cache_control".split()
)
_ROLES: Final = {"model": "assistant", "chatbot": "assistant", "developer": "system"}


def stored_conversations(document: Any) -> Iterator[tuple[str, Any]]:
    """Yields the conversations of a chat store, or of a memory that contains one, with their keys."""
    store = document
    while isinstance(store, dict) and store.get("chat_store"):
        store = parsed(store["chat_store"], "chat_store")  # which some memories hold as JSON text
    conversations = store.get("store") if isinstance(store, dict) else None
    if not isinstance(conversations, dict):
        raise Unconvertible("store_invalid", "a chat store has conversations under 'store'", "store", document)
    yield from conversations.items()


def conversation(record: tuple[str, Any], options: Options) -> Iterator[Converted]:
    """Converts one conversation of a store; its key is its group."""
    key, messages = record
    messages = require(parsed(messages, "store"), list, "messages_not_list", "a conversation must be a list", f"store.{key}")
    builder = ConversationBuilder(options)
    for message in messages:
        read_llama(builder, message)
    yield builder.converted(group=key)


def events(document: Any) -> Iterator[Any]:
    """Yields the events of a handler: those of `get_finetuning_events`, or a line of its file."""
    if isinstance(document, dict) and "messages" not in document:
        yield from document.values()
    else:
        yield document


def event(record: Any, options: Options) -> Iterator[Converted]:
    """Converts an event, or a line of a handler's file, which must end with an answer."""
    if isinstance(record, dict) and not _has_blocks(record):
        if isinstance(answer := record.get("response"), dict):
            record = {**record, "messages": [*record.get("messages", []), answer]}
            del record["response"]
        for converted in openai_conversation(record, options):
            if converted.row["messages"][-1].get("role") != "assistant":
                raise Unconvertible("answer_missing", "the conversation ends without an answer", "messages")
            yield converted
        return
    messages = record if isinstance(record, list) else [*record["messages"], *filter(None, [record.get("response")])]
    builder = ConversationBuilder(options)
    for message in messages:
        read_llama(builder, message)
    if not builder.messages or builder.messages[-1]["role"] != "assistant":
        raise Unconvertible("answer_missing", "the event has no answer", "messages")
    yield builder.converted(record.get("functions") or record.get("tools") if isinstance(record, dict) else None)


def _has_blocks(record: Row) -> bool:
    messages = record.get("messages")
    return isinstance(messages, list) and any(isinstance(message, dict) and "blocks" in message for message in messages)


def read_llama(builder: ConversationBuilder, message: Any) -> None:
    """Adds a `ChatMessage` as JSON to a conversation."""
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message must be an object, not {kind_of(message)}", builder.path, message)
    role = _ROLES.get(str(message.get("role")), message.get("role"))
    extra = message.get("additional_kwargs") or {}
    builder.account(message, _MESSAGE_KEYS, "messages[]")
    builder.account(extra, _EXTRA_KEYS, "messages[].additional_kwargs")
    parts, calls, reasoning = _blocks(builder, message)
    if not calls:
        calls = openai_calls(extra.get("tool_calls"), builder.options, builder.path)
    content: Any = parts
    if all(isinstance(part, str) for part in parts):
        content = "".join(parts)
        if len(parts) > 1:
            builder.change("text_parts_joined")
    if role == "assistant":
        builder.answer(content, calls, "\n".join(reasoning) or extra.get("reasoning_content"))
    elif role in ("tool", "function"):
        builder.result(content, extra.get("tool_call_id"), extra.get("name"))
    else:
        builder.add(str(role), content)


def _blocks(builder: ConversationBuilder, message: Row) -> tuple[list[Any], list[Row], list[str]]:
    """Returns the content, calls and reasoning of a message."""
    blocks = message.get("blocks")
    if blocks is None:
        content = message.get("content")
        return ([] if content is None else [content] if isinstance(content, str) else list(content)), [], []
    parts: list[Any] = []
    calls: list[Row] = []
    reasoning: list[str] = []
    for index, block in enumerate(blocks):
        path = f"{builder.path}.blocks[{index}]"
        kind = block.get("block_type") if isinstance(block, dict) else None
        if isinstance(block, dict):
            builder.account(block, _BLOCK_KEYS, "messages[].blocks[]")
        if kind == "text":
            parts.append(block.get("text") or "")
        elif kind == "thinking":
            if not block.get("content"):
                raise Unconvertible("reasoning_unreadable", "the reasoning is encrypted", path)
            reasoning.append(block["content"])
        elif kind == "tool_call":
            calls.append(call(block.get("tool_name"), block.get("tool_kwargs"), block.get("tool_call_id"), builder.options, path))
        elif kind == "image":
            parts.append(_image(block))
        elif kind == "cache":
            builder.change("cache_points_dropped")
        else:
            raise Unconvertible("content_part_unsupported", f"a block of type {kind!r} cannot be trained on", path, block)
    return parts, calls, reasoning


def _image(block: Row) -> Row:
    data, mime = block.get("image"), block.get("image_mimetype") or "image/png"
    if isinstance(data, str) and data:
        return {"type": "image", "image": data if data.startswith("data:") else f"data:{mime};base64,{data}"}
    return {"type": "image", "image": block.get("url") or block.get("path")}
