"""Validates many rows at once by parsing them into schemas of valid rows; needs msgspec (extra `finetune`).

Rows in which `check_row` finds nothing are accepted, with the same facts; all others are left to it. A test compares the two.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from types import NoneType
from typing import Any, Final, NamedTuple

from msgspec import UNSET, DecodeError, UnsetType
from msgspec.json import Decoder

from together_adapters.finetune.validation.check_tools import is_json_object
from together_adapters.finetune.validation.fast_tools import NO_TOOLS, ToolReader, Tools, UsualTool, usual_tools
from together_adapters.finetune.validation.row_schemas import (
    Assistant,
    Conversation,
    General,
    Instruction,
    Preference,
    System,
    TextAssistant,
    TextConversation,
    TextMessage,
    TextPart,
    TextSystem,
    TextUser,
    Tool,
    User,
)

_LONG_LINE: Final = 32_768
_PAUSE: Final = 8
_BYTES_PER_LONG_ROW: Final = 128
_SHORT: Final = 200
_INVALID: Final = (0, 0, NoneType)


class ValidRows(NamedTuple):
    """Valid rows of one format: the characters and messages of each, and facts about all of them as in a report."""

    format: str
    chars: list[int]
    turns: list[int]
    roles: Mapping[str, int]
    trained_chars: int
    weighted: int = 0
    tools: Mapping[str, int] = {}
    has_tools: bool = False
    has_parallel_tool_calls: bool = False
    has_reasoning: bool = False
    has_sample_weights: bool = False
    rows: Sequence[Any] = ()
    declared: Sequence[Tools | None] = ()


class UsualConversation(Conversation):
    """A conversation whose tools are declared in a usual way."""

    tools: list[UsualTool] | UnsetType = UNSET  # type: ignore[assignment]


_Parse = Callable[[bytes], ValidRows | None]
"""Parses lines; returns None if not all are valid rows."""


class FastValidator:
    """Validates batches of rows of up to `max_chars`; pauses for a few batches where most lines are invalid."""

    def __init__(self, max_chars: Mapping[str, int]) -> None:
        self._max_chars = max_chars
        self._pause = 0
        self._tries = self._failures = 0
        self._parsers: dict[str, tuple[_Parse, ...]] = {
            "conversation": (_text_conversations, partial(_conversations, ToolReader())),
            "preference": (_preferences,),
            "general": (_general,),
            "instruction": (_instructions,),
        }

    def validate(self, form: str, lines: bytes) -> ValidRows | None:
        """Validates a batch of whole lines; returns None if not all are valid, or the validator pauses."""
        self._pause = max(0, self._pause - 1)
        if self._pause or (len(lines) > _LONG_LINE and lines.find(b"\n", 0, _LONG_LINE) < 0):
            return None
        self._tries, self._failures = 0, 0
        return self._parse(form, lines)

    def validate_small_batch(self, form: str, lines: list[bytes]) -> ValidRows | None:
        """Validates some lines, or one, of a batch that is not valid as a whole."""
        if self._pause or max(map(len, lines)) > _LONG_LINE:
            return None
        if rows := self._parse(form, b"\n".join(lines)):
            self._tries += len(lines)
            return rows
        if len(lines) == 1:
            self._tries += 1
            self._failures += 1
            if self._failures > _PAUSE and self._failures * 2 > self._tries:
                self._pause = _PAUSE
        return None

    def _parse(self, form: str, lines: bytes) -> ValidRows | None:
        """Tries the parsers of a format, the last one that fitted first."""
        parsers, max_chars = self._parsers[form], self._max_chars.get(form)
        # Rows have no reference cycles, so garbage collections would only take time.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            for parse in parsers:
                rows = parse(lines)
                if rows is not None and rows.chars and (max_chars is None or max(rows.chars) <= max_chars):
                    if parse is not parsers[0]:
                        self._parsers[form] = (parse, *(other for other in parsers if other is not parse))
                    return rows
            return None
        finally:
            if was_enabled:
                gc.enable()


def _decode(decoder: Callable[[bytes], list[Any]], lines: bytes) -> list[Any]:
    """Parses lines; returns the rows, or an empty list if a line does not fit the schema or has an escaped NUL."""
    if lines.rfind(b"u0000") >= 0:  # five times as fast as `in`
        return []
    try:
        rows = decoder(lines)
    except (DecodeError, ValueError, RecursionError):
        return []
    # The parser ignores line feeds.
    return rows if _has_one_row_per_line(lines, len(rows)) else []


def _has_one_row_per_line(lines: bytes, rows: int) -> bool:
    """Whether each line feed stands between two rows. Counting reads every byte; searching takes a step for each row."""
    if len(lines) < rows * _BYTES_PER_LONG_ROW:
        return lines.count(b"\n") == lines.count(b"}\n{") == rows - 1
    index = -1
    for _ in range(rows - 1):
        index = lines.find(b"\n", index + 1)
        if index < 1 or lines[index - 1 : index + 2] != b"}\n{":
            return False
    return lines.find(b"\n", index + 1) < 0


def _text_conversations(lines: bytes) -> ValidRows | None:
    """Parses conversations with text only."""
    chars: list[int] = []
    turns: list[int] = []
    trained_chars = 0
    for row in _decode(_decode_text_conversations, lines):
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
    for message in messages:
        text = message.content
        kind = type(message)
        if kind is TextAssistant:
            if last is not TextUser or not text or text.isspace():
                return _INVALID
            trained_chars += len(text)
        elif kind is last or (kind is TextSystem and last is not NoneType):
            return _INVALID
        chars += len(text)
        last = kind
    return chars, trained_chars, last


def _preferences(lines: bytes) -> ValidRows | None:
    """Parses preferences with text only."""
    chars: list[int] = []
    turns: list[int] = []
    trained_chars = 0
    for row in _decode(_decode_preferences, lines):
        messages = row.input.messages
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


def _general(lines: bytes) -> ValidRows | None:
    """Parses rows of the format general."""
    rows = _decode(_decode_general, lines)
    chars = [len(row.text) for row in rows]
    return ValidRows("general", chars, [], {}, sum(chars), has_sample_weights=_has_weights(rows))


def _instructions(lines: bytes) -> ValidRows | None:
    """Parses prompts with completions."""
    rows = _decode(_decode_instructions, lines)
    chars = [len(row.prompt) + len(row.completion) for row in rows]
    trained_chars = sum([len(row.completion) for row in rows])
    return ValidRows("instruction", chars, [], {}, trained_chars, has_sample_weights=_has_weights(rows))


def _has_weights(rows: list[Any]) -> bool:
    return any(row.weight is not UNSET for row in rows)


def _count_roles(turns: list[int]) -> dict[str, int]:
    """Counts messages by role, in conversations of so many messages: one with an odd number starts with a system message."""
    pairs = sum([number // 2 for number in turns])
    return {"system": sum(turns) - 2 * pairs, "user": pairs, "assistant": pairs}


_decode_text_conversations: Final = Decoder(TextConversation).decode_lines
_decode_conversations: Final = Decoder(Conversation).decode_lines
_decode_usual_conversations: Final = Decoder(UsualConversation).decode_lines
_decode_preferences: Final = Decoder(Preference).decode_lines
_decode_object: Final = Decoder(dict[str, Any]).decode
_decode_general: Final = Decoder(General).decode_lines
_decode_instructions: Final = Decoder(Instruction).decode_lines
_ROLES: Final[dict[type, str]] = {System: "system", User: "user", Assistant: "assistant", Tool: "tool"}


def _conversations(reader: ToolReader, lines: bytes) -> ValidRows | None:
    """Parses conversations with tools, weights, reasoning and text parts."""
    if not reader.is_useful and (rows := _decode(_decode_usual_conversations, lines)):
        return measured(rows, [NO_TOOLS if row.tools is UNSET else usual_tools(row.tools) for row in rows])
    rows = _decode(_decode_conversations, lines)
    return measured(rows, [NO_TOOLS if row.tools is UNSET else reader.read(row.tools) for row in rows])


def measured(rows: list[Conversation], declared: list[Tools | None]) -> ValidRows | None:
    """Returns conversations with the tools of each; None if not all are valid."""
    chars: list[int] = []
    trained_chars = weighted = 0
    calls: list[str] = []
    has_parallel_calls = has_reasoning = False
    for row, tools in zip(rows, declared, strict=True):
        facts = _measure(row.messages, tools, calls) if tools else None
        if facts is None:
            return None
        chars.append(facts[0])
        trained_chars += facts[1]
        has_parallel_calls = has_parallel_calls or facts[2]
        has_reasoning = has_reasoning or facts[3]
        weighted += facts[4]
    lists = [row.messages for row in rows]
    types = Counter(map(type, chain.from_iterable(lists)))
    return ValidRows(
        "conversation",
        chars,
        [*map(len, lists)],
        {_ROLES[kind]: count for kind, count in types.items()},
        trained_chars,
        weighted,
        Counter(calls),
        bool(calls) or any(tools.any for tools in declared if tools),
        has_parallel_calls,
        has_reasoning,
        _has_weights(rows),
        rows,
        declared,
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
                for call in tool_calls:
                    function = call.function
                    name, arguments = function.name, function.arguments
                    if name not in names or call.id in open_calls or not _is_object(arguments):
                        return None
                    open_calls.add(call.id)
                    calls.append(name)
                    size += len(name) + len(arguments)
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


def _is_object(text: str) -> bool:
    """Whether a text is a JSON object; a short one cannot be nested too deeply for the parser of the other checks."""
    if len(text) < _SHORT:
        try:
            _decode_object(text)
        except (DecodeError, ValueError):
            return is_json_object(text)
        return True
    return is_json_object(text)


def _reasoning_of(message: Assistant) -> str | None:
    """Returns the reasoning of a message; None if both fields have it."""
    reasoning = message.reasoning if message.reasoning_content is UNSET else message.reasoning_content
    has_both = message.reasoning is not UNSET and message.reasoning_content is not UNSET
    return None if has_both or reasoning is UNSET else reasoning


def _has_text(content: str | list[TextPart] | UnsetType | None) -> bool:
    if isinstance(content, str):
        return bool(content) and not content.isspace()
    return isinstance(content, list) and any(part.text.strip() for part in content)
