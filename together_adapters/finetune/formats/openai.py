"""Conversations of OpenAI's format: `messages`, `tools` and the legacy `functions`; TRL's have a column of images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from together_adapters.finetune.accounting import has_value, meaning_of
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import has_template_marks
from together_adapters.finetune.formats.conversation import ConversationBuilder, call, has_nulls, parsed
from together_adapters.finetune.formats.images import base64_type, base64_url, with_images
from together_adapters.finetune.formats.layouts import text_calls
from together_adapters.finetune.formats.layouts.provider_messages import (
    has_items,
    is_foreign,
    messages_of_items,
    openai_messages,
    reasoning_in_details,
    role_of,
)
from together_adapters.finetune.formats.layouts.text_calls import may_be_marked, may_hold_calls
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require, require_record, without_value
from together_adapters.finetune.records import Converted, Row, Unconvertible
from together_adapters.finetune.rules import MESSAGE_KEYS

_MINIMAL_KEYS: Final = frozenset({"role", "content"})
_TEXT_ROLES: Final = ("user", "assistant", "system", "developer")
_ROLES: Final = frozenset({"system", "user", "assistant", "developer", "tool"})
SYSTEM_COLUMNS: Final = ("system", "system_prompt", "system_message", "systemPrompt", "systemMessage", "sys_prompt")
CHAT_COLUMNS: Final = frozenset({"tools", "functions", "toolConfig", "images", "image", *SYSTEM_COLUMNS})
"""What a conversation can hold beside its messages, and other rows cannot."""
_CONVERTED_COLUMNS: Final = CHAT_COLUMNS | {"parallel_tool_calls"}
COLUMNS: Final = _CONVERTED_COLUMNS | {"messages"}
_KNOWN_ROLES: Final = frozenset({*_ROLES, "function", "calls"})
_REASONING_KEYS: Final = ("reasoning", "reasoning_content", "thinking", "tool_plan")
_READ_KEYS: Final = _MINIMAL_KEYS.union(("tool_calls", "function_call", "tool_call_id", "tool_name"), _REASONING_KEYS)
_WEIGHTS: Final = ("loss", "train", "trainable")
"""What trainers call the weight of a message."""
_ARGUMENTS: Final = ("arguments", "args", "parameters", "input")
_FUNCTION_KEYS: Final = frozenset({"name", *_ARGUMENTS})
_CALL_KEYS: Final = _FUNCTION_KEYS | {"id", "type", "function", "index"}


def conversation(record: Any, options: Options) -> Iterable[Converted]:
    """Converts a record with `messages`, or a list of messages alone."""
    if isinstance(record, list):
        record = {"messages": record}
    messages = require_record(record).get("messages")
    changes: list[str] = []
    if type(messages) is list and is_plain(messages, changes):
        if len(record) == 1:
            return (Converted({"messages": messages}, None, tuple(changes)),)
        if _CONVERTED_COLUMNS.isdisjoint(record):
            return (Converted({"messages": messages}, None, tuple(changes)),)
        tools = record.get("tools")
        if len(record) == 2 and type(tools) is list and not options.is_table and all(map(_is_plain_tool, tools)):
            return (Converted({"messages": messages, "tools": tools}, None, tuple(changes)),)
    builder = ConversationBuilder(options)
    builder.tools = tools = declared_tools(record)
    items = messages_in(record)
    read_messages(builder, with_columns(messages_of_items(items) if has_items(items) else items, record))
    if record.get("parallel_tool_calls") is not None:
        builder.change("parallel_tool_calls_dropped")
    if options.is_table and isinstance(tools, list) and has_nulls(tools):
        builder.change("null_schemas_dropped" if options.null_arguments == "drop" else "null_schemas_kept")
    return (builder.converted(tools),)


def is_plain(messages: list[Any], changes: list[str]) -> bool:
    """Whether messages need no change, apart from nulls of tables; adds marks of a template to `changes`."""
    has_marks = False
    for message in messages:
        if type(message) is not dict:
            return False
        content, role = message.get("content"), message.get("role")
        if (
            type(role) is not str
            or role not in _ROLES
            or ((len(message) != 2 or content is None or role == "tool") and not _is_plain_rest(message))
        ):
            return False
        if type(content) is not str:
            if content is not None or not message.get("tool_calls"):
                return False
            continue
        if ("<" in content or "[" in content or "{" in content) and may_be_marked(content):
            if may_hold_calls(content):
                return False
            has_marks = has_marks or has_template_marks(content)
    if has_marks:
        changes.append("template_in_content")
    return bool(messages)


def _is_plain_rest(message: Row) -> bool:
    """Whether the fields of a message besides role and content are as the service takes them."""
    for key in message.keys() - _MINIMAL_KEYS:
        value = message[key]
        if value is None or key in ("name", "weight"):
            continue
        if key == "tool_calls":
            if message["role"] != "assistant" or type(value) is not list or not all(map(_is_plain_call, value)):
                return False
        elif key not in ("tool_call_id", "reasoning") or type(value) is not str or not value:
            return False
    return message["role"] != "tool" or bool(message.get("tool_call_id"))


def _is_plain_call(call: Any) -> bool:
    if type(call) is not dict or not call.get("id") or call.get("type") != "function":
        return False
    function = call.get("function")
    return type(function) is dict and type(function.get("name")) is str and type(function.get("arguments")) is str


def _is_plain_tool(tool: Any) -> bool:
    return type(tool) is dict and tool.get("type") == "function" and type(tool.get("function")) is dict


def messages_in(record: Row, column: str = "messages") -> list[Any]:
    """Returns the messages in a column, which may hold them as JSON text."""
    messages = parsed(record.get(column), column)
    if messages is None:
        raise without_value(record, column)
    return list(require(messages, (list, tuple), "messages_not_list", f"{column} must be a list", column))


def with_columns(messages: list[Any], record: Row) -> list[Any]:
    """Returns messages with the system prompt and the images that stand beside them."""
    return with_system(with_images(messages, record), record)


def with_system(messages: list[Any], record: Row) -> list[Any]:
    """Returns messages with the system prompt of a record before them; one that differs from a message's is refused."""
    prompts = {column: record[column] for column in SYSTEM_COLUMNS if record.get(column)}
    for column, prompt in prompts.items():
        require(prompt, (str, list), "content_wrong_type", f"the column {column} must hold a text", column)
        first = messages[0] if messages and isinstance(messages[0], dict) else {}
        if role_of(first.get("role")) != "system":
            messages = [{"role": "system", "content": prompt}, *messages]
        elif first.get("content") != prompt:
            raise Unconvertible("system_not_first", f"the column {column} is a second, different system prompt", column, prompt)
    return messages


