"""Messages of other providers as messages of OpenAI's format: their blocks become contents, reasoning, tool calls and results.

The blocks are those of Anthropic, Gemini, Bedrock, OpenAI's Responses, Vercel, Mistral and Cohere; `adapters.content_blocks` knows
their names. What a row cannot hold is refused by the name of its block.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from together_adapters.adapters.content_blocks import UNTOLD_FIELDS, content_parts, is_empty, kind_of, plain_block
from together_adapters.adapters.foreign_blocks import REASONING_KINDS, TOOL_CALL_KINDS
from together_adapters.adapters.tool_arguments import call_fields, result_fields
from together_adapters.finetune.accounting import has_value
from together_adapters.finetune.records import Row, Unconvertible

if TYPE_CHECKING:
    from together_adapters.finetune.formats.conversation import ConversationBuilder

ROLES: Final = {
    "system": "system", "developer": "system",
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "assistant": "assistant",
    "model": "assistant", "bot": "assistant", "ai": "assistant", "chatbot": "assistant",
    "tool": "tool", "observation": "tool", "function": "tool", "function_response": "tool", "tool_response": "tool",
    "function_result": "tool", "tool_result": "tool", "ipython": "tool",
    "function_call": "calls", "tool_call": "calls",
}  # fmt: skip
"""The role of each speaker, by its name in lower case with underscores; `calls` for one that calls tools."""

_OWN_KINDS: Final = frozenset({"text", "input_text", "output_text", "image_url", "input_image", "image", "reasoning", "thinking"})
_IMAGE_PAYLOADS: Final = frozenset({"image_url", "image", "url", "path", "base64", "data", "source", "file_id"})
_RESPONSE: Final = "tool_call_response"  # OpenTelemetry's name of a result
_ITEMS: Final = frozenset({"function_call", "function_call_output", "reasoning", "custom_tool_call", "custom_tool_call_output"})
_SOURCES: Final = frozenset({"source_url"})
_STEPS: Final = frozenset({"step_start"})
_BLOCK_LISTS: Final = ("content", "parts")
_INVOCATIONS: Final = "toolInvocations"
_READ: Final = frozenset({"content", "parts", "message", _INVOCATIONS})
_TEXT_KEYS: Final = UNTOLD_FIELDS | {"text", "refusal", "state", "thought", "providerMetadata"}
_REASONING_KEYS: Final = _TEXT_KEYS | {
    "reasoning", "thinking", "reasoningText", "reasoning_text", "summary", "content", "details", "providerOptions",
}  # fmt: skip
_CALL_KEYS: Final = UNTOLD_FIELDS | {
    "name", "toolName", "tool_name", "toolCallId", "input", "args", "arguments", "function", "state", "status", "providerMetadata",
    "callProviderMetadata", "providerOptions", "willContinue", "caller", "title", "step",
}  # fmt: skip
_RESULT_KEYS: Final = _CALL_KEYS | {
    "content", "output", "response", "result", "is_error", "isError", "error", "errorText", "scheduling", "preliminary", "args",
}  # fmt: skip
_FINISHED: Final = frozenset({"result", "output-available", "output-error"})
json_of = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_ERROR_OUTPUTS: Final = frozenset({"error-text", "error-json"})


def reasoning_in_details(message: Row) -> str:
    """Returns the reasoning that stands in the details of a message alone, as gateways write it."""
    details = message.get("reasoning_details")
    texts = (
        [one.get("text") or one.get("summary") for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    )
    return "".join(text for text in texts if isinstance(text, str))


def role_of(name: Any) -> str | None:
    """Returns the role of a speaker, or None if the name is unknown."""
    return ROLES.get("_".join(str(name).lower().replace("-", " ").replace("_", " ").split()))


def is_foreign(message: Row) -> bool:
    """Whether a message is in the layout of another provider than OpenAI."""
    content = message.get("content")
    if isinstance(content, list):
        return any(map(_is_foreign_block, content))
    if isinstance(content, dict) and _is_foreign_block(content):
        return True
    return bool(message.get("parts") or message.get(_INVOCATIONS)) or (
        content is None and isinstance(message.get("message"), str)
    )


def _is_foreign_block(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    if kind is None:
        return not isinstance(block.get("text"), str) or "thought" in block or "thoughtSignature" in block
    if kind == "image":
        return not _IMAGE_PAYLOADS.isdisjoint(block) and "source" in block
    if kind in ("thinking", "reasoning"):
        return not any(isinstance(block.get(key), str) for key in ("reasoning", "thinking", "text", "content"))
    return kind not in _OWN_KINDS


def openai_messages(builder: ConversationBuilder, message: Row) -> list[Row]:
    """Returns a foreign message as messages of OpenAI's format: an answer is followed by the results that it holds."""
    content, role = message.get("content"), message.get("role")
    if role in ("tool", "function") and isinstance(content, list | dict) and not _has_blocks(content):
        builder.change("result_to_text")
        return [{**message, "content": json_of(content)}]
    builder.change("blocks_converted")
    rest = {key: value for key, value in message.items() if key not in _READ}
    turn = _Turn(builder, rest)
    for block in _blocks_of(builder, message):
        turn.add(block)
    turn.close()
    return turn.messages


