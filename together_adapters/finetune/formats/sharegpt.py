"""ShareGPT: `conversations` of `from` and `value`, with many names for each role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import has_value
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.layouts.provider_messages import ROLES, role_of
from together_adapters.finetune.formats.layouts.text_calls import may_be_marked, may_hold_calls
from together_adapters.finetune.formats.layouts.turns import COLUMNS as TURN_COLUMNS
from together_adapters.finetune.formats.layouts.turns import turn_column, with_roles
from together_adapters.finetune.formats.openai import CHAT_COLUMNS, declared_tools, read_message, with_columns
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require, require_record
from together_adapters.finetune.records import Converted, Row, Unconvertible
from together_adapters.suggestions import suggestion

_COMMON_NAMES: Final = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
COLUMNS: Final = CHAT_COLUMNS.union(TURN_COLUMNS, ("chosen", "rejected"))
_OTHER_COLUMNS: Final = COLUMNS - {"conversations"}
_SPEAKER_KEYS: Final = ("from", "role")
_TEXT_KEYS: Final = ("value", "content")
_REASONING_KEYS: Final = ("reasoning", "reasoning_content", "thinking", "thought", "rationale")
_MESSAGE_KEYS: Final = ("name", "tool_calls", "function_call", "tool_call_id")
_READ_KEYS: Final = frozenset({*_SPEAKER_KEYS, *_TEXT_KEYS, *_REASONING_KEYS, *_MESSAGE_KEYS, "weight", "loss"})


def sharegpt(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record; with `chosen` and `rejected` it becomes a preference."""
    record = require_record(record)
    turns = record.get("conversations")
    if type(turns) is list and turns and _OTHER_COLUMNS.isdisjoint(record) and (messages := _common_messages(turns)) is not None:
        yield Converted({"messages": messages})
        return
    column = turn_column(record) or "conversations"
    turns = parsed(record.get(column), column)
    if not isinstance(turns, list) or not turns:
        raise Unconvertible("messages_empty", "there is no conversation", column, turns)
    builder = ConversationBuilder(options)
    builder.tools = declared_tools(record)
    builder.account({other: record.get(other) for other in TURN_COLUMNS if other != column}, frozenset())
    _read(builder, with_columns(_messages(builder, with_roles(turns, column)), record))
    if record.get("chosen") is None or record.get("rejected") is None:
        builder.account({column: record.get(column) for column in ("chosen", "rejected")}, frozenset())
        yield builder.converted(declared_tools(record))
        return
    row = builder.converted(declared_tools(record)).row
    outputs = {}
    for column, name in (("chosen", "preferred_output"), ("rejected", "non_preferred_output")):
        side = ConversationBuilder(options)
        turns = record[column]
        _read(side, _messages(builder, turns if isinstance(turns, list) else [turns]))
        if len(side.messages) != 1 or side.messages[0]["role"] != "assistant":
            raise Unconvertible("pref_output_not_exactly_one", f"{column} must be one answer", column)
        outputs[name] = side.messages
        builder.left_out.update(side.left_out)
    yield Converted({"input": row, **outputs}, None, tuple(builder.changes), builder.left_out)


def _common_messages(turns: list[Any]) -> list[Row] | None:
    """Converts turns of common names and texts, or returns None if there are others."""
    messages = []
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, value = _COMMON_NAMES.get(turn.get("from", "")), turn.get("value")
        if role is None or type(value) is not str:
            return None
        if ("<" in value or "[" in value or "{" in value) and may_be_marked(value) and may_hold_calls(value):
            return None
        messages.append({"role": role, "content": value})
    return messages


def _messages(builder: ConversationBuilder, turns: list[Any]) -> list[Row]:
    """Converts turns to messages; those that call tools have the role `calls`."""
    unknown: Counter[str] = Counter()
    path = ""
    messages = []
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            require(turn, dict, "message_not_object", "a turn must be an object", f"conversations[{index}]")
        key = next((key for key in _SPEAKER_KEYS if turn.get(key) is not None), "from")
        name = turn.get(key)
        role = role_of(name)
        if role is None:
            unknown[str(name)[:60]] += 1
            path = path or f"conversations[{index}].{key}"
            continue
        value = _first(builder, turn, _TEXT_KEYS)
        message = {"role": role, "content": value} | {key: turn[key] for key in _MESSAGE_KEYS if has_value(turn.get(key))}
        if reasoning := _first(builder, turn, _REASONING_KEYS):
            message["reasoning"] = reasoning
        builder.account(turn, _READ_KEYS, "conversations[]")
        if (weight := turn.get("weight", turn.get("loss"))) is not None:
            message["weight"] = int(weight) if isinstance(weight, bool) else weight
        messages.append(message)
    if unknown:
        names = ", ".join(f"{name!r} ({count})" for name, count in unknown.most_common(10))
        hint = suggestion(next(iter(unknown)), ROLES, {})
        raise Unconvertible("speaker_unknown", f"unknown speakers: {names}{hint}", path)
    return messages


def _first(builder: ConversationBuilder, turn: Row, keys: tuple[str, ...]) -> Any:
    """Returns the first of some keys of a turn; another with a different value is left out."""
    values = {key: turn[key] for key in keys if turn.get(key) is not None}
    first = next(iter(values.values()), None)
    for key, value in values.items() if len(values) > 1 else ():
        if value and value != first:
            builder.leave_out(f"conversations[].{key}", value)
    return first


def _read(builder: ConversationBuilder, messages: list[Row]) -> None:
    builder.upcoming = messages
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "tool":
            read_message(builder, {**message, "content": content if isinstance(content, str | list) else str(content)})
        else:
            read_message(builder, message)
