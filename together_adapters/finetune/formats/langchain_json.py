"""Reads LangChain's messages as JSON. Only the classes of a fixed list are read, and none is imported by name."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from together_adapters.finetune.formats.conversation import FrameworkConversationBuilder, call, openai_calls
from together_adapters.finetune.formats.openai import read_message
from together_adapters.finetune.readers.fields import require
from together_adapters.finetune.records import Row, Unconvertible

_CLASSES: Final = {
    f"{name}{suffix}": kind
    for name, kind in {
        "HumanMessage": "human", "AIMessage": "ai", "SystemMessage": "system", "ToolMessage": "tool", "FunctionMessage": "function",
        "ChatMessage": "chat",
    }.items()
    for suffix in ("", "Chunk")
}  # fmt: skip
_ROLES: Final = {
    "human": "user", "user": "user", "ai": "assistant", "assistant": "assistant", "system": "system", "developer": "developer",
    "tool": "tool", "function": "function",
}  # fmt: skip
_KINDS: Final = frozenset({*_ROLES, "chat"})
_FIELDS: Final = frozenset(
    """type data content id name role tool_calls invalid_tool_calls tool_call_chunks additional_kwargs response_metadata
    usage_metadata example artifact status tool_call_id chunk_position""".split()
)
_EXTRA_KEYS: Final = frozenset(
    """tool_calls function_call reasoning reasoning_content refusal audio __openai_role__
    __openai_function_call_ids__""".split()
)
_CALL_BLOCKS: Final = frozenset({"tool_use", "tool_call", "function_call"})
_NO_CONTENT: Final = _CALL_BLOCKS | {"tool_call_chunk", "input_json_delta", "invalid_tool_call"}
_REASONING_BLOCKS: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_NO_TEXT: Final = _NO_CONTENT | _REASONING_BLOCKS


def is_message(value: Any) -> bool:
    """Whether a value is a message in one of LangChain's JSON formats, or in OpenAI's."""
    if not isinstance(value, dict):
        return False
    if value.get("lc") == 1:
        return value.get("type") == "constructor" and "generation" not in str(value.get("id")).lower()
    kind = value.get("type")
    return "role" in value or (isinstance(kind, str) and (kind in _CLASSES or kind in _KINDS))


def is_pair(value: Any) -> bool:
    """Whether a value is a message in the form of a pair of role and content."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return isinstance(value[0], str) and value[0] in _ROLES and isinstance(value[1], str | list)


def read_langchain_message(builder: FrameworkConversationBuilder, message: Any) -> None:
    """Adds a message: a constructor, `{"type", "data"}`, `{"type", "content"}`, OpenAI's, a pair, or a user's text."""
    if not isinstance(message, dict):
        if isinstance(message, str):
            message = {"type": "human", "content": message}
        elif is_pair(message):
            message = {"type": message[0], "content": message[1]}
        else:
            require(message, dict, "message_not_object", "a message must be an object", builder.path)
    if "role" in message and "lc" not in message and message.get("type") not in _KINDS:
        _read_openai_message(builder, message)
    else:
        kind, fields = _kind_and_fields(builder, message)
        builder.account(fields, _FIELDS, "messages[]")
        read_fields(builder, kind, fields)


def _kind_and_fields(builder: FrameworkConversationBuilder, message: Row) -> tuple[str, Row]:
    if "lc" in message:
        id = message.get("id")
        name = id[-1] if isinstance(id, list) and id else None
        if message.get("type") != "constructor" or name not in _CLASSES:
            raise Unconvertible("foreign_class", "it is no message of LangChain", builder.path, id)
        return _CLASSES[name], message.get("kwargs") or {}
    kind = message.get("type")
    kind = _CLASSES.get(str(kind), kind)
    if kind not in _KINDS:
        raise Unconvertible("foreign_class", f"there is no message of type {kind!r}", builder.path, kind)
    data = message.get("data")
    return str(kind), data if isinstance(data, dict) else message


def _read_openai_message(builder: FrameworkConversationBuilder, message: Row) -> None:
    """Adds a message of OpenAI's format; a single text part becomes text, as in other messages."""
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and content[0].get("type") == "text":
        message = {**message, "content": content[0].get("text")}
    read_message(builder, message)


