"""Validates many rows at once by parsing them into schemas of valid rows; needs msgspec (extra `finetune`).

Rows in which `check_row` finds nothing are accepted, with the same facts; all others are left to it. A test compares the two.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, TypeAlias

from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, defstruct
from msgspec.json import Decoder

from together_adapters.finetune.validation.fast_tools import NO_TOOLS, ToolReader, Tools, UsualTool, usual_tools
from together_adapters.finetune.validation.row_schemas import (
    CallConversation,
    Conversation,
    General,
    Instruction,
    Preference,
    TextConversation,
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

_LONG_LINE: Final = 32_768
_PAUSE: Final = 8
_BYTES_PER_LONG_ROW: Final = 1024
_START, _END, _LINE_FEED = b"{}\n"


Parse: TypeAlias = Callable[[Any], ValidRows | None]
"""Parses whole lines, or other batches of rows; returns None if not all rows are valid."""


class FastValidator:
    """Validates batches of rows of up to `max_chars`; pauses for a few batches where most lines are invalid."""

    def __init__(self, max_chars: Mapping[str, int], parsers: Mapping[str, tuple[Parse, ...]] | None = None) -> None:
        self._max_chars = max_chars
        self._pause = 0
        self._tries = self._failures = 0
        self._parsers = dict(parsers or _parsers())

    def validate(self, form: str, lines: bytes) -> ValidRows | None:
        """Validates a batch of whole lines; returns None if not all are valid, or the validator pauses."""
        self._pause = max(0, self._pause - 1)
        if self._pause or (len(lines) > _LONG_LINE and lines.find(b"\n", 0, _LONG_LINE) < 0):
            return None
        self._tries, self._failures = 0, 0
        return self.parse(form, lines)

    def validate_small_batch(self, form: str, lines: list[bytes]) -> ValidRows | None:
        """Validates some lines, or one, of a batch that is not valid as a whole."""
        if self._pause or max(map(len, lines)) > _LONG_LINE:
            return None
        if rows := self.parse(form, b"\n".join(lines)):
            self._tries += len(lines)
            return rows
        if len(lines) == 1:
            self._tries += 1
            self._failures += 1
            if self._failures > _PAUSE and self._failures * 2 > self._tries:
                self._pause = _PAUSE
        return None

    def parse(self, form: str, lines: Any) -> ValidRows | None:
        """Tries the parsers of a format, the last one that fitted first; returns None if not all rows are valid."""
        parsers = self._parsers[form]
        # Rows have no reference cycles, so garbage collections would only take time.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            for parse in parsers:
                rows = parse(lines)
                if rows is not None and rows.chars and max(rows.chars) <= self._max_chars.get(rows.format, sys.maxsize):
                    if parse is not parsers[0]:
                        self._parsers[form] = (parse, *(other for other in parsers if other is not parse))
                    return rows
            return None
        finally:
            if was_enabled:
                gc.enable()


def decode(decoder: Callable[[bytes], list[Any]], lines: bytes) -> list[Any]:
    """Parses lines; returns the rows, or an empty list if a line does not fit the schema or has an escaped NUL."""
    if lines.rfind(b"\\u0000") >= 0:  # five times as fast as `in`
        return []
    try:
        rows = decoder(lines)
    except (DecodeError, ValueError, RecursionError):
        return []
    # The parser ignores line feeds.
    return rows if _has_one_row_per_line(lines, len(rows)) else []


def _has_one_row_per_line(lines: bytes, rows: int) -> bool:
    """Whether each line feed stands between two rows. `readlines` is fast for short rows, but copies them; a search does not."""
    if len(lines) < rows * _BYTES_PER_LONG_ROW:
        *each, last = BytesIO(lines).readlines() or [b"\n"]
        if len(each) != rows - 1 or last[-1] == _LINE_FEED or (each and last[0] != _START):
            return False
        return not [line for line in each if line[0] != _START or line[-2] != _END]
    index = -1
    for _ in range(rows - 1):
        index = lines.find(b"\n", index + 1)
        if index < 1 or lines[index - 1 : index + 2] != b"}\n{":
            return False
    return lines.find(b"\n", index + 1) < 0


_decode_texts: Final = Decoder(TextConversation).decode_lines
_decode_preferences: Final = Decoder(Preference).decode_lines
_decode_general: Final = Decoder(General).decode_lines
_decode_instructions: Final = Decoder(Instruction).decode_lines


def _texts(lines: bytes) -> ValidRows | None:
    return measure_texts(decode(_decode_texts, lines))


class _WithTools:
    """Parses conversations with tools, in the usual way those that differ from row to row."""

    def __init__(self, schema: type[Struct], measure: Callable[[list[Any], Sequence[Tools | None]], ValidRows | None]) -> None:
        self._measure = measure
        self._reader = ToolReader()
        self._decoders = ToolDecoders(schema, list[UsualTool])

    def __call__(self, lines: bytes) -> ValidRows | None:
        kind = self._reader.kind
        if kind == "new" and (rows := decode(self._decoders["new"], lines)):
            tools = usual_tools([row.tools for row in rows])
            return None if tools is None else self._measure(rows, tools)
        rows, read = decode(self._decoders["whole" if kind == "whole" else "each"], lines), self._reader.read
        return self._measure(rows, [NO_TOOLS if row.tools is UNSET else read(row.tools) for row in rows])


class ToolDecoders(dict[str, Callable[[bytes], list[Any]]]):
    """Decoders of lines with conversations, by what repeats in their tools; each is made when it is needed."""

    def __init__(self, schema: type[Struct], new: Any) -> None:
        self._schema = schema
        self._types: dict[str, Any] = {"whole": Raw, "each": list[Raw], "new": new}

    def __missing__(self, kind: str) -> Callable[[bytes], list[Any]]:
        fields = [("tools", self._types[kind] | UnsetType, UNSET)]
        schema = defstruct(self._schema.__name__, fields, bases=(self._schema,), forbid_unknown_fields=True, gc=False)
        self[kind] = Decoder(schema).decode_lines
        return self[kind]


def _preferences(lines: bytes) -> ValidRows | None:
    return measure_preferences(decode(_decode_preferences, lines))


def _general(lines: bytes) -> ValidRows | None:
    return measure_general(decode(_decode_general, lines))


def _instructions(lines: bytes) -> ValidRows | None:
    return measure_instructions(decode(_decode_instructions, lines))


def _parsers() -> Mapping[str, tuple[Parse, ...]]:
    return {
        "conversation": (
            _texts,
            _WithTools(CallConversation, measure_calls),
            _WithTools(Conversation, measure_conversations),
        ),
        "preference": (_preferences,),
        "general": (_general,),
        "instruction": (_instructions,),
    }
