"""Exports of ChatGPT (`mapping`, a tree of messages) and of Claude (`chat_messages`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import ConversationBuilder
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import nested, require, require_record, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

CHATGPT_COLUMNS: Final = frozenset(
    """mapping current_node id conversation_id title create_time update_time moderation_results plugin_ids conversation_template_id
    gizmo_id gizmo_type is_archived is_starred is_read_only is_do_not_remember is_study_mode safe_urls blocked_urls
    default_model_slug conversation_origin voice async_status disabled_tool_ids memory_scope context_scopes sugar_item_id
    sugar_item_visible pinned_time owner""".split()
)
CLAUDE_COLUMNS: Final = frozenset(
    "chat_messages uuid name summary model settings is_starred created_at updated_at account project current_leaf_message_uuid".split()
)
_CLAUDE_KEYS: Final = frozenset(
    """uuid sender text content attachments files files_v2 index created_at updated_at parent_message_uuid truncated
    stop_reason""".split()
)
_NODE_KEYS: Final = frozenset({"id", "message", "parent", "children"})
_MESSAGE_KEYS: Final = frozenset(
    "id author create_time update_time content status end_turn weight metadata recipient channel".split()
)
_AUTHOR_KEYS: Final = frozenset({"role", "name", "metadata"})
_CONTENT_KEYS: Final = frozenset(
    """content_type parts text result thoughts content source_analysis_msg_id language response_format_name user_profile
    user_instructions""".split()
)
_SPEECH: Final = ("all", "", None)
_TIMES: Final = ("start_timestamp", "stop_timestamp", "flags")


def chatgpt(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a conversation of ChatGPT: the messages from the root to the current one; other branches are left out."""
    record = require_record(record)
    nodes = require(record.get("mapping"), dict, "messages_not_list", "mapping must be an object", "mapping")
    path = _path(nodes, record.get("current_node"))
    builder = ConversationBuilder(options)
    reasoning: list[str] = []
    for node in path:
        message = nodes[node].get("message")
        builder.account(nodes[node], _NODE_KEYS, "mapping[]")
        if isinstance(message, dict):
            _account_chatgpt(builder, message)
            _read_chatgpt(builder, message, reasoning)
    others = [node for node in nodes if node not in path and nested(nodes[node], "message", "content", "parts")]
    if others:
        builder.leave_out("mapping.branches", others)
    yield builder.converted(group=text_or_none(record.get("conversation_id") or record.get("id")))


def _path(nodes: Row, current: Any) -> list[str]:
    """Returns the names of the nodes from the root to the current one; without one, to the newest end."""
    if current not in nodes:
        ends = [name for name, node in nodes.items() if not node.get("children")]
        if not ends:
            raise Unconvertible("messages_empty", "there is no message", "mapping")
        current = max(ends, key=lambda name: nested(nodes[name], "message", "create_time") or 0)
    path: dict[str, None] = {}
    while current in nodes and current not in path:
        path[current] = None
        current = nodes[current].get("parent")
    return [*reversed(path)]


def _account_chatgpt(builder: ConversationBuilder, message: Row) -> None:
    builder.account(message, _MESSAGE_KEYS, "mapping[].message")
    for name, keys in (("author", _AUTHOR_KEYS), ("content", _CONTENT_KEYS)):
        if isinstance(fields := message.get(name), dict):
            builder.account(fields, keys, f"mapping[].message.{name}")


def _read_chatgpt(builder: ConversationBuilder, message: Row, reasoning: list[str]) -> None:
    """Adds a message; its reasoning stands in messages before it."""
    content = message.get("content") or {}
    kind, role = content.get("content_type"), role_of(nested(message, "author", "role"))
    if kind == "thoughts":
        reasoning += [str(one.get("content") or one.get("summary") or "") for one in content.get("thoughts") or ()]
        return
    if kind == "reasoning_recap":
        return
    if kind == "user_editable_context":
        text = "\n\n".join(str(content[key]) for key in ("user_profile", "user_instructions") if content.get(key))
        _add_system(builder, text)
        return
    parts: list[Any] = [content.get("text")] if content.get("parts") is None else content["parts"]
    if not any(parts) and not content.get("result"):
        return
    if role == "tool" or message.get("recipient") not in _SPEECH:
        name = nested(message, "author", "name") if role == "tool" else message.get("recipient")
        text = f"the tool {str(name)!r} of ChatGPT is used, whose calls cannot be trained on; fixes=Fixes(on_error='drop') leaves it out"
        raise Unconvertible("content_part_unsupported", text, f"{builder.path}.recipient", name)
    if any(not isinstance(part, str) for part in parts):
        other = next(part for part in parts if not isinstance(part, str))
        name = other.get("content_type") if isinstance(other, dict) else type(other).__name__
        text = f"a part of type {name!r} is not in the export and cannot be trained on"
        raise Unconvertible("content_part_unsupported", text, f"{builder.path}.content.parts", other)
    text = "".join(parts)
    if role == "assistant":
        builder.answer(text, (), "\n\n".join(reasoning) or None)
        reasoning.clear()
    elif role == "system":
        _add_system(builder, text)
    else:
        read_message(builder, {"role": role, "content": text})


def _add_system(builder: ConversationBuilder, text: str) -> None:
    """Adds a system prompt, or continues the one before."""
    if not text.strip():
        return
    if builder.messages and builder.messages[-1]["role"] == "system":
        builder.messages[-1]["content"] += f"\n\n{text}"
    else:
        builder.add("system", text)


def claude(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a conversation of Claude; the text of attachments stands before the question."""
    record = require_record(record)
    messages = require(record.get("chat_messages"), list, "messages_not_list", "chat_messages must be a list", "chat_messages")
    builder = ConversationBuilder(options)
    for index, message in enumerate(messages):
        require(message, dict, "message_not_object", "a message must be an object", f"chat_messages[{index}]")
        builder.account(message, _CLAUDE_KEYS, "chat_messages[]")
        files = message.get("files") or message.get("files_v2")
        if files:
            text = (
                "files are not in the export and cannot be trained on; fixes=Fixes(on_error='drop') leaves such conversations out"
            )
            raise Unconvertible("attachments_unsupported", text, f"chat_messages[{index}].files", files)
        content: Any = message.get("content") or message.get("text") or ""
        if isinstance(content, list):
            content = [_claude_block(builder, block) for block in content]
        attachments = [str(one.get("extracted_content") or "") for one in message.get("attachments") or ()]
        if any(attachments):
            blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
            content = [*({"type": "text", "text": f"{text}\n\n"} for text in attachments), *blocks]
        role = role_of(message.get("sender"))
        if content:
            read_message(builder, {"role": role or message.get("sender"), "content": content})
    yield builder.converted(group=text_or_none(record.get("uuid")))


def _claude_block(builder: ConversationBuilder, block: Any) -> Any:
    """Returns a block without its times; citations are left out."""
    if not isinstance(block, dict):
        return block
    builder.account({key: block[key] for key in ("citations",) if key in block}, frozenset(), "chat_messages[].content[]")
    return {key: value for key, value in block.items() if key not in _TIMES and key != "citations"}