def read_fields(builder: FrameworkConversationBuilder, kind: str, fields: Row) -> None:
    """Adds a message of kind `human`, `ai`, `system`, `developer`, `tool`, `function` or `chat`, given its fields."""
    role = _ROLES.get(str(fields.get("role")).lower() if kind == "chat" else kind)
    if role is None:
        name = fields.get("role")
        raise Unconvertible("role_unknown", f"there is no role {name!r}", f"{builder.path}.role", name)
    content, extra, name = fields.get("content"), fields.get("additional_kwargs") or {}, fields.get("name")
    if extra:
        builder.account(extra, _EXTRA_KEYS, "messages[].additional_kwargs")
    names = {"name": name} if name else {}
    if role == "assistant":
        _read_answer(builder, content, extra, fields, names)
    elif role == "user":
        _read_user(builder, content, names)
    elif role in ("tool", "function"):
        _read_result(builder, content, fields.get("tool_call_id"), name, fields.get("status"))
        if role == "function" and not builder.messages[-1]["tool_call_id"]:
            text = f"the result of the function {name!r} follows no call of it"
            raise Unconvertible("tool_result_unmatched", text, builder.path)
    else:
        role = extra.get("__openai_role__") or role
        builder.add(role, builder.text(_parts(builder, content), role, "\n"), **names)


def _read_user(builder: FrameworkConversationBuilder, content: Any, names: Row) -> None:
    """Adds a user's message; tool results in it, which Anthropic's format has there, become tool messages."""
    if not isinstance(content, list):
        builder.add("user", content, **names)
        return
    rest = [block for block in content if _kind(block) != "tool_result"]
    for block in content:
        if _kind(block) == "tool_result":
            status = "error" if block.get("is_error") else ""
            _read_result(builder, block.get("content") or "", block.get("tool_use_id"), None, status)
    if rest or not content:
        builder.add("user", builder.user_content(_parts(builder, rest)), **names)


def _read_result(builder: FrameworkConversationBuilder, content: Any, id: Any, name: Any, status: Any) -> None:
    fields: Row = {"name": name} if name else {}
    if status == "error":
        if builder.options.tool_errors == "drop_row":
            raise Unconvertible("tool_error", "a tool failed in this conversation", builder.path, skipped=True)
        builder.change("tool_error")
        fields["status"] = status  # no part of the row's format; `Fixes` reads and removes it
    text = content if type(content) is str else builder.text(_parts(builder, content), "tool", "\n")
    builder.result(text, id, name, **fields)


def _read_answer(builder: FrameworkConversationBuilder, content: Any, extra: Row, fields: Row, names: Row) -> None:
    if extra.get("audio"):
        raise Unconvertible("content_part_unsupported", "a spoken answer cannot be trained on", builder.path, "audio")
    blocks = content if isinstance(content, list) else []
    has_calls = fields.get("tool_calls") or fields.get("invalid_tool_calls")
    if extra and not has_calls:
        has_calls = extra.get("tool_calls") or extra.get("function_call")
    if blocks:
        kinds = [_kind(block) for block in blocks]
        content = [block for block, kind in zip(blocks, kinds, strict=True) if kind not in _NO_TEXT]
        has_calls = has_calls or not _CALL_BLOCKS.isdisjoint(kinds)
    text = content if type(content) is str else builder.text(_parts(builder, content), "assistant", "")
    if not text and isinstance(extra.get("refusal"), str):
        text = extra["refusal"]
    reasoning = _reasoning(builder, extra, blocks) if extra or blocks else None
    calls = _calls(builder, fields, extra, blocks) if has_calls else ()
    builder.answer(text, calls, reasoning, **names)


def _calls(builder: FrameworkConversationBuilder, fields: Row, extra: Row, blocks: list[Any]) -> list[Row]:
    """Returns the calls of an answer: parsed ones, those that are only in blocks, invalid ones, and legacy ones."""
    options, path = builder.options, f"{builder.path}.tool_calls"
    calls = [call(one.get("name"), one.get("args"), one.get("id"), options, path) for one in fields.get("tool_calls") or ()]
    invalid = fields.get("invalid_tool_calls") or ()
    ids = {one["id"] for one in calls} | {one.get("id") or "" for one in invalid}
    for block in blocks:
        if _kind(block) in _CALL_BLOCKS and block.get("name"):
            id = block.get("call_id") or block.get("id") or ""
            if id not in ids:
                arguments: Any = next((block[key] for key in ("input", "args", "arguments") if key in block), {})
                calls.append(call(block["name"], arguments, id, options, path))
                ids.add(id)
    for index, one in enumerate(invalid):
        calls += _invalid_call(builder, one, f"{builder.path}.invalid_tool_calls[{index}]")
    if not calls and not invalid:
        legacy = extra.get("function_call")
        calls = openai_calls(
            extra.get("tool_calls") or ([{"function": legacy}] if isinstance(legacy, dict) else []), options, path
        )
    return calls


