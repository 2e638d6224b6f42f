"""Rows that fit the schemas, checked for what schemas cannot express, and their facts as in a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from operator import add
from types import NoneType
from typing import Any, Final, NamedTuple

from msgspec import UNSET, DecodeError, Struct, UnsetType
from msgspec.json import Decoder

from together_adapters.finetune.validation.check_tools import is_json_object
from together_adapters.finetune.validation.fast_tools import Tools
from together_adapters.finetune.validation.row_schemas import (
    Assistant,
    CallConversation,
    CallingAssistant,
    General,
    Instruction,
    Preference,
    System,
    TextAssistant,
    TextConversation,
    TextMessage,
    TextPart,
    TextResult,
    TextSystem,
    TextUser,
    Tool,
    ToolCall,
    User,
)

_SHORT: Final = 200
"""Texts of fewer characters cannot be nested too deeply for the parser of the other checks."""
_INVALID: Final = (0, 0, NoneType)
_NO_COUNTS: Final[Mapping[str, int]] = {}


class ValidRows(NamedTuple):
    """Valid rows of one format: the characters and messages of each, and facts about all of them as in a report.

    Where they are written, `lines` are those of the file; `changes` and `left_out` count the rows with each.
    """

    format: str
    chars: list[int]
    turns: list[int]
    roles: Mapping[str, int]
    trained_chars: int
    weighted: int = 0
    tools: Mapping[str, int] = _NO_COUNTS
    has_tools: bool = False
    has_parallel_tool_calls: bool = False
    has_reasoning: bool = False
    has_sample_weights: bool = False
    lines: bytes = b""
    changes: Mapping[str, int] = _NO_COUNTS
    left_out: Mapping[str, int] = _NO_COUNTS


def measure_texts(rows: Sequence[TextConversation]) -> ValidRows | None:
    """Returns the facts of conversations with text only; None if not all are valid."""
    chars: list[int] = []
    turns: list[int] = []
    trained_chars = 0
    for row in rows:
        messages = row.messages
        size, answers, last = _measure_text(messages)
        if last is not TextAssistant:
            return None
        chars.append(size)
        turns.append(len(messages))
        trained_chars += answers
    return ValidRows("conversation", chars, turns, _count_roles(turns), trained_chars)


def _measure_text(messages: list[TextMessage]) -> tuple[int, int, type]:
    """Returns the characters of all messages, of the answers, and the type of the last message; NoneType if they are invalid."""
    chars = trained_chars = 0
    last: type = NoneType
    for message in messages:  # each branch reads the content of one type, which CPython does faster than that of several
        kind = type(message)
        if kind is TextAssistant:
            text = message.content
            if last is not TextUser or not text or text.isspace():
                return _INVALID
            trained_chars += len(text)
        elif kind is last:
            return _INVALID
        elif kind is TextUser:
            chars += len(message.content)
        elif last is NoneType:
            chars = len(message.content)
        else:
            return _INVALID
        last = kind
    return chars + trained_chars, trained_chars, last


def measure_preferences(rows: Sequence[Preference]) -> ValidRows | None:
    """Returns the facts of preferences with text only; None if not all are valid."""
    chars: list[int] = []
    turns: list[int] = []
    trained_chars = 0
    for row in rows:
        messages = row.input.messages
        if len(messages) == 1:
            size, last = len(messages[0].content), type(messages[0])
        else:
            size, _, last = _measure_text(messages)
        if last is not TextUser:
            return None
        better, worse = row.preferred_output[0].content, row.non_preferred_output[0].content
        if better == worse or not better or not worse or better.isspace() or worse.isspace():
            return None
        outputs = len(better) + len(worse)
        chars.append(size + outputs)
        turns.append(len(messages) + 1)
        trained_chars += outputs
    roles = _count_roles(turns)
    roles["assistant"] += len(turns)
    return ValidRows("preference", chars, [number + 1 for number in turns], roles, trained_chars)


def measure_general(rows: Sequence[General]) -> ValidRows | None:
    """Returns the facts of texts; None if not all are valid."""
    texts = [row.text for row in rows]
    if _has_blank(texts):
        return None
    chars = [*map(len, texts)]
    return ValidRows("general", chars, [], {}, sum(chars), has_sample_weights=_has_weights(rows))


def measure_instructions(rows: Sequence[Instruction]) -> ValidRows | None:
    """Returns the facts of prompts with completions; None if not all are valid."""
    prompts, completions = [row.prompt for row in rows], [row.completion for row in rows]
    if _has_blank(prompts) or _has_blank(completions):
        return None
    answers = [*map(len, completions)]
    chars = [*map(add, map(len, prompts), answers)]
    return ValidRows("instruction", chars, [], {}, sum(answers), has_sample_weights=_has_weights(rows))


def _has_blank(texts: list[str]) -> bool:
    """Whether a text is empty or only white space."""
    return not all(texts) or any(map(str.isspace, texts))


def _has_weights(rows: Sequence[Any]) -> bool:
    return any(row.weight is not UNSET for row in rows)


def _count_roles(turns: list[int]) -> dict[str, int]:
    """Counts messages by role, in conversations of so many messages: one with an odd number starts with a system message."""
    pairs = sum([number // 2 for number in turns])
    return {"system": sum(turns) - 2 * pairs, "user": pairs, "assistant": pairs}


def measure_calls(rows: Sequence[CallConversation], tool_sets: Sequence[Tools | None]) -> ValidRows | None:
    """Returns conversations of texts and tool calls, with the tools of each; None if not all are valid."""
    chars: list[int] = []
    trained_chars = 0
    calls: list[str] = []
    has_parallel_calls = False
    for row, tools in zip(rows, tool_sets, strict=True):
        facts = _measure_calls(row.messages, tools, calls) if tools else None
        if facts is None:
            return None
        chars.append(facts[0])
        trained_chars += facts[1]
        has_parallel_calls = has_parallel_calls or facts[2]
    return ValidRows(
        "conversation",
        chars,
        [len(row.messages) for row in rows],
        _roles_in(rows),
        trained_chars,
        0,
        Counter(calls),
        bool(calls) or any(tools.any for tools in tool_sets if tools),
        has_parallel_calls,
    )


def _measure_calls(messages: list[Any], tools: Tools, calls: list[str]) -> tuple[int, int, bool] | None:
    """Returns the characters of a valid row, those that are trained on, and whether it has parallel calls; adds its calls."""
    names, chars, trained_chars = tools.names, tools.chars, 0
    open_calls: set[str] = set()
    has_parallel_calls = False
    last: type = NoneType
    for message in messages:
        kind = type(message)
        if kind is TextResult:
            if message.tool_call_id not in open_calls:
                return None
            open_calls.remove(message.tool_call_id)
            chars += len(message.content)
        elif open_calls or kind is last:
            return None
        elif kind is CallingAssistant:
            if last is NoneType or last is TextSystem:
                return None
            content = message.content
            size = len(content) if content else 0
            if tool_calls := message.tool_calls:
                call_chars = _add_calls(tool_calls, names, open_calls, calls)
                if not call_chars:
                    return None
                size += call_chars
                has_parallel_calls = has_parallel_calls or len(tool_calls) > 1
            elif not size or content.isspace():
                return None
            trained_chars += size
        elif kind is TextUser or last is NoneType:
            chars += len(message.content)
        else:
            return None
        last = kind
    return (chars + trained_chars, trained_chars, has_parallel_calls) if last is CallingAssistant else None


def _add_calls(tool_calls: list[ToolCall], names: AbstractSet[str], open_calls: set[str], calls: list[str]) -> int:
    """Adds the calls of a message to those without result and to all; returns their characters, or 0 if one is invalid."""
    chars = 0
    for call in tool_calls:
        function = call.function
        name, arguments = function.name, function.arguments
        if name not in names or call.id in open_calls:
            return 0
        if len(arguments) < _SHORT:
            try:
                _decode_object(arguments)
            except (DecodeError, ValueError):
                if not is_json_object(arguments):
                    return 0
        elif not is_json_object(arguments):
            return 0
        open_calls.add(call.id)
        calls.append(name)
        chars += len(name) + len(arguments)
    return chars


class _Object(Struct, gc=False):
    """A JSON object; its members are parsed and thrown away, which is faster than a dictionary."""


_decode_object: Final = Decoder(_Object).decode
_ROLES: Final[dict[type, str]] = {
    System: "system", User: "user", Assistant: "assistant", Tool: "tool",
    TextSystem: "system", TextUser: "user", CallingAssistant: "assistant", TextResult: "tool",
}  # fmt: skip


def _roles_in(rows: Sequence[Any]) -> dict[str, int]:
    types = Counter(map(type, chain.from_iterable([row.messages for row in rows])))
    return {_ROLES[kind]: count for kind, count in types.items()}


def measure_conversations(rows: Sequence[Any], tool_sets: Sequence[Tools | None]) -> ValidRows | None:
    """Returns conversations with the tools of each; None if not all are valid."""
    chars: list[int] = []
    trained_chars = weighted = 0
    calls: list[str] = []
    has_parallel_calls = has_reasoning = False
    for row, tools in zip(rows, tool_sets, strict=True):
        facts = _measure(row.messages, tools, calls) if tools else None
        if facts is None:
            return None
        chars.append(facts[0])
        trained_chars += facts[1]
        has_parallel_calls = has_parallel_calls or facts[2]
        has_reasoning = has_reasoning or facts[3]
        weighted += facts[4]
    return ValidRows(
        "conversation",
        chars,
        [len(row.messages) for row in rows],
        _roles_in(rows),
        trained_chars,
        weighted,
        Counter(calls),
        bool(calls) or any(tools.any for tools in tool_sets if tools),
        has_parallel_calls,
        has_reasoning,
        _has_weights(rows),
    )


def _measure(messages: list[Any], tools: Tools, calls: list[str]) -> tuple[int, int, bool, bool, bool] | None:
    """Returns the facts of a valid row and adds its calls; None if it must be left to the other checks.

    The facts are its characters, those that are trained on, and whether it has parallel calls, reasoning and weights.
    """
    names, chars, trained_chars = tools.names, tools.chars, 0
    open_calls: set[str] = set()
    has_parallel_calls = has_reasoning = is_weighted = has_target = has_texts = has_parts = False
    last: type = NoneType
    for message in messages:
        kind, content = type(message), message.content
        size = 0
        if type(content) is str:
            if content:
                has_texts, size = True, len(content)
        elif content is not UNSET and content is not None:
            has_parts, size = True, sum([len(part.text) for part in content])
        elif kind is not Assistant or not message.tool_calls:
            return None
        if message.name is not UNSET:
            size += len(message.name)
        if message.weight is not UNSET:
            is_weighted = True
        if kind is Tool:
            if message.tool_call_id not in open_calls:
                return None
            open_calls.remove(message.tool_call_id)
        elif open_calls or last is kind:
            return None
        elif kind is Assistant:
            if last is NoneType or last is System:
                return None
            if tool_calls := message.tool_calls:
                call_chars = _add_calls(tool_calls, names, open_calls, calls)
                if not call_chars:
                    return None
                size += call_chars
                has_parallel_calls = has_parallel_calls or len(tool_calls) > 1
            elif not _has_text(content):
                return None
            if message.reasoning is not UNSET or message.reasoning_content is not UNSET:
                reasoning = _reasoning_of(message)
                if reasoning is None:
                    return None
                size += len(reasoning)
                has_reasoning = has_reasoning or bool(reasoning)
            if message.weight != 0:
                has_target = True
                trained_chars += size
        elif kind is System and last is not NoneType:
            return None
        chars += size
        last = kind
    if last is not Assistant or not has_target or (has_texts and has_parts):
        return None
    return chars, trained_chars, has_parallel_calls, has_reasoning, is_weighted


def _reasoning_of(message: Assistant) -> str | None:
    """Returns the reasoning of a message; None if both fields have it."""
    reasoning = message.reasoning if message.reasoning_content is UNSET else message.reasoning_content
    has_both = message.reasoning is not UNSET and message.reasoning_content is not UNSET
    return None if has_both or reasoning is UNSET else reasoning


def _has_text(content: str | list[TextPart] | UnsetType | None) -> bool:
    if isinstance(content, str):
        return bool(content) and not content.isspace()
    return isinstance(content, list) and any(part.text.strip() for part in content)
