"""ShareGPT: `conversations` of `from` and `value`, whose roles everybody names differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import Talk, call, parsed
from together_adapters.finetune.formats.openai import declared_tools
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.placeholders import with_images
from together_adapters.finetune.readers.columns import extras, require_record
from together_adapters.finetune.records import Converted, Row, Unconvertible

ALIASES: Final = {
    "system": "system", "developer": "system",
    "human": "user", "user": "user", "prompter": "user",
    "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "assistant": "assistant",
    "model": "assistant", "bot": "assistant", "ai": "assistant",
    "tool": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
    "function_call": "calls", "tool_call": "calls",
}  # fmt: skip
"""What each speaker is, by the name in lower case with underscores."""

_PLAIN: Final = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_USED: Final = frozenset(
    {"conversations", "conversation", "system", "tools", "functions", "images", "image", "chosen", "rejected"}
)  # fmt: skip


def sharegpt(record: Any, options: Options) -> Iterator[Converted]:
    """Convert a record; with `chosen` and `rejected` it becomes a preference."""
    record = require_record(record)
    turns = parsed(record.get("conversations") or record.get("conversation"), "conversations")
    if not isinstance(turns, list) or not turns:
        raise Unconvertible("messages_empty", "there is no conversation", "conversations", turns)
    if len(record) == 1 and (plain := _plain(turns)) is not None:
        yield Converted({"messages": plain})
        return
    talk = Talk(options)
    if isinstance(system := record.get("system"), str) and system:
        talk.add("system", system)
    _read(talk, with_images(_messages(turns), record))
    more = extras(record, _USED, talk.changed)
    if record.get("chosen") is None or record.get("rejected") is None:
        yield talk.converted(declared_tools(record), extra=more)
        return
    row = talk.converted(declared_tools(record)).row
    outputs = {}
    for column, name in (("chosen", "preferred_output"), ("rejected", "non_preferred_output")):
        side = Talk(options)
        given = record[column]
        _read(side, _messages(given if isinstance(given, list) else [given]))
        if len(side.messages) != 1 or side.messages[0]["role"] != "assistant":
            raise Unconvertible("pref_output_not_exactly_one", f"{column} must be one answer", column)
        outputs[name] = side.messages
    yield Converted({"input": row, **outputs, **more}, None, tuple(talk.changed))


def _plain(turns: list[Any]) -> list[Row] | None:
    """The messages of turns that have the common names and texts alone."""
    messages = []
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, value = _PLAIN.get(turn.get("from", "")), turn.get("value")
        if role is None or type(value) is not str:
            return None
        messages.append({"role": role, "content": value})
    return messages


def _messages(turns: list[Any]) -> list[Row]:
    """Turns as messages whose roles are known."""
    unknown: Counter[str] = Counter()
    messages = []
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise Unconvertible(
                "message_not_object", f"a turn must be an object, not {kind_of(turn)}", f"conversations[{place}]", turn
            )
        name = next((turn[key] for key in ("from", "role") if turn.get(key) is not None), None)
        role = ALIASES.get("_".join(str(name).lower().replace("-", " ").replace("_", " ").split()))
        if role is None:
            unknown[str(name)[:60]] += 1
            continue
        value = next((turn[key] for key in ("value", "content") if turn.get(key) is not None), None)
        message = {"role": role, "content": value}
        if (weight := turn.get("weight", turn.get("loss"))) is not None:
            message["weight"] = int(weight) if isinstance(weight, bool) else weight
        messages.append(message)
    if unknown:
        listed = ", ".join(f"{name!r} ({count})" for name, count in unknown.most_common(10))
        raise Unconvertible("role_unknown", f"nobody knows who these are: {listed}", "conversations")
    return messages


def _read(talk: Talk, messages: list[Row]) -> None:
    for message in messages:
        role, content = message["role"], message["content"]
        more = {"weight": message["weight"]} if "weight" in message else {}
        if role == "calls":
            talk.answer(None, _calls(talk, content), **more)
        elif role == "assistant":
            talk.answer(content, **more)
        elif role == "tool":
            talk.result(content if isinstance(content, str | list) else str(content), **more)
        else:
            talk.add(role, content, **more)


def _calls(talk: Talk, content: Any) -> list[Row]:
    path = f"{talk.path}.content"
    made = parsed(content, path, "tool_call_invalid")
    made = made if isinstance(made, list) else [made]
    found = []
    for one in made:
        if not isinstance(one, dict):
            raise Unconvertible("tool_call_invalid", f"a call must be an object, not {kind_of(one)}", path, one)
        found.append(call(one.get("name"), one.get("arguments", one.get("parameters")), one.get("id"), talk.options, path))
    return found