def _invalid_call(builder: FrameworkConversationBuilder, one: Row, path: str) -> list[Row]:
    choice = builder.options.invalid_tool_calls
    if choice == "refuse":
        text = f"the arguments of a call of {one.get('name')!r} could not be parsed"
        raise Unconvertible("tool_call_invalid", text, path, one.get("args") or "")
    if choice == "drop":
        builder.change("invalid_tool_call_dropped")
        return []
    return [call(one.get("name"), one.get("args"), one.get("id"), builder.options, path)]


def _reasoning(builder: FrameworkConversationBuilder, extra: Row, blocks: list[Any]) -> str | None:
    """Returns the reasoning of an answer, which providers put in different fields; None if it is dropped."""
    value = extra.get("reasoning_content") or extra.get("reasoning")
    if not value and not blocks:
        return None
    path = f"{builder.path}.content"
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict):
        text = _reasoning_text(builder, value, path)
    else:
        texts = (
            _reasoning_text(builder, block, f"{path}[{index}]")
            for index, block in enumerate(blocks)
            if _kind(block) in _REASONING_BLOCKS
        )
        text = "".join(texts)
    if text and builder.options.reasoning == "drop":
        builder.change("reasoning_dropped")
        return None
    return text


def _reasoning_text(builder: FrameworkConversationBuilder, block: Row, path: str) -> str:
    inner = block.get("reasoning_content")
    fields = {**block, **(inner if isinstance(inner, dict) else {}), **(block.get("extras") or {})}
    value = fields.get("reasoning") or fields.get("thinking") or fields.get("text") or inner
    if not isinstance(value, str):
        summaries = fields.get("summary") or fields.get("content") or ()
        texts = [summaries] if isinstance(summaries, str) else [one.get("text") for one in summaries if isinstance(one, dict)]
        value = "\n".join(str(text or "") for text in texts)
    is_encrypted = block.get("type") == "redacted_thinking" or bool(fields.get("encrypted_content"))
    is_signed = is_encrypted or bool(fields.get("signature"))
    if is_signed and builder.options.reasoning == "drop":
        return value or "encrypted"
    if (is_signed and not value) or (is_signed and builder.options.signed_reasoning == "refuse"):
        text = "reasoning that is signed or encrypted cannot be trained on; reasoning='drop' leaves it out"
        raise Unconvertible("reasoning_unreadable", text, path)
    return value


def _parts(builder: FrameworkConversationBuilder, content: Any) -> Any:
    """Converts blocks to the parts that the builder reads."""
    if not isinstance(content, list | tuple):
        return content
    return [_part(builder, block, index) for index, block in enumerate(content)]


def _part(builder: FrameworkConversationBuilder, block: Any, index: int) -> Any:
    if not isinstance(block, dict):
        return block
    kind = block.get("type")
    if kind == "text":
        return block if block.get("text") else {"type": "text", "text": ""}
    if kind == "refusal":
        return {"type": "text", "text": block.get("refusal") or ""}
    if kind == "text-plain":
        return {"type": "text", "text": block.get("text")}
    if isinstance(block.get("guard_content"), dict):
        text = block["guard_content"].get("text")
        return {"type": "text", "text": str(text.get("text") if isinstance(text, dict) else text or "")}
    path = f"{builder.path}.content[{index}]"
    image = block.get("image")
    if kind in (None, "image") and isinstance(image, dict) and "format" in image:  # Bedrock's
        source = image.get("source")
        return _with_bytes(source.get("bytes") if isinstance(source, dict) else None, f"image/{image['format']}", path)
    if kind == "media" and str(block.get("mime_type")).startswith("image/"):
        return _with_bytes(block.get("data"), block["mime_type"], path)
    if kind in ("image", "image_url") and not any(
        block.get(key) for key in ("image_url", "image", "url", "base64", "data", "source")
    ):
        raise Unconvertible("image_invalid", "an image has neither a url nor base64 data", path, kind)
    return block


def _with_bytes(data: Any, mime_type: str, path: str) -> Row:
    if isinstance(data, bytes | bytearray):
        data = b64encode(data).decode("ascii")
    if not isinstance(data, str):
        raise Unconvertible("image_invalid", "an image without its bytes cannot be trained on", path)
    return {"type": "image", "base64": data, "mime_type": mime_type}


def _kind(block: Any) -> Any:
    return block.get("type") if isinstance(block, dict) else None
