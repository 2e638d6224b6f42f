"""LlamaIndex's messages as JSON: chat stores, memories, and the events of its fine-tuning handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk, call, parsed
from together_adapters.finetune.formats.openai import answered
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Converted, Row, Unconvertible

_ROLES: Final = {"model": "assistant", "chatbot": "assistant", "developer": "system"}


class Keyed(NamedTuple):
    """One conversation of a store."""

    key: str
    messages: Any


def stored(document: Any) -> Iterator[Keyed]:
    """Give the conversations of a store, or of a memory that has one within."""
    store = document
    while isinstance(store, dict) and isinstance(store.get("chat_store"), dict):
        store = store["chat_store"]
    keyed = store.get("store") if isinstance(store, dict) else None
    if not isinstance(keyed, dict):
        raise Unconvertible("store_invalid", "a chat store has conversations under 'store'", "store", document)
    for key, messages in keyed.items():
        yield Keyed(key, messages)


def conversation(record: Any, options: Options) -> Iterator[Converted]:
    """Convert one conversation of a store; its key is its group."""
    messages = parsed(record.messages, "store")
    if not isinstance(messages, list):
        raise Unconvertible("messages_not_list", f"a conversation must be a list, not {kind_of(messages)}", f"store.{record.key}")
    talk = Talk(options)
    for message in messages:
        read_llama(talk, message)
    yield talk.converted(group=record.key)


def events(document: Any) -> Iterator[Any]:
    """Give the events of a handler: those of `get_finetuning_events`, or a line of its file."""
    if isinstance(document, dict) and "messages" not in document:
        yield from document.values()
    else:
        yield document


def event(record: Any, options: Options) -> Iterator[Converted]:
    """Convert an event, or a line of a handler's file, which must end with an answer."""
    if isinstance(record, dict) and not _has_blocks(record):
        if isinstance(answer := record.get("response"), dict):
            record = {**record, "messages": [*record.get("messages", []), answer]}
            del record["response"]
        yield from answered(record, options)
        return
    messages = (
        record if isinstance(record, list) else [*record["messages"], *([record["response"]] if record.get("response") else [])]
    )
    talk = Talk(options)
    for message in messages:
        read_llama(talk, message)
    if not talk.messages or talk.messages[-1]["role"] != "assistant":
        raise Unconvertible("answer_missing", "the event has no answer", "messages")
    yield talk.converted(record.get("functions") or record.get("tools") if isinstance(record, dict) else None)


def _has_blocks(record: Row) -> bool:
    messages = record.get("messages")
    return isinstance(messages, list) and any(isinstance(message, dict) and "blocks" in message for message in messages)


def read_llama(talk: Talk, message: Any) -> None:
    """Take a `ChatMessage` as JSON into a conversation."""
    if not isinstance(message, dict):
        raise Unconvertible("message_not_object", f"a message must be an object, not {kind_of(message)}", talk.path, message)
    role = _ROLES.get(str(message.get("role")), message.get("role"))
    extra = message.get("additional_kwargs") or {}
    parts, made, thought = _blocks(talk, message)
    if not made:
        for one in extra.get("tool_calls") or ():
            function = one.get("function") or {}
            made.append(call(function.get("name"), function.get("arguments"), one.get("id"), talk.options, talk.path))
    content: Any = parts
    if all(isinstance(part, str) for part in parts):
        content = "".join(parts)
        if len(parts) > 1:
            talk.change("text_parts_joined")
    if role == "assistant":
        talk.answer(content, made, "\n".join(thought) or extra.get("reasoning_content"))
    elif role in ("tool", "function"):
        talk.result(content, extra.get("tool_call_id"), extra.get("name"))
    else:
        talk.add(str(role), content)


def _blocks(talk: Talk, message: Row) -> tuple[list[Any], list[Row], list[str]]:
    """The content, calls and reasoning of a message."""
    blocks = message.get("blocks")
    if blocks is None:
        content = message.get("content")
        return ([] if content is None else [content] if isinstance(content, str) else list(content)), [], []
    parts: list[Any] = []
    made: list[Row] = []
    thought: list[str] = []
    for place, block in enumerate(blocks):
        path = f"{talk.path}.blocks[{place}]"
        kind = block.get("block_type") if isinstance(block, dict) else None
        if kind == "text":
            parts.append(block.get("text") or "")
        elif kind == "thinking":
            if not block.get("content"):
                raise Unconvertible("reasoning_unreadable", "the reasoning is encrypted", path)
            thought.append(block["content"])
        elif kind == "tool_call":
            made.append(call(block.get("tool_name"), block.get("tool_kwargs"), block.get("tool_call_id"), talk.options, path))
        elif kind == "image":
            parts.append(_image(block))
        elif kind == "cache":
            talk.change("cache_points_dropped")
        else:
            raise Unconvertible("content_part_unsupported", f"a block of type {kind!r} cannot be trained on", path, block)
    return parts, made, thought


def _image(block: Row) -> Row:
    data, mime = block.get("image"), block.get("image_mimetype") or "image/png"
    if isinstance(data, str) and data:
        return {"type": "image", "image": data if data.startswith("data:") else f"data:{mime};base64,{data}"}
    return {"type": "image", "image": block.get("url") or block.get("path")}
