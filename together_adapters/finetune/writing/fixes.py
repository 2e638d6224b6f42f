"""What may be put right in a row before it is written: each a small function, each counted by name when it changed something.

Fixes that cannot change what is trained are on; those that decide something are off. Applied twice, they change nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json, to_json

from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.finetune.rules import FORMATS, MESSAGE_KEYS, OPTIONAL
from together_adapters.finetune.validation.json_values import to_plain_json
from together_adapters.finetune.writing.legacy_functions import functions_to_tools
from together_adapters.finetune.writing.merge_messages import merge_consecutive

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fixes:
    """Which fixes are applied, and what becomes of rows that stay faulty.

    Attributes:
        on_error: What becomes of faulty rows. `raise`: all faults are collected, then raised, and nothing is written. `drop`:
            such rows are left out, and counted by their first fault. `collect`: as `raise`, but the result says so instead.
        developer_to_system: Give messages of the role developer the role system.
        strip_nulls: Leave out keys of messages, calls, tools and rows that hold null, as tables pad them.
        strip_columns: Leave out columns that are not trained on.
        normalize_images: Write `image/jpg` as `image/jpeg`, and an image that is a bare URL as an object.
        normalize_weights: Write message weights such as 1.0 as 1.
        normalize_content: Where a row has lists of parts and texts side by side, make the texts parts.
        normalize_calls: Write arguments that are objects as JSON text; give calls the type function.
        convert_functions: Turn `functions` and `function_call`, the old form of tools, into tools.
        merge_consecutive: Join messages of the same role that follow each other, with a blank line between.
        trim_trailing: Leave out what follows the last answer.
        reasoning: `drop` leaves reasoning out.
        leading_assistant: `drop` leaves out answers that come before the first question.
        unknown_fields: `drop` leaves out keys that a message cannot have.
        tool_errors: `drop_row` leaves out rows in which a tool failed, where the source tells.
        null_arguments: `drop` leaves nulls out of the arguments of calls. Tables invent such; a model may also have meant them.
        too_long: `drop` leaves out rows that are longer than the model trains on, where its limits are given; `error` refuses
            them; `keep` leaves it to the service, which cuts them off.
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

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name}={value!r} is none of {', '.join(choices)}")

    def apply(self, row: Row) -> tuple[Row, list[str]]:
        """Return a row put right, and the codes of what was changed. The row that is given stays as it is.

        Raises:
            Unconvertible: It cannot be written as JSON, or is to be dropped.
        """
        row = dict(row)
        changed = [fix.code for fix in _COLUMNS if fix.wanted(self) and fix.change(row)]
        row = to_plain_json(row)
        changed += [fix.code for fix in _FIXES if fix.wanted(self) and fix.change(row)]
        return with_ordered_keys(row), changed


_CHOICES: Final = {
    "on_error": ("raise", "drop", "collect"),
    "reasoning": ("keep", "drop"),
    "leading_assistant": ("error", "drop"),
    "unknown_fields": ("error", "drop"),
    "tool_errors": ("keep", "drop_row"),
    "null_arguments": ("keep", "drop"),
    "too_long": ("error", "drop", "keep"),
}


class Fix(NamedTuple):
    """One fix.

    Attributes:
        code: The name under which it is counted.
        wanted: Whether it is among those to be applied.
        change: Alters a row in place; returns whether anything changed.
    """

    code: str
    wanted: Callable[[Fixes], bool]
    change: Callable[[Row], bool]


def message_lists_of(row: Row) -> list[list[Message]]:
    """Return the lists of messages that a row has: one, or the input and the two answers of a preference."""
    given = row.get("input")
    found = [row.get("messages"), given.get("messages") if isinstance(given, dict) else None]
    found += [row.get("preferred_output"), row.get("non_preferred_output")]
    return [talk for talk in found if isinstance(talk, list)]


def messages_of(row: Row) -> list[Message]:
    """Return all messages of a row that are objects."""
    return [message for talk in message_lists_of(row) for message in talk if isinstance(message, dict)]


def calls_of(row: Row) -> list[dict[str, Any]]:
    """Return all tool calls of a row that are objects."""
    made = [message.get("tool_calls") for message in messages_of(row)]
    return [call for calls in made if isinstance(calls, list) for call in calls if isinstance(call, dict)]