def _has_blocks(content: Any) -> bool:
    return all(isinstance(one, str) or kind_of(one) is not None for one in (content if isinstance(content, list) else [content]))


def _blocks_of(builder: ConversationBuilder, message: Row) -> list[Any]:
    values = {key: message[key] for key in ("parts", "content", "message") if has_value(message.get(key))}
    blocks: list[Any] = []
    for key, value in values.items():
        if not blocks:
            blocks = [*value] if isinstance(value, list | tuple) else [value]
        elif value != "".join(text_of(block) for block in blocks):
            builder.leave_out(f"messages[].{key}", value)
    invocations = message.get(_INVOCATIONS) or ()
    if not any(isinstance(block, dict) and str(block.get("type")).startswith("tool-") for block in blocks):
        calls = [{"type": "tool-invocation", "toolInvocation": one} for one in invocations]
        blocks = [*calls, *blocks]  # the text of such a message follows on its results
    return blocks


def text_of(block: Any) -> str:
    """Returns the text of a block, empty for one of another kind."""
    if isinstance(block, str):
        return block
    text = block.get("text") if isinstance(block, dict) and block.get("type") in (None, "text") else None
    return text if isinstance(text, str) else ""


def messages_of_items(items: Any) -> list[Any]:
    """Returns the items of OpenAI's Responses as messages: what the model adds before the next result or question is one answer."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[Row] = []
    for item in items:
        if not isinstance(item, dict):
            raise Unconvertible("message_not_object", "an item must be an object", f"input[{len(messages)}]", item)
        kind = item.get("type") or "message"
        content = item.get("content")
        blocks = (content if isinstance(content, list) else [{"type": "text", "text": content}]) if kind == "message" else [item]
        role = item.get("role") if kind == "message" else "tool" if kind.endswith("_output") else "assistant"
        if role == "assistant" and messages and messages[-1]["role"] == role:
            messages[-1]["content"] = [*messages[-1]["content"], *blocks]
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def has_items(messages: list[Any]) -> bool:
    """Whether items of OpenAI's Responses stand among messages: calls and results without a role."""
    return any(isinstance(one, dict) and "role" not in one and str(one.get("type")) in _ITEMS for one in messages)


