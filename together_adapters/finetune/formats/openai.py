"""Conversations as OpenAI's API has them: `messages`, `tools`, and the older `functions`; TRL's with images beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import marked
from together_adapters.finetune.formats.conversation import Talk, call, has_nulls, parsed
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.placeholders import with_images
from together_adapters.finetune.readers.columns import extras, require_record
from together_adapters.finetune.records import Converted, Row, Unconvertible

_PLAIN: Final = frozenset({"role", "content"})
_PLAIN_ROLES: Final = frozenset({"system", "user", "assistant", "developer", "tool"})
_USED: Final = frozenset(
    {"messages", "tools", "functions", "images", "image", "parallel_tool_calls", "function_call", "tool_choice"}
)
_BESIDE: Final = frozenset({"tools", "functions", "images", "image", "parallel_tool_calls"})
_TAKEN: Final = frozenset(
    {"role", "content", "tool_calls", "function_call", "tool_call_id", "reasoning", "reasoning_content"}
)  # fmt: skip


def conversation(record: Any, options: Options) -> Iterable[Converted]:
    """Convert a record with `messages`, or a list of messages alone."""
    if isinstance(record, list):
        record = {"messages": record}
    messages = require_record(record).get("messages")
    changed: list[str] = []
    if type(messages) is list and is_plain(messages, changed):
        if len(record) == 1:
            return (Converted({"messages": messages}, None, tuple(changed)),)
        if _BESIDE.isdisjoint(record):
            return (Converted({"messages": messages} | extras(record, _USED, changed), None, tuple(changed)),)
        tools = record.get("tools")
        if len(record) == 2 and type(tools) is list and not options.padded and all(map(_is_plain_tool, tools)):
            return (Converted({"messages": messages, "tools": tools}, None, tuple(changed)),)
    talk = Talk(options)
    read_messages(talk, with_images(messages_in(record), record))
    tools = declared_tools(record)
    if record.get("parallel_tool_calls") is not None:
        talk.change("parallel_tool_calls_dropped")
    if options.padded and isinstance(tools, list) and has_nulls(tools):
        talk.change("null_schemas_dropped" if options.null_arguments == "drop" else "null_schemas_kept")
    return (talk.converted(tools, extra=extras(record, _USED, talk.changed)),)


def any_of_openai(record: Any, options: Options) -> Iterable[Converted]:
    """Convert a line of OpenAI's: a conversation, or a preference."""
    if isinstance(record, dict) and "preferred_output" in record:
        from together_adapters.finetune.formats.preference import preference

        return preference(record, options)
    return conversation(record, options)


def answered(record: Any, options: Options) -> Iterable[Converted]:
    """Convert a line of LlamaIndex's handler: a conversation that must end with its answer."""
    for converted in conversation(record, options):
        if converted.row["messages"][-1].get("role") != "assistant":
            raise Unconvertible("answer_missing", "the conversation ends without an answer", "messages")
        yield converted


def is_plain(messages: list[Any], changed: list[str]) -> bool:
    """Whether messages need no change: roles and texts alone, and nulls that tables pad them with.

    Args:
        messages: The messages.
        changed: Where to note that a text has the marks of a template.
    """
    found = False
    for message in messages:
        if type(message) is not dict:
            return False
        content, role = message.get("content"), message.get("role")
        if (
            type(role) is not str
            or role not in _PLAIN_ROLES
            or ((len(message) != 2 or content is None or role == "tool") and not _is_plain_rest(message))
        ):
            return False
        if type(content) is not str:
            if content is not None or not message.get("tool_calls"):
                return False
            continue
        found = found or (("<" in content or "[" in content) and marked(content))
    if found:
        changed.append("template_in_content")
    return bool(messages)