def strip_columns(row: Row) -> bool:
    """Leave out columns that are not trained on, where the format is plain."""
    fitting = [name for name, needed in FORMATS.items() if needed <= row.keys()]
    if len(fitting) != 1:
        return False
    kept = FORMATS[fitting[0]] | OPTIONAL[fitting[0]]
    extra = row.keys() - kept
    for key in extra:
        if fitting[0] == "preference" and key == "tools" and row[key]:
            raise Unconvertible("extra_column", "tools of a preference belong into input.tools", "tools")
        del row[key]
    given = row.get("input")
    if isinstance(given, dict) and fitting[0] == "preference" and (more := given.keys() - {"messages", "tools"}):
        row["input"] = {key: value for key, value in given.items() if key not in more}
        return True
    return bool(extra)


def developer_to_system(row: Row) -> bool:
    """Rename a role."""
    found = [message for message in messages_of(row) if message.get("role") == "developer"]
    for message in found:
        message["role"] = "system"
    return bool(found)


def strip_nulls(row: Row) -> bool:
    """Leave out keys that hold null, but not a content that has to be there."""
    changed = _strip(row, {"tools", "weight"})
    given = row.get("input")
    changed |= isinstance(given, dict) and _strip(given, {"tools"})
    for message in messages_of(row):
        kept = {"role"} if message.get("tool_calls") else {"role", "content"}
        changed |= _strip(message, message.keys() - kept)
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            changed |= isinstance(part, dict) and _strip(part, part.keys() - {part.get("type")})
    for call in [*calls_of(row), *_tools_of(row)]:
        changed |= _strip(call, call.keys())
        function = call.get("function")
        changed |= isinstance(function, dict) and _strip(function, function.keys())
    return changed


def weights_to_int(row: Row) -> bool:
    """Write whole numbers as such."""
    found = [message for message in messages_of(row) if isinstance(message.get("weight"), float) and message["weight"] in (0, 1)]
    for message in found:
        message["weight"] = int(message["weight"])
    return bool(found)


def normalize_images(row: Row) -> bool:
    """Give images the one form that the service takes."""
    changed = False
    for part in _parts_of(row):
        if part.get("type") != "image_url":
            continue
        if isinstance(part.get("image_url"), str):
            part["image_url"] = {"url": part["image_url"]}
            changed = True
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else None
        if isinstance(image, dict) and isinstance(url, str) and url.startswith(_JPG):
            image["url"] = _JPEG + url[len(_JPG) :]
            changed = True
    return changed


def text_to_parts(row: Row) -> bool:
    """Make texts parts where other messages of the row have parts."""
    messages = messages_of(row)
    if not any(isinstance(message.get("content"), list) for message in messages):
        return False
    found = [message for message in messages if isinstance(message.get("content"), str) and message["content"]]
    for message in found:
        message["content"] = [{"type": "text", "text": message["content"]}]
    return bool(found)


def normalize_calls(row: Row) -> bool:
    """Write arguments as text, and the type that every call has."""
    changed = False
    for call in calls_of(row):
        function = call.get("function")
        if not isinstance(function, dict):
            continue
        if "type" not in call:
            call["type"] = "function"
            changed = True
        if isinstance(function.get("arguments"), dict):
            function["arguments"] = to_json(function["arguments"]).decode()
            changed = True
    return changed


def drop_null_arguments(row: Row) -> bool:
    """Leave nulls out of the arguments of calls."""
    changed = False
    for call in calls_of(row):
        function = call.get("function")
        text = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(text, str) or "null" not in text:
            continue
        try:
            value = from_json(text, allow_inf_nan=False)
        except ValueError:
            continue
        kept = _without_nulls(value)
        if kept != value:
            function["arguments"] = to_json(kept).decode()
            changed = True
    return changed


def drop_unknown_fields(row: Row) -> bool:
    """Leave out keys that a message cannot have."""
    changed = False
    for message in messages_of(row):
        for key in message.keys() - MESSAGE_KEYS:
            del message[key]
            changed = True
    return changed


