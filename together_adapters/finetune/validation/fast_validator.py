"""Validates many rows at once by parsing them into schemas of valid rows; needs msgspec (extra `finetune`).

Rows in which `check_row` finds nothing are accepted, with the same facts; all others are left to it. A test compares the two.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from itertools import chain, repeat
from types import NoneType
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType
from msgspec.json import Decoder
from pydantic_core import from_json

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.validation.check_tools import check_tools, is_json_object
from together_adapters.finetune.validation.json_values import is_finite

_LONG_LINE: Final = 32_768
_PAUSE: Final = 8
_BYTES_PER_LONG_ROW: Final = 1024
_MAX_DECLARATIONS: Final = 16
_INVALID: Final = (0, 0, NoneType)


_PositiveFloat = Annotated[float, Meta(gt=0)]
_NonEmptyStr = Annotated[str, Meta(min_length=1)]
_Weight = Literal[0, 1]


# Benchmarks show that both kinds of schemas pay: without those for tools, weights, reasoning and content parts, rows with tools
# take three times as long; without those for text only, plain chats take twice as long.
class _Schema(Struct, forbid_unknown_fields=True, gc=False):
    """The base of all schemas, which inherit its options."""


class _TextSystem(_Schema, tag_field="role", tag="system"):
    content: str


class _TextUser(_Schema, tag_field="role", tag="user"):
    content: str


class _TextAssistant(_Schema, tag_field="role", tag="assistant"):
    content: str


class _TextConversation(_Schema):
    messages: list[_TextSystem | _TextUser | _TextAssistant]


class _TextPart(_Schema):
    type: Literal["text"]  # no tag, since a tag could be missing where there is only one kind
    text: str


class _Function(_Schema):
    name: _NonEmptyStr
    arguments: str


class _ToolCall(_Schema):
    id: _NonEmptyStr
    type: Literal["function"]
    function: _Function


class _Message(_Schema):
    content: str | list[_TextPart]
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET


class _System(_Message, tag_field="role", tag="system"):
    pass


class _User(_Message, tag_field="role", tag="user"):
    pass


class _Assistant(_Schema, tag_field="role", tag="assistant"):
    content: str | list[_TextPart] | UnsetType | None = UNSET
    tool_calls: list[_ToolCall] | UnsetType = UNSET
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class _Tool(_Message, tag_field="role", tag="tool", kw_only=True):
    tool_call_id: _NonEmptyStr


class _Conversation(_Schema):
    messages: list[_System | _User | _Assistant | _Tool]  # declarations of tools are parsed separately, once for many rows
    weight: _PositiveFloat | UnsetType = UNSET


class _Output(_Schema):
    role: Literal["assistant"]
    content: str


class _Preference(_Schema):
    input: _TextConversation
    preferred_output: tuple[_Output]
    non_preferred_output: tuple[_Output]


class _General(_Schema):
    text: str
    weight: _PositiveFloat | UnsetType = UNSET


class _Instruction(_Schema):
    prompt: str
    completion: str
    weight: _PositiveFloat | UnsetType = UNSET


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


_Parse = Callable[[bytes], ValidRows | None]
"""Parses lines; returns None if not all are valid rows."""


class FastValidator:
    """Validates batches of rows of up to `max_chars`; pauses for a few batches where most lines are invalid."""

    def __init__(self, max_chars: Mapping[str, int]) -> None:
        self._max_chars = max_chars
        self._pause = 0
        self._tries = self._failures = 0
        self._parsers: dict[str, tuple[_Parse, ...]] = {
            "conversation": (_text_conversations, partial(_conversations, {})),
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
    if b"u0000" in lines:
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
        if last is not _TextAssistant:
            return None
        chars.append(size)
        turns.append(len(messages))
        trained_chars += answers
    return ValidRows("conversation", chars, turns, _count_roles(turns), trained_chars)


def _measure_text(messages: list[_TextSystem | _TextUser | _TextAssistant]) -> tuple[int, int, type]:
    """Returns the characters of all messages, of the answers, and the type of the last message; NoneType if they are invalid."""
    chars = trained_chars = 0
    last: type = NoneType
    for message in messages:
        text = message.content
        kind = type(message)
        if kind is _TextAssistant:
            if last is not _TextUser or not text or text.isspace():
                return _INVALID
            trained_chars += len(text)
        elif kind is last or (kind is _TextSystem and last is not NoneType):
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
        if last is not _TextUser:
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


_decode_text_conversations: Final = Decoder(_TextConversation).decode_lines
_decode_conversations: Final = Decoder(_Conversation).decode_lines
_decode_preferences: Final = Decoder(_Preference).decode_lines
_decode_general: Final = Decoder(_General).decode_lines
_decode_instructions: Final = Decoder(_Instruction).decode_lines
_ROLES: Final[dict[type, str]] = {_System: "system", _User: "user", _Assistant: "assistant", _Tool: "tool"}


def _conversations(declarations: dict[bytes, bytes], lines: bytes) -> ValidRows | None:
    """Parses conversations with tools, weights, reasoning and text parts; `declarations` are those of the batches so far."""
    rest, row_declarations = _cut_declarations(lines, declarations) if b'"tools"' in lines else (lines, [])
    rows = _decode(_decode_conversations, rest)
    facts: list[_RowFacts] = []
    types: list[type] = []
    previous: bytes | None = None
    tools: _Tools | None = _NO_TOOLS
    for row, declaration in zip(rows, row_declarations or repeat(None), strict=False):
        if declaration != previous:
            previous, tools = declaration, _NO_TOOLS if declaration is None else _parse_tools(declaration)
        row_facts = _measure(row.messages, tools) if tools else None
        if row_facts is None:
            return None
        facts.append(row_facts)
        types += map(type, row.messages)
    return ValidRows(
        "conversation",
        [row.chars for row in facts],
        [len(row.messages) for row in rows],
        {_ROLES[kind]: count for kind, count in Counter(types).items()},
        sum([row.trained_chars for row in facts]),
        sum([row.is_weighted for row in facts]),
        Counter(chain.from_iterable(row.calls for row in facts)),
        any(row.has_tools for row in facts),
        any(row.has_parallel_calls for row in facts),
        any(row.has_reasoning for row in facts),
        _has_weights(rows),
    )


def _cut_declarations(lines: bytes, declarations: dict[bytes, bytes]) -> tuple[bytes, list[bytes | None]]:
    """Cuts declarations of tools out of lines where they are first or last; returns the lines and the declaration of each.

    Most rows repeat one, and comparing is faster than searching or parsing, so `declarations` has the latest, by the line's end.
    """
    comma, colon = (b", ", b": ") if b'"tools": ' in lines else (b",", b":")
    last, first, messages = comma + b'"tools"' + colon, b'{"tools"' + colon, comma + b'"messages"' + colon
    rests: list[bytes] = []
    row_declarations: list[bytes | None] = []
    start = 0
    while start <= len(lines):
        end = lines.find(b"\n", start)
        end = end if end >= 0 else len(lines)
        for ending, declaration in declarations.items():
            if lines.endswith(ending, start, end):
                rests.append(lines[start : end - len(ending)])
                row_declarations.append(declaration)
                break
        else:
            line = lines[start:end]
            if not line.endswith(b"}"):
                return lines, []
            if line.startswith(first):
                index = line.find(messages)
                row_declarations.append(line[len(first) : index])
                rests.append(b"{" + line[index + len(comma) : -1])
            else:
                rest, separator, tail = line.rpartition(last)
                row_declarations.append(tail[:-1] if separator else None)
                rests.append(rest if separator else line[:-1])
                if separator:
                    if len(declarations) == _MAX_DECLARATIONS:
                        declarations.clear()
                    declarations[separator + tail] = tail[:-1]
        start = end + 1
    return b"}\n".join(rests) + b"}", row_declarations


class _RowFacts(NamedTuple):
    chars: int
    trained_chars: int
    calls: list[str]
    has_tools: bool
    has_parallel_calls: bool
    has_reasoning: bool
    is_weighted: bool


def _measure(messages: list[Any], tools: _Tools) -> _RowFacts | None:
    """Returns the facts of a valid row; None if it must be left to the other checks."""
    names = tools.names
    chars, trained_chars = tools.chars, 0
    calls: list[str] = []
    open_calls: set[str] = set()
    has_parallel_calls = has_reasoning = is_weighted = has_target = has_texts = has_parts = False
    last: type = NoneType
    for message in messages:
        kind = type(message)
        content = message.content
        size = 0
        if type(content) is str:
            if content:
                has_texts = True
                size = len(content)
        elif content is not UNSET and content is not None:
            has_parts = True
            for part in content:
                size += len(part.text)
        elif kind is not _Assistant or not message.tool_calls:
            return None
        if message.name is not UNSET:
            size += len(message.name)
        if kind is _Tool:
            if message.tool_call_id not in open_calls:
                return None
            open_calls.remove(message.tool_call_id)
        elif open_calls or last is kind:
            return None
        elif kind is _Assistant:
            if last is NoneType or last is _System:
                return None
            if message.tool_calls:
                for call in message.tool_calls:
                    name, arguments = call.function.name, call.function.arguments
                    if name not in names or call.id in open_calls or not is_json_object(arguments):
                        return None
                    open_calls.add(call.id)
                    calls.append(name)
                    size += len(name) + len(arguments)
                has_parallel_calls = has_parallel_calls or len(message.tool_calls) > 1
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
        elif kind is _System and last is not NoneType:
            return None
        if message.weight is not UNSET:
            is_weighted = True
        chars += size
        last = kind
    if last is not _Assistant or not has_target or (has_texts and has_parts):
        return None
    return _RowFacts(chars, trained_chars, calls, tools.any or bool(calls), has_parallel_calls, has_reasoning, is_weighted)


def _reasoning_of(message: _Assistant) -> str | None:
    """Returns the reasoning of a message; None if both fields have it."""
    reasoning = message.reasoning if message.reasoning_content is UNSET else message.reasoning_content
    has_both = message.reasoning is not UNSET and message.reasoning_content is not UNSET
    return None if has_both or reasoning is UNSET else reasoning


def _has_text(content: str | list[_TextPart] | UnsetType | None) -> bool:
    if isinstance(content, str):
        return bool(content) and not content.isspace()
    return isinstance(content, list) and any(part.text.strip() for part in content)


class _Tools(NamedTuple):
    names: frozenset[str]
    chars: int
    any: bool


_NO_TOOLS: Final = _Tools(frozenset(), 0, any=False)


@lru_cache(maxsize=64)
def _parse_tools(declaration: bytes) -> _Tools | None:
    """Parses a declaration of tools; returns None if it is invalid. Most rows of a file repeat one."""
    findings = RowFindings()
    # In brackets it is as deep as in its row: the parser's limit on depth is that of whole lines.
    try:
        (tools,) = from_json(b"[" + declaration + b"]", allow_inf_nan=False)
    except ValueError:
        return None
    names = check_tools(findings, tools, "tools")
    if names is None or findings.items or b"\\u0000" in declaration or not is_finite(tools):
        return None
    return _Tools(frozenset(names), findings.chars, findings.has_tools)