def _is_plain_rest(message: Row) -> bool:
    """Whether what a message holds besides role and content is as the service has it."""
    for key in message.keys() - _PLAIN:
        value = message[key]
        if value is None or key in ("name", "weight"):
            continue
        if key == "tool_calls":
            if message["role"] != "assistant" or type(value) is not list or not all(map(_is_plain_call, value)):
                return False
        elif key not in ("tool_call_id", "reasoning") or type(value) is not str or not value:
            return False
    return message["role"] != "tool" or bool(message.get("tool_call_id"))


def _is_plain_call(made: Any) -> bool:
    if type(made) is not dict or not made.get("id") or made.get("type") != "function":
        return False
    function = made.get("function")
    return type(function) is dict and type(function.get("name")) is str and type(function.get("arguments")) is str


def _is_plain_tool(tool: Any) -> bool:
    return type(tool) is dict and tool.get("type") == "function" and type(tool.get("function")) is dict


def messages_in(record: Row, column: str = "messages") -> list[Any]:
    """Return the messages in a column, which may hold them as JSON text."""
    messages = parsed(record.get(column), column)
    if messages is None:
        raise Unconvertible("cell_missing", f"the column {column} is empty", column)
    if not isinstance(messages, list | tuple):
        raise Unconvertible("messages_not_list", f"{column} must be a list, not {kind_of(messages)}", column, messages)
    return list(messages)


def declared_tools(record: Row) -> Any:
    """Return what a record declares as tools, under the new name or the old."""
    return record.get("tools") or record.get("functions")


def read_messages(talk: Talk, messages: list[Any]) -> None:
    """Take messages in OpenAI's form into a conversation."""
    for message in messages:
        if not isinstance(message, dict):
            raise Unconvertible("message_not_object", f"a message must be an object, not {kind_of(message)}", talk.path, message)
        read_message(talk, message)


def read_message(talk: Talk, message: Row) -> None:
    """Take one message into a conversation. What it holds besides stays, to be judged by the check."""
    role, content = message.get("role"), message.get("content")
    more = {key: value for key, value in message.items() if key not in _TAKEN and value is not None}
    if isinstance(content, str) and marked(content):
        talk.change("template_in_content")
    if role == "assistant":
        reasoning = message.get("reasoning") or message.get("reasoning_content")
        if reasoning is not None and not isinstance(reasoning, str):
            raise Unconvertible("reasoning_not_string", f"reasoning is {kind_of(reasoning)}", f"{talk.path}.reasoning", reasoning)
        talk.answer(content, _calls(talk, message), reasoning, **more)
    elif role in ("tool", "function"):
        named = None if role == "tool" else message.get("name")
        if role == "function":
            more.pop("name", None)
            talk.change("functions_converted")
        talk.result(content, message.get("tool_call_id"), named, **more)
    else:
        kept = {key: message[key] for key in ("tool_calls", "tool_call_id", "reasoning") if message.get(key)}
        talk.add(role, content, **kept, **more)


def _calls(talk: Talk, message: Row) -> list[Row]:
    made = message.get("tool_calls")
    path = f"{talk.path}.tool_calls"
    if not made and isinstance(legacy := message.get("function_call"), dict):
        talk.change("functions_converted")
        made = [{"function": legacy}]
    made = parsed(made, path, "tool_calls_not_list")
    if not made:
        return []
    if not isinstance(made, list | tuple):
        raise Unconvertible("tool_calls_not_list", f"tool_calls must be a list, not {kind_of(made)}", path, made)
    return [_call(talk, one, f"{path}[{place}]") for place, one in enumerate(made)]


def _call(talk: Talk, one: Any, path: str) -> Row:
    if not isinstance(one, dict):
        raise Unconvertible("tool_call_invalid", f"a call must be an object, not {kind_of(one)}", path, one)
    function = one.get("function")
    if not isinstance(function, dict):
        function = one
    arguments = function.get("arguments", function.get("args"))
    if isinstance(arguments, dict):
        talk.change("arguments_to_text")
        if talk.options.padded and has_nulls(arguments):
            talk.change("null_arguments_dropped" if talk.options.null_arguments == "drop" else "null_arguments_kept")
    return call(function.get("name"), arguments, one.get("id"), talk.options, path)