def declared_tools(record: Row) -> Any:
    """Returns the `tools` or `functions` of a record; those of both are refused."""
    tools, functions = record.get("tools"), record.get("functions")
    if tools and functions:
        raise Unconvertible(
            "tool_invalid", "both tools and functions declare tools: only one can be read", "functions", functions
        )
    config = record.get("toolConfig")  # of Bedrock
    return tools or functions or (config if isinstance(config, dict) and config.get("tools") else None)


def read_messages(builder: ConversationBuilder, messages: list[Any]) -> None:
    """Adds messages to a conversation."""
    builder.upcoming = messages
    for message in messages:
        if not isinstance(message, dict):
            require(message, dict, "message_not_object", "a message must be an object", builder.path)
        read_message(builder, message)


def read_message(builder: ConversationBuilder, message: Row) -> None:
    """Adds a message of any provider to a conversation."""
    role = message.get("role")
    text: Any = message.get("content")
    is_text = len(message) == 2 and type(text) is str and role in _TEXT_ROLES and not (role == "user" and builder.open_calls)
    if is_text and "<" not in text and "[" not in text and "{" not in text:
        builder.messages.append({"role": role, "content": text})
        return
    if role not in _KNOWN_ROLES and (usual_role := role_of(role)):
        builder.change("role_renamed")
        message = {**message, "role": usual_role}
    if message.get("images") and role_of(role) == "user":
        message = _with_own_images(message)
    for one in openai_messages(builder, message) if is_foreign(message) else (message,):
        text = text_of_content(one.get("content"))
        for each in _with_calls(builder, one, text) if text else (one,):
            _read(builder, each)


def _with_own_images(message: Row) -> Row:
    """Returns a question with the images that stand beside its text, such as Ollama's in base64."""
    images = message["images"] if isinstance(message["images"], list) else [message["images"]]
    urls = [base64_url(one) if isinstance(one, str) and base64_type(one) else one for one in images]
    question = {key: value for key, value in message.items() if key != "images"}
    return dict(with_images([question], {"images": urls})[0])


