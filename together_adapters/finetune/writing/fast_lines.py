"""Converts and writes usual lines at once, without making records of them; needs msgspec (extra `finetune`).

A line is written here only if conversion, fixes and validation would give the same line with no finding. All others are left to
`conversion` and `prepare_row`. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import UNSET, MsgspecError, Raw, Struct, defstruct
from msgspec.json import Decoder, Encoder
from pydantic_core import to_json

from together_adapters.finetune.accounting import has_value, is_judged, meaning_of
from together_adapters.finetune.formats.layouts.text_calls import may_be_marked
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.readers.fields import FORMAT_COLUMNS
from together_adapters.finetune.records import Unconvertible
from together_adapters.finetune.validation.fast_tools import NO_TOOLS, Tool, ToolReader, Tools, UsualDeclaration, parse_tool
from together_adapters.finetune.validation.fast_validator import Parse, ToolDecoders, decode
from together_adapters.finetune.validation.json_values import to_plain_json
from together_adapters.finetune.validation.row_schemas import (
    Assistant,
    CallConversation,
    Conversation,
    General,
    Instruction,
    Output,
    Preference,
    TextAssistant,
    TextConversation,
    TextSystem,
    TextUser,
)
from together_adapters.finetune.validation.valid_rows import (
    ValidRows,
    measure_calls,
    measure_conversations,
    measure_general,
    measure_instructions,
    measure_preferences,
    measure_texts,
)
from together_adapters.finetune.writing.fixes import Fixes

_MAX_COLUMNS: Final = 50
_SHORT: Final = 4000
"""JSON of fewer bytes has no number with too many digits."""
_SHALLOW: Final = 90
"""JSON with fewer brackets is not too deep."""
_Write: TypeAlias = Callable[[list[Any]], ValidRows | None]
"""Writes rows of a schema; returns None if others have to."""
COLUMNS_STRIPPED: Final = "columns_stripped"
NULLS_STRIPPED: Final = "nulls_stripped"


class _Turn(Struct, forbid_unknown_fields=True, gc=False):
    value: str


class _Human(_Turn, tag_field="from", tag="human"):
    pass


class _User(_Turn, tag_field="from", tag="user"):
    pass


class _Gpt(_Turn, tag_field="from", tag="gpt"):
    pass


class _Assistant(_Turn, tag_field="from", tag="assistant"):
    pass


class _System(_Turn, tag_field="from", tag="system"):
    pass


class _ShareGpt(Struct, forbid_unknown_fields=True, gc=False):
    conversations: list[_Human | _User | _Gpt | _Assistant | _System]


class _Pair(Struct, forbid_unknown_fields=True, gc=False):
    prompt: str
    chosen: str
    rejected: str


_MESSAGES: Final[Mapping[type, type[Any]]] = {
    _Human: TextUser, _User: TextUser, _Gpt: TextAssistant, _Assistant: TextAssistant, _System: TextSystem,
}  # fmt: skip
encode_lines: Final = Encoder().encode_lines
_encode: Final = Encoder().encode
_decode: Final = Decoder().decode


def line_parsers(fixes: Fixes) -> dict[str, tuple[Parse, ...]]:
    """Returns the parsers of lines for the formats of `conversion.LINE_SCHEMAS`."""
    calls = _WithTools(CallConversation, measure_calls, _write_calls, fixes)
    others = _WithTools(Conversation, measure_conversations, write_conversations, fixes)
    writers: dict[str, tuple[tuple[type[Struct], _Write], ...]] = {
        "messages": ((TextConversation, _write_texts), (Conversation, others.write)),
        "preference": ((Preference, _write_preferences), (_Pair, _write_pairs)),
        "text": ((General, _write_general),),
        "prompt_completion": ((Instruction, _write_instructions),),
        "sharegpt": ((_ShareGpt, _write_sharegpt),),
    }
    parsers: dict[str, tuple[Parse, ...]] = {}
    for name, pairs in writers.items():
        alone: list[Parse] = [partial(_parse, Decoder(schema).decode_lines, write) for schema, write in pairs]
        columns = FORMAT_COLUMNS.union(DATA_FORMATS[name].reads or ())
        with_columns = [_WithColumns(schema, write, columns) for schema, write in pairs] if fixes.strip_columns else []
        parsers[name] = (*([alone[0], calls, others] if name == "messages" else alone), *with_columns)
    return {**parsers, "openai": parsers["messages"]}


def _parse(decode_lines: Callable[[bytes], list[Any]], write: _Write, lines: bytes) -> ValidRows | None:
    return write(decode(decode_lines, lines))


class _WithColumns:
    """Parses lines that also have columns which training leaves out; their names are those of lines that did not fit."""

    def __init__(self, schema: type[Struct], write: _Write, columns: frozenset[str]) -> None:
        self._schema, self._write, self._columns = schema, write, columns
        self._names: list[str] = []
        self._decode: Callable[[bytes], list[Any]] | None = None

    def __call__(self, lines: bytes) -> ValidRows | None:
        rows = decode(self._decode, lines) if self._decode else []
        if not rows and self._learn(lines[: lines.find(b"\n") + 1] or lines) and self._decode:
            rows = decode(self._decode, lines)
        fields = {name: _values(rows, name) for name in self._schema.__struct_fields__}
        if any(tools is not UNSET for tools in fields.get("tools", ())):
            return None  # beside other columns, tools are converted
        valid = self._write([*map(self._schema, *fields.values())])
        if valid is None:
            return None
        columns = [_values(rows, f"column_{number}") for number in range(len(self._names))]
        if any(map(is_judged, self._names, columns)):
            return None
        left_out = {name: sum(map(_is_filled, values)) for name, values in zip(self._names, columns, strict=True)}
        count = sum(any(value is not UNSET for value in row) for row in zip(*columns, strict=True))
        changes = {**valid.changes, COLUMNS_STRIPPED: count} if count else valid.changes
        return valid._replace(changes=changes, left_out={name: count for name, count in left_out.items() if count})

    def _learn(self, line: bytes) -> bool:
        """Adds the columns of a line, if they are new and harmless; returns whether it did."""
        try:
            record = _decode(line)
        except (MsgspecError, ValueError, RecursionError):
            return False
        names = [name for name in record if name not in self._names] if isinstance(record, dict) else []
        names = [name for name in names if name not in self._schema.__struct_encode_fields__]
        if not names or len(names) + len(self._names) > _MAX_COLUMNS or not self._columns.isdisjoint(names):
            return False
        if any(meaning_of(name) is not True for name in names):
            return False
        self._names += names
        fields = {f"column_{number}": name for number, name in enumerate(self._names)}
        schema = defstruct(
            "WithColumns", [(field, Any, UNSET) for field in fields], bases=(self._schema,), rename=fields, kw_only=True,
            forbid_unknown_fields=True, gc=False,
        )  # fmt: skip
        self._decode = Decoder(schema).decode_lines
        return True


def _values(rows: Iterable[Any], name: str) -> list[Any]:
    return [getattr(row, name) for row in rows]


def _is_filled(value: Any) -> bool:
    return value is not UNSET and has_value(value)


def with_lines(rows: Sequence[Any], valid: ValidRows | None, changes: Mapping[str, int] | None = None) -> ValidRows | None:
    """Returns valid rows with their lines; weights of rows are left to others, since schemas read 1 as 1.0."""
    if valid is None or not rows or valid.has_sample_weights:
        return None
    return valid._replace(lines=encode_lines(rows), changes=changes or {})


def _write_texts(rows: list[TextConversation]) -> ValidRows | None:
    for row in rows:
        for message in row.messages:
            text = message.content
            if ("<" in text or "[" in text or "{" in text) and may_be_marked(text):
                return None
    return with_lines(rows, measure_texts(rows))


def _write_sharegpt(rows: list[_ShareGpt]) -> ValidRows | None:
    kinds = _MESSAGES
    return _write_texts([TextConversation([kinds[type(turn)](turn.value) for turn in row.conversations]) for row in rows])


def _write_preferences(rows: list[Preference]) -> ValidRows | None:
    valid = measure_preferences(rows)
    if valid is None or any(map(_may_hold_calls, _texts_of(rows))):
        return None
    return with_lines(rows, valid)


def _texts_of(rows: list[Preference]) -> Iterable[str]:
    for row in rows:
        yield from [message.content for message in row.input.messages]
        yield row.preferred_output[0].content
        yield row.non_preferred_output[0].content


def _write_pairs(rows: list[_Pair]) -> ValidRows | None:
    if any(not row.prompt or _is_marked(row.prompt) or _is_marked(row.chosen) or _is_marked(row.rejected) for row in rows):
        return None
    new = [
        Preference(
            TextConversation([TextUser(row.prompt)]), (Output("assistant", row.chosen),), (Output("assistant", row.rejected),)
        )
        for row in rows
    ]
    return with_lines(new, measure_preferences(new))


def _write_general(rows: list[General]) -> ValidRows | None:
    return None if any(_is_marked(row.text) for row in rows) else with_lines(rows, measure_general(rows))


def _write_instructions(rows: list[Instruction]) -> ValidRows | None:
    is_marked = any(_is_marked(row.prompt) or _is_marked(row.completion) for row in rows)
    return None if is_marked else with_lines(rows, measure_instructions(rows))


class _WithTools:
    """Parses and writes conversations with tools of one schema."""

    def __init__(
        self, schema: type[Struct], measure: Callable[..., ValidRows | None], write: Callable[..., ValidRows | None], fixes: Fixes
    ) -> None:  # fmt: skip
        self._measure, self._write, self._fixes = measure, write, fixes
        self._reader = ToolReader(partial(_parse_tool, fixes.strip_nulls))
        self._decoders = ToolDecoders(schema, UsualDeclaration)

    def __call__(self, lines: bytes) -> ValidRows | None:
        kind = self._reader.kind
        if kind == "new" and (rows := decode(self._decoders["new"], lines)):
            return self.write(rows, partial(_usual_tools, self._fixes.strip_nulls))
        return self.write(decode(self._decoders["whole" if kind == "whole" else "each"], lines))

    def write(self, rows: list[Any], read: Callable[[Any], Tools | None] | None = None) -> ValidRows | None:
        """Writes rows of the schema."""
        read = read or self._reader.read
        tool_sets: list[Tools | None] = []
        for row in rows:
            if row.tools is UNSET:
                tool_sets.append(NO_TOOLS)
                continue
            tools = read(row.tools)
            if tools is None or tools.json is None:
                return None
            tool_sets.append(tools)
            row.tools = tools.json
        valid = self._measure(rows, tool_sets)
        if valid is None or any(_is_marked(one.content) for row in rows for one in row.messages if type(one.content) is str):
            return None
        return self._write(rows, valid, self._fixes)


def _write_calls(rows: list[CallConversation], valid: ValidRows, fixes: Fixes) -> ValidRows | None:
    if valid.tools and fixes.null_arguments == "drop":
        return None
    rows_with_nulls = 0
    for row in rows if fixes.strip_nulls else ():
        nulls = [message for message in row.messages if message.content is None]
        for message in nulls:
            message.content = UNSET
        rows_with_nulls += bool(nulls)
    return with_lines(rows, valid, {NULLS_STRIPPED: rows_with_nulls} if rows_with_nulls else None)


def write_conversations(rows: list[Conversation], valid: ValidRows, fixes: Fixes, *, are_loaded: bool = True) -> ValidRows | None:
    """Writes conversations; `are_loaded` says that some reasoning is still to be converted."""
    if valid.tools and fixes.null_arguments == "drop":
        return None
    rows_with_nulls = 0
    for row in rows:
        has_nulls = False
        for message in row.messages:
            content = message.content
            if type(message) is Assistant:
                if are_loaded and (message.reasoning_content is not UNSET or message.reasoning == ""):
                    return None
                if fixes.reasoning == "drop" and (message.reasoning is not UNSET or message.reasoning_content is not UNSET):
                    return None
                if content is None and fixes.strip_nulls:
                    message.content, has_nulls = UNSET, True
            if type(content) is list:
                return None
        rows_with_nulls += has_nulls
    return with_lines(rows, valid, {NULLS_STRIPPED: rows_with_nulls} if rows_with_nulls else None)


def _parse_tool(strips_nulls: bool, text: bytes) -> Tool | None:
    """Parses a tool, with its JSON as it is written unless it is converted or fixed."""
    tool = parse_tool(text)
    return tool and tool._replace(json=_json_of(text, strips_nulls))


def _json_of(text: bytes, strips_nulls: bool) -> bytes | None:
    try:
        tool = _decode(text)
    except (MsgspecError, ValueError, RecursionError):
        return None
    if not are_plain_tools([tool], strips_nulls=strips_nulls):
        return None
    json = to_json(tool)
    if len(json) > _SHORT or json.count(b"{") + json.count(b"[") > _SHALLOW:
        try:
            to_plain_json({"tools": [tool]})
        except Unconvertible:
            return None
    return json


def _usual_tools(strips_nulls: bool, tools: list[dict[str, Any]]) -> Tools | None:
    """Returns usual tools with their JSON; None if they are invalid, converted or fixed."""
    if not are_plain_tools(tools, strips_nulls=strips_nulls):
        return None
    functions = [tool["function"] for tool in tools]
    names = {name for function in functions if isinstance(name := function.get("name"), str) and name}
    if len(names) < len(tools) or not all(isinstance(function.get("parameters", {}), dict | None) for function in functions):
        return None
    try:
        json = _encode(tools)
    except OverflowError:
        return None
    return Tools(names, len(json) if json.isascii() else len(json.decode()), bool(tools), Raw(json))


def are_plain_tools(tools: Any, *, strips_nulls: bool) -> bool:
    """Whether declarations are written as they are."""
    if type(tools) is not list:
        return False
    for tool in tools:
        function = tool.get("function") if type(tool) is dict else None
        if type(function) is not dict or tool.get("type") != "function":
            return False
        if strips_nulls and (None in tool.values() or None in function.values()):
            return False
    return True


def _is_marked(text: str) -> bool:
    """Whether a text may hold calls, results or tools, or marks of a chat template."""
    return ("<" in text or "[" in text or "{" in text) and may_be_marked(text)


def _may_hold_calls(text: str) -> bool:
    """Whether a text may be read as more than a text by `formats.openai.read_message`."""
    if "<" not in text and "[" not in text and "{" not in text:
        return False
    return may_be_marked(text) or text.lstrip()[:1] in ("[", "{") or "Action Input:" in text or "<arg_key>" in text