class _Turn:
    """One message of a provider while its blocks are read."""

    def __init__(self, builder: ConversationBuilder, fields: Row) -> None:
        self.messages: list[Row] = []
        self._builder, self._fields, self._role = builder, fields, fields.get("role")
        self._start()

    def _start(self) -> None:
        self._content: list[Any] = []
        self._reasoning: list[str] = []
        self._calls: list[Row] = []
        self._results: list[Row] = []

    def add(self, block: Any) -> None:
        """Adds what a block says; text after results begins another answer."""
        if isinstance(block, str):
            block = {"text": block}
        if not isinstance(block, dict):
            raise Unconvertible("content_part_unsupported", "a part must be an object", self._builder.path, block)
        kind = kind_of(block) or ""
        if kind == "text" and "text" not in block and isinstance(block.get("content"), str):  # OpenTelemetry's
            block = {"text" if key == "content" else key: value for key, value in block.items()}
        if kind in _STEPS or (is_empty(block) and kind != "redacted_thinking"):
            return
        if kind in _SOURCES:
            self._builder.leave_out(f"messages[].content[].{kind}", block)
            return
        if kind in REASONING_KINDS or (kind == "text" and block.get("thought") is True):
            self._account(block, _REASONING_KEYS)
            self._before_answer()
            self._reasoning.append(self._reasoning_of(block, kind))
        elif invocation := _invocation(block, kind):
            self._add_invocation(invocation)
        elif kind in TOOL_CALL_KINDS and (fields := call_fields(block)) is not None:
            self._account(plain_block(block), _CALL_KEYS)
            self._before_answer()
            self._calls.append(_call(*fields))
        elif (result := result_fields({**block, "type": "tool_result"} if kind == _RESPONSE else block)) is not None:
            fields_of_block = plain_block(block)
            self._account(fields_of_block, _RESULT_KEYS)
            self._results.append(self._result(*result, fields_of_block))
        else:
            self._before_answer()
            self._content += self._parts(block, kind)

    def close(self) -> None:
        """Ends a message, with its results."""
        if self._role == "assistant":
            if self._content or self._calls or self._reasoning or not self._results:
                self.messages.append(self._answer())
            self.messages += self._results
        else:
            self.messages += self._results
            if self._content or not self._results:
                self.messages.append({**self._fields, "content": _texts_or_parts(self._content)})
        self._start()

    def _before_answer(self) -> None:
        if self._results and self._role == "assistant":
            self.close()

    def _answer(self) -> Row:
        message = {**self._fields, "content": _texts_or_parts(self._content)}
        if self._reasoning:
            message["reasoning"] = "\n".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [*(message.get("tool_calls") or ()), *self._calls]
        return message

    def _account(self, block: Row, read: frozenset[str]) -> None:
        kind = kind_of(block)
        fields = {key: value for key, value in block.items() if not (isinstance(value, Mapping) and key not in read)}
        self._builder.account(fields, read | {"type", str(kind)}, "messages[].content[]")

    def _add_invocation(self, block: Row) -> None:
        """Adds a call of Vercel's interface, with its result if it has one."""
        self._account(block, _RESULT_KEYS)
        self._before_answer_to_call()
        id, name = block.get("toolCallId"), block["toolName"]
        self._calls.append(_call(id, name, block.get("input", block.get("args"))))
        if block.get("state") in _FINISHED:
            output = next((block[key] for key in ("errorText", "output", "result") if block.get(key) is not None), "")
            self._results.append(self._result(id, output, {"name": name, "isError": block.get("state") == "output-error"}))

    def _before_answer_to_call(self) -> None:
        if self._results and self._content and self._role == "assistant":
            self.close()

    def _reasoning_of(self, block: Row, kind: str) -> str:
        fields = plain_block(block)
        inner = next((fields[key] for key in ("reasoningText", "reasoning_text") if key in fields), None)
        fields |= inner if isinstance(inner, dict) else {"text": inner} if isinstance(inner, str) else {}
        value = next((fields[key] for key in ("reasoning", "thinking", "text", "content", "summary") if fields.get(key)), None)
        if isinstance(value, list):
            value = "\n".join(
                one if isinstance(one, str) else str(one.get("text") or "") for one in value if isinstance(one, str | dict)
            )
        if kind == "redacted_thinking" or not isinstance(value, str) or not value:
            if kind == "reasoning" and not any(fields.get(key) for key in ("encrypted_content", "encryptedContent")):
                return ""  # the service gave no summary
            raise Unconvertible("reasoning_unreadable", "the reasoning is encrypted", f"{self._builder.path}.content", block)
        return value

    def _result(self, id: Any, value: Any, fields: Row) -> Row:
        name = fields.get("name") or fields.get("toolName")
        is_error = bool(fields.get("is_error") or fields.get("isError")) or fields.get("status") == "error"
        if isinstance(value, list) and len(value) == 1 and kind_of(value[0]) == "json":
            value = value[0]["json"]
        if isinstance(value, dict) and {"type", "value"} <= value.keys():  # Vercel's
            is_error = is_error or value["type"] in _ERROR_OUTPUTS
            value = value["value"]
        message = {"role": "tool", "content": self._result_content(value)}
        message |= {"tool_call_id": str(id)} if id else {}
        message |= {"name": name} if isinstance(name, str) else {}
        return {**message, "status": "error"} if is_error else message

    def _result_content(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value and all(isinstance(one, str) or (kind_of(one) is not None) for one in value):
            return _texts_or_parts([part for one in value for part in self._parts(one, kind_of(one) or "text")])
        return json_of(value)

    def _parts(self, block: Any, kind: str) -> list[Row]:
        if isinstance(block, dict) and kind == "json":
            return [{"type": "text", "text": json_of(block["json"])}]
        data = block["document"].get("data") if isinstance(block, dict) and isinstance(block.get("document"), dict) else None
        if isinstance(data, str | dict):  # Cohere's
            return [{"type": "text", "text": data if isinstance(data, str) else json_of(data)}]
        try:
            parts = content_parts(block)
        except ValueError as problem:
            reason = f": {problem}"
        else:
            if kind == "text" and isinstance(block, dict):
                self._account(block, _TEXT_KEYS)
            if all(part["type"] in ("text", "image_url") for part in parts):
                return parts
            reason = ""
        name = kind or (", ".join(map(str, block)) if isinstance(block, dict) else type(block).__name__)
        text = f"a part of type {name[:80]!r} cannot be trained on{reason}"
        raise Unconvertible("content_part_unsupported", text, f"{self._builder.path}.content", block)


def _call(id: Any, name: Any, arguments: Any) -> Row:
    return {"id": id or None, "type": "function", "function": {"name": name, "arguments": arguments}}


def _texts_or_parts(parts: list[Row]) -> Any:
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _invocation(block: Row, kind: str) -> Row | None:
    """Returns a call of Vercel's interface with its result: a block of a type of its own for each tool, or one that wraps it."""
    inner = block.get("toolInvocation")
    if isinstance(inner, dict):
        return inner if isinstance(inner.get("toolName"), str) else None
    if kind == "dynamic_tool":
        return block if isinstance(block.get("toolName"), str) else None
    type = str(block.get("type"))
    return (
        {**block, "toolName": type[5:]}
        if type.startswith("tool-") and "toolCallId" in block and "toolName" not in block
        else None
    )