def text_of_content(content: Any) -> str:
    """Returns the text of a content, empty if it has other parts than one text."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and content[0].get("type") == "text":
        content = content[0].get("text")
    return content if isinstance(content, str) else ""


def _with_calls(builder: ConversationBuilder, message: Row, text: str) -> list[Row]:
    """Returns a message with the calls that stand in its text, or the results in it and what is left of it."""
    role = message.get("role")
    if role == "assistant" and not message.get("tool_calls"):
        try:
            text_and_calls = text_calls.calls_in(text, builder.is_tool)
        except Unconvertible as problem:
            raise Unconvertible(problem.code, problem.message, f"{builder.path}.content", problem.value) from None
        if text_and_calls:
            builder.change("calls_read_from_text")
            builder.has_text_calls = True
            return [{**message, "content": text_and_calls[0], "tool_calls": text_and_calls[1]}]
        if text_calls.has_marks(text):
            builder.change("calls_in_text")
    elif role in ("tool", "function") or (role == "user" and builder.open_calls):
        results, rest = text_calls.results_in(text, builder.open_calls) or ((), text)
        if results:
            builder.change("results_read_from_text")
            tools = [
                {**message, "role": "tool", "content": one.content} | ({"name": one.name} if one.name else {}) for one in results
            ]
            return [*tools, *([{**message, "content": rest}] if rest and role == "user" else ())]
    elif role in ("system", "developer"):
        builder.has_text_calls = builder.has_text_calls or bool(text_calls.declared_in(text))
    return [message]


def _read(builder: ConversationBuilder, message: Row) -> None:
    """Adds a message. Harmless keys are left out; others that are unknown are kept, and validation reports them."""
    role, content = message.get("role"), message.get("content")
    fields = {key: value for key, value in message.items() if key not in _READ_KEYS and has_value(value)}
    if fields and role in ("assistant", "tool"):
        message = _with_own_names(builder, message, fields)
        content = message.get("content")
    mark = next((key for key in _WEIGHTS if key in fields), None) if fields else None
    if mark is not None and "weight" not in fields and fields[mark] in (0, 1):
        fields["weight"] = int(fields.pop(mark))
        builder.change("mark_is_weight")
    for key in fields.keys() - MESSAGE_KEYS if fields else ():
        if meaning_of(f"messages[].{key}") is True:
            builder.leave_out(f"messages[].{key}", fields.pop(key))
    if isinstance(content, str) and has_template_marks(content):
        builder.change("template_in_content")
    if role == "calls":
        builder.answer(None, _calls_of_content(builder, content), message.get("reasoning"), **fields)
    elif role == "assistant":
        reasoning = next((message[key] for key in _REASONING_KEYS if message.get(key)), None)
        if reasoning is not None and not isinstance(reasoning, str):
            path = f"{builder.path}.reasoning"
            raise Unconvertible("reasoning_not_string", f"reasoning is {kind_of(reasoning)}", path, reasoning)
        builder.answer(content, _calls(builder, message), reasoning, **fields)
    elif role in ("tool", "function"):
        _read_result(builder, message, fields)
    else:
        fields |= {key: message[key] for key in ("tool_calls", "tool_call_id", "reasoning") if message.get(key)}
        builder.add(role, content, **fields)
    if content is None and "content" not in message and builder.messages[-1].get("content", "") is None:
        del builder.messages[-1]["content"]  # validation says that it is missing, and not that it is null


def _with_own_names(builder: ConversationBuilder, message: Row, fields: Row) -> Row:
    """Returns a message with what stands under names of its provider under the usual ones; takes these from `fields`."""
    details = reasoning_in_details(message) if "reasoning_details" in fields else ""
    reasoning = next((message[key] for key in _REASONING_KEYS if message.get(key)), None)
    if details and (reasoning is None or reasoning == details):
        del fields["reasoning_details"]
        message = {**message, "reasoning": details}
    if not message.get("content") and not message.get("tool_calls") and isinstance(fields.get("refusal"), str):
        message = {**message, "content": fields.pop("refusal")}
        builder.change("refusal_is_content")
    if message["role"] == "tool" and fields.get("status") == "error":
        del fields["status"]
    return message


def _read_result(builder: ConversationBuilder, message: Row, fields: Row) -> None:
    content, name = message.get("content"), message.get("name") or message.get("tool_name")
    if message["role"] == "function":
        fields.pop("name", None)
        builder.change("functions_converted")
    elif not builder.has_open_call(name):
        name = None
    if message.get("status") == "error":
        builder.change("tool_error")
        fields["status"] = "error"  # no part of the row's format; `Fixes` reads and removes it
    builder.result(content, message.get("tool_call_id"), name, **fields)


def _calls_of_content(builder: ConversationBuilder, content: Any) -> list[Row]:
    """Returns the calls of a message that holds them, or their JSON text, as its content."""
    path = f"{builder.path}.content"
    value = parsed(content, path, "tool_call_invalid")
    return [_call(builder, one, path) for one in (value if isinstance(value, list) else [value])]


def _calls(builder: ConversationBuilder, message: Row) -> list[Row]:
    calls = message.get("tool_calls")
    if not calls and isinstance(legacy := message.get("function_call"), dict):
        builder.change("functions_converted")
        calls = [{"function": legacy}]
    if not calls and not isinstance(calls, str):
        return []
    path = f"{builder.path}.tool_calls"
    calls = parsed(calls, path, "tool_calls_not_list") or []
    require(calls, (list, tuple), "tool_calls_not_list", "tool_calls must be a list", path)
    return [_call(builder, one, f"{path}[{index}]") for index, one in enumerate(calls)]


def _call(builder: ConversationBuilder, one: Any, path: str) -> Row:
    require(one, dict, "tool_call_invalid", "a call must be an object", path)
    function = one.get("function")
    function = function if isinstance(function, dict) else one
    builder.account(one, _CALL_KEYS, "messages[].tool_calls[]")
    if function is not one:
        builder.account(function, _FUNCTION_KEYS, "messages[].tool_calls[].function")
    arguments = next((function[key] for key in _ARGUMENTS if key in function), None)
    if isinstance(arguments, dict):
        builder.change("arguments_to_text")
        if builder.options.is_table and has_nulls(arguments):
            builder.change("null_arguments_dropped" if builder.options.null_arguments == "drop" else "null_arguments_kept")
    return call(function.get("name"), arguments, one.get("id"), builder.options, path)