def drop_reasoning(row: Row) -> bool:
    """Leave reasoning out."""
    return sum(_remove(message, ("reasoning", "reasoning_content")) for message in messages_of(row)) > 0


def drop_tool_status(row: Row) -> bool:
    """Leave out what says whether a tool failed; it is no part of the format."""
    return sum(_remove(message, ("status",)) for message in messages_of(row) if message.get("role") == "tool") > 0


def refuse_tool_errors(row: Row) -> bool:
    """Drop the row when a tool failed in it."""
    for message in messages_of(row):
        if message.get("role") == "tool" and message.get("status") == "error":
            raise Unconvertible("tool_error", "a tool failed in it", skipped=True)
    return False


def drop_leading_answers(row: Row) -> bool:
    """Leave out what comes before the first question, save a system message."""
    changed = False
    for talk in _conversations(row):
        roles = [_role(message) for message in talk]
        start = 0
        while start < len(roles) and roles[start] == "system":
            start += 1
        if start < len(roles) and roles[start] == "assistant" and "user" in roles:
            del talk[start : roles.index("user")]
            changed = True
    return changed


def trim_trailing(row: Row) -> bool:
    """Leave out what follows the last answer."""
    talk = row.get("messages")
    roles = [_role(message) for message in talk] if isinstance(talk, list) else []
    if not isinstance(talk, list) or "assistant" not in roles or roles[-1] not in ("user", "tool"):
        return False
    while _role(talk[-1]) in ("user", "tool"):
        talk.pop()
    return True


def with_ordered_keys(row: Row) -> Row:
    """Return a row with its keys, and those of its messages and calls, in an order that is always the same."""
    row = _in_order(row, _ROW_KEYS)
    if isinstance(row.get("input"), dict):
        row["input"] = _in_order(row["input"], _ROW_KEYS)
    for talk in message_lists_of(row):
        talk[:] = [_message_in_order(message) if isinstance(message, dict) else message for message in talk]
    return row


_JPG: Final = "data:image/jpg;base64,"
_JPEG: Final = "data:image/jpeg;base64,"
_ROW_KEYS: Final = (
    "text",
    "prompt",
    "completion",
    "input",
    "messages",
    "preferred_output",
    "non_preferred_output",
    "tools",
    "weight",
)
_MESSAGE_KEYS: Final = ("role", "name", "tool_call_id", "reasoning", "reasoning_content", "content", "tool_calls", "weight")
_CALL_KEYS: Final = ("id", "type", "function", "name", "arguments")

_COLUMNS: Final = (
    Fix("functions_converted", lambda fixes: fixes.convert_functions, functions_to_tools),
    Fix("columns_stripped", lambda fixes: fixes.strip_columns, strip_columns),
)
"""What comes before values are looked at: columns that go may hold anything."""

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
CODES: Final = tuple(fix.code for fix in (*_COLUMNS, *_FIXES))
"""The names under which changes are counted."""


def _conversations(row: Row) -> list[list[Any]]:
    """Return the conversations of a row: not the answers of a preference."""
    return [
        talk
        for talk in message_lists_of(row)
        if talk is not row.get("preferred_output") and talk is not row.get("non_preferred_output")
    ]


def _tools_of(row: Row) -> list[dict[str, Any]]:
    given = row.get("input")
    declared = row.get("tools") or (given.get("tools") if isinstance(given, dict) else None)
    return [tool for tool in declared if isinstance(tool, dict)] if isinstance(declared, list) else []


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
    found = [key for key in keys if key in value]
    for key in found:
        del value[key]
    return bool(found)


def _message_in_order(message: Message) -> Message:
    message = _in_order(message, _MESSAGE_KEYS)
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [_call_in_order(call) if isinstance(call, dict) else call for call in calls]
    return message


def _call_in_order(call: dict[str, Any]) -> dict[str, Any]:
    call = _in_order(call, _CALL_KEYS)
    if isinstance(call.get("function"), dict):
        call["function"] = _in_order(call["function"], _CALL_KEYS)
    return call


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _in_order(value: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    known = {key: value[key] for key in order if key in value}
    if len(known) < len(value):
        known.update((key, value[key]) for key in sorted(value.keys() - known.keys()))
    return known
