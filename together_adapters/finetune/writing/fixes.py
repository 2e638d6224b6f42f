"""Fixes that may be applied to a row before it is written: small idempotent functions, each counted by its code if it changed it.

Fixes that cannot change what is trained are on by default; those that make a choice are off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic_core import from_json, to_json

from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.finetune.rules import FORMATS, MESSAGE_KEYS, OPTIONAL
from together_adapters.finetune.validation.json_values import to_plain_json
from together_adapters.finetune.writing.message_fixes import functions_to_tools, merge_consecutive
from together_adapters.suggestions import suggests_keywords

Message = dict[str, Any]


@suggests_keywords
@dataclass(frozen=True, kw_only=True)
class Fixes:
    """Which fixes are applied, and what is done with rows that stay invalid.

    Attributes:
        on_error: What is done with invalid rows. `raise`: all are checked, then an error is raised and nothing is written. `drop`:
            they are dropped and counted by their first error; a valid row of another format than the first stays an error.
            `collect`: as `raise`, but the result has the report.
        developer_to_system: Change the role developer to system.
        strip_nulls: Remove keys with the value null from messages, tool calls, tools and rows, as tables add them.
        strip_columns: Remove columns that are not trained on.
        normalize_images: Change `image/jpg` to `image/jpeg`, and an image that is a URL to an object.
        normalize_weights: Change message weights such as 1.0 to 1.
        normalize_content: Where some contents of a row are lists of parts, change the others to lists too.
        normalize_calls: Change arguments that are objects to JSON strings; add the type function to tool calls.
        convert_functions: Convert `functions` and `function_call`, the predecessors of tools, to tools.
        merge_consecutive: Merge consecutive messages of the same role, with a blank line between their texts.
        trim_trailing: Remove messages after the last answer.
        reasoning: `drop` removes reasoning.
        leading_assistant: `drop` removes answers before the first question.
        unknown_fields: `drop` removes keys that are not fields of a message.
        tool_errors: `drop_row` drops rows in which a tool call failed, if the source tells.
        null_arguments: `drop` removes nulls from the arguments of tool calls. Tables add them, but a model may also have meant them.
        leave_out: Names of columns and keys that training may leave out though they carry meaning, such as `score`.
        too_long: `drop` drops rows that are longer than the model trains on, if its limits are known; `error` refuses them; `keep`
            leaves them to the service, which truncates them.
    """

    on_error: Literal["raise", "drop", "collect"] = "raise"
    developer_to_system: bool = True
    strip_nulls: bool = True
    strip_columns: bool = True
    normalize_images: bool = True
    normalize_weights: bool = True
    normalize_content: bool = True
    normalize_calls: bool = True
    convert_functions: bool = True
    merge_consecutive: bool = False
    trim_trailing: bool = False
    reasoning: Literal["keep", "drop"] = "keep"
    leading_assistant: Literal["error", "drop"] = "error"
    unknown_fields: Literal["error", "drop"] = "error"
    tool_errors: Literal["keep", "drop_row"] = "keep"
    null_arguments: Literal["keep", "drop"] = "keep"
    too_long: Literal["error", "drop", "keep"] = "error"
    leave_out: Collection[str] = ()

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name}={value!r} is none of {', '.join(choices)}")
        if isinstance(self.leave_out, str):
            raise ValueError(f"leave_out is a list of names: [{self.leave_out!r}]")

    def apply(self, row: Row) -> tuple[Row, list[str]]:
        """Returns a fixed copy of a row, and the codes of the fixes that changed it.

        Raises:
            Unconvertible: The row cannot be written as JSON, or is to be dropped.
        """
        row = dict(row)
        codes = [fix.code for fix in _COLUMN_FIXES if fix.is_enabled(self) and fix.change(row)]
        row = to_plain_json(row)
        codes += [fix.code for fix in _FIXES if fix.is_enabled(self) and fix.change(row)]
        order_keys(row)
        return row, codes


def fixes_of(fixes: Fixes | None) -> Fixes:
    """Returns fixes, or those that are on by default; raises ValueError for a value that is none."""
    if fixes is not None and not isinstance(fixes, Fixes):
        raise ValueError(f"fixes is an object of the class Fixes, not {fixes!r}")
    return fixes or Fixes()


_CHOICES: Final = {name: get_args(hint) for name, hint in get_type_hints(Fixes).items() if get_origin(hint) is Literal}


class Fix(NamedTuple):
    """A fix: the code under which it is counted, and a function that changes a row in place and returns whether it did."""

    code: str
    is_enabled: Callable[[Fixes], bool]
    change: Callable[[Row], bool]


def message_lists_of(row: Row) -> list[list[Message]]:
    """Returns the lists of messages of a row: one, or the input and the two outputs of a preference."""
    messages = row.get("messages")
    if "input" not in row and "preferred_output" not in row and "non_preferred_output" not in row:
        return [messages] if isinstance(messages, list) else []
    prompt = row.get("input")
    question = prompt.get("messages") if isinstance(prompt, dict) else None
    values = (messages, question, row.get("preferred_output"), row.get("non_preferred_output"))
    return [value for value in values if isinstance(value, list)]


def messages_of(row: Row) -> list[Message]:
    """Returns all messages of a row that are objects."""
    return [message for messages in message_lists_of(row) for message in messages if isinstance(message, dict)]


def calls_of(row: Row) -> list[dict[str, Any]]:
    """Returns all tool calls of a row that are objects."""
    return _calls_in(messages_of(row))


def _calls_in(messages: list[Message]) -> list[dict[str, Any]]:
    call_lists = [message["tool_calls"] for message in messages if "tool_calls" in message]
    return [call for calls in call_lists if isinstance(calls, list) for call in calls if isinstance(call, dict)]


def strip_columns(row: Row) -> bool:
    """Removes columns that are not trained on, if the row has one format."""
    formats = [name for name, columns in FORMATS.items() if columns <= row.keys()]
    if len(formats) != 1:
        return False
    extra = row.keys() - (FORMATS[formats[0]] | OPTIONAL[formats[0]])
    for key in extra:
        if formats[0] == "preference" and key == "tools" and row[key]:
            raise Unconvertible("extra_column", "the tools of a preference must be in input.tools", "tools")
        del row[key]
    prompt = row.get("input")
    if isinstance(prompt, dict) and formats[0] == "preference" and (extra_keys := prompt.keys() - {"messages", "tools"}):
        row["input"] = {key: value for key, value in prompt.items() if key not in extra_keys}
        return True
    return bool(extra)


def developer_to_system(row: Row) -> bool:
    """Changes the role developer to system."""
    messages = [message for message in messages_of(row) if message.get("role") == "developer"]
    for message in messages:
        message["role"] = "system"
    return bool(messages)


def strip_nulls(row: Row) -> bool:
    """Removes keys with the value null, except a content that is required."""
    has_changed = _strip(row, {"tools", "weight"})
    prompt = row.get("input")
    has_changed |= isinstance(prompt, dict) and _strip(prompt, {"tools"})
    for message in messages_of(row):
        required_keys = {"role"} if message.get("tool_calls") else {"role", "content"}
        has_changed |= _strip(message, message.keys() - required_keys)
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            has_changed |= isinstance(part, dict) and _strip(part, part.keys() - {part.get("type")})
    for call in [*calls_of(row), *_tools_of(row)]:
        has_changed |= _strip(call, call.keys())
        function = call.get("function")
        has_changed |= isinstance(function, dict) and _strip(function, function.keys())
    return has_changed


def weights_to_int(row: Row) -> bool:
    """Changes the weights 0.0 and 1.0 to integers."""
    messages = [
        message for message in messages_of(row) if isinstance(message.get("weight"), float) and message["weight"] in (0, 1)
    ]
    for message in messages:
        message["weight"] = int(message["weight"])
    return bool(messages)


def normalize_images(row: Row) -> bool:
    """Changes images to the form that the service accepts."""
    has_changed = False
    for part in _parts_of(row):
        if part.get("type") != "image_url":
            continue
        if isinstance(part.get("image_url"), str):
            part["image_url"] = {"url": part["image_url"]}
            has_changed = True
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else None
        if isinstance(image, dict) and isinstance(url, str) and url.startswith(_JPG):
            image["url"] = _JPEG + url[len(_JPG) :]
            has_changed = True
    return has_changed


def text_to_parts(row: Row) -> bool:
    """Changes strings to lists of one text part, if other contents of the row are lists of parts."""
    messages = messages_of(row)
    if not any(isinstance(message.get("content"), list) for message in messages):
        return False
    messages = [message for message in messages if isinstance(message.get("content"), str) and message["content"]]
    for message in messages:
        message["content"] = [{"type": "text", "text": message["content"]}]
    return bool(messages)


def normalize_calls(row: Row) -> bool:
    """Changes arguments to strings, and adds the type of a tool call."""
    has_changed = False
    for call, function in _calls_with_functions(row):
        if "type" not in call:
            call["type"] = "function"
            has_changed = True
        if isinstance(function.get("arguments"), dict):
            function["arguments"] = to_json(function["arguments"]).decode()
            has_changed = True
    return has_changed


def drop_null_arguments(row: Row) -> bool:
    """Removes nulls from the arguments of tool calls."""
    has_changed = False
    for _, function in _calls_with_functions(row):
        text = function.get("arguments")
        if not isinstance(text, str) or "null" not in text:
            continue
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError:
            continue
        stripped_value = _without_nulls(value)
        if stripped_value != value:
            function["arguments"] = to_json(stripped_value).decode()
            has_changed = True
    return has_changed


def drop_unknown_fields(row: Row) -> bool:
    """Removes keys that are not fields of a message."""
    return sum(_remove(message, message.keys() - MESSAGE_KEYS) for message in messages_of(row)) > 0


def drop_reasoning(row: Row) -> bool:
    """Removes reasoning."""
    return sum(_remove(message, ("reasoning", "reasoning_content")) for message in messages_of(row)) > 0


def drop_tool_status(row: Row) -> bool:
    """Removes the status of tool messages, which is not part of the format."""
    return sum(_remove(message, ("status",)) for message in messages_of(row) if message.get("role") == "tool") > 0


def refuse_tool_errors(row: Row) -> bool:
    """Drops the row if a tool call failed in it."""
    for message in messages_of(row):
        if message.get("role") == "tool" and message.get("status") == "error":
            raise Unconvertible("tool_error", "a tool call of the row failed", skipped=True)
    return False


def drop_leading_answers(row: Row) -> bool:
    """Removes messages before the first question, except system messages."""
    has_changed = False
    for messages in _conversations(row):
        roles = [_role(message) for message in messages]
        start = next((index for index, role in enumerate(roles) if role != "system"), len(roles))
        if start < len(roles) and roles[start] == "assistant" and "user" in roles:
            del messages[start : roles.index("user")]
            has_changed = True
    return has_changed


def trim_trailing(row: Row) -> bool:
    """Removes messages after the last answer."""
    messages = row.get("messages")
    roles = [_role(message) for message in messages] if isinstance(messages, list) else []
    if not isinstance(messages, list) or "assistant" not in roles or roles[-1] not in ("user", "tool"):
        return False
    while _role(messages[-1]) in ("user", "tool"):
        messages.pop()
    return True


def order_keys(row: Row) -> None:
    """Puts the keys of a row, its messages and tool calls in a fixed order."""
    _order(row, _ROW_KEYS)
    if isinstance(prompt := row.get("input"), dict):
        _order(prompt, _ROW_KEYS)
    messages = messages_of(row)
    for message in messages:
        _order(message, _MESSAGE_KEYS)
    for call in _calls_in(messages):
        _order(call, _CALL_KEYS)
        if isinstance(function := call.get("function"), dict):
            _order(function, _CALL_KEYS)


_JPG: Final = "data:image/jpg;base64,"
_JPEG: Final = "data:image/jpeg;base64,"
_ROW_KEYS: Final[Sequence[str]] = (
    "text prompt completion input messages preferred_output non_preferred_output tools weight".split()
)
_MESSAGE_KEYS: Final[Sequence[str]] = "role name tool_call_id reasoning reasoning_content content tool_calls weight".split()
_CALL_KEYS: Final[Sequence[str]] = "id type function name arguments".split()

_COLUMN_FIXES: Final = (
    Fix("functions_converted", lambda fixes: fixes.convert_functions, functions_to_tools),
    Fix("columns_stripped", lambda fixes: fixes.strip_columns, strip_columns),
)
"""Applied before values are converted to JSON: columns that are removed may have any values."""

_FIXES: Final = (
    Fix("developer_to_system", lambda fixes: fixes.developer_to_system, developer_to_system),
    Fix("nulls_stripped", lambda fixes: fixes.strip_nulls, strip_nulls),
    Fix("tool_error", lambda fixes: fixes.tool_errors == "drop_row", refuse_tool_errors),
    Fix("tool_status_dropped", lambda fixes: True, drop_tool_status),
    Fix("weights_to_int", lambda fixes: fixes.normalize_weights, weights_to_int),
    Fix("images_normalized", lambda fixes: fixes.normalize_images, normalize_images),
    Fix("calls_normalized", lambda fixes: fixes.normalize_calls, normalize_calls),
    Fix("null_arguments_dropped", lambda fixes: fixes.null_arguments == "drop", drop_null_arguments),
    Fix("unknown_fields_dropped", lambda fixes: fixes.unknown_fields == "drop", drop_unknown_fields),
    Fix("reasoning_dropped", lambda fixes: fixes.reasoning == "drop", drop_reasoning),
    Fix("leading_assistant_dropped", lambda fixes: fixes.leading_assistant == "drop", drop_leading_answers),
    Fix("trailing_trimmed", lambda fixes: fixes.trim_trailing, trim_trailing),
    Fix("messages_merged", lambda fixes: fixes.merge_consecutive, merge_consecutive),
    Fix("text_to_parts", lambda fixes: fixes.normalize_content, text_to_parts),
)
CODES: Final = tuple(fix.code for fix in (*_COLUMN_FIXES, *_FIXES))
"""The codes of all fixes."""


def _conversations(row: Row) -> list[list[Any]]:
    """Returns the lists of messages of a row without the outputs of a preference."""
    outputs = row.get("preferred_output"), row.get("non_preferred_output")
    return [messages for messages in message_lists_of(row) if all(messages is not output for output in outputs)]


def _calls_with_functions(row: Row) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(call, function) for call in calls_of(row) if isinstance(function := call.get("function"), dict)]


def _tools_of(row: Row) -> list[dict[str, Any]]:
    prompt = row.get("input")
    tools = row.get("tools") or (prompt.get("tools") if isinstance(prompt, dict) else None)
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _parts_of(row: Row) -> list[dict[str, Any]]:
    contents = [message.get("content") for message in messages_of(row)] + [
        row.get(key) for key in ("text", "prompt", "completion")
    ]
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _strip(value: dict[str, Any], keys: Any) -> bool:
    return _remove(value, [key for key in keys if key in value and value[key] is None])


def _remove(value: dict[str, Any], keys: Any) -> bool:
    keys = [key for key in keys if key in value]
    for key in keys:
        del value[key]
    return bool(keys)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _order(value: dict[str, Any], order: Sequence[str]) -> None:
    """Puts keys in an order, in place; others follow by name."""
    keys = [key for key in order if key in value]
    if len(keys) < len(value):
        keys += sorted(value.keys() - keys)
    if keys != list(value):
        result = {key: value[key] for key in keys}
        value.clear()
        value.update(result)
