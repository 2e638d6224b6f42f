"""Writes usual rows at once; needs msgspec (extra `finetune`). Rows that it does not write are left to `prepare_row`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, ValidationError, convert
from pydantic_core import to_json

from together_adapters.finetune.accounting import extra_columns, harmless_accounts, has_value, is_judged
from together_adapters.finetune.records import Example, Record, Row, Unconvertible
from together_adapters.finetune.validation.fast_tools import NO_TOOLS, ToolReader, Tools
from together_adapters.finetune.validation.json_values import to_plain_json
from together_adapters.finetune.validation.row_schemas import (
    Conversation,
    General,
    Instruction,
    Message,
    Preference,
    TextConversation,
)
from together_adapters.finetune.validation.valid_rows import (
    ValidRows,
    measure_conversations,
    measure_general,
    measure_instructions,
    measure_preferences,
    measure_texts,
)
from together_adapters.finetune.writing.fast_lines import COLUMNS_STRIPPED, are_plain_tools, with_lines, write_conversations
from together_adapters.finetune.writing.fixes import Fixes


class _WithTools(Struct, forbid_unknown_fields=True, gc=False):
    """A conversation in memory."""

    messages: list[Message]
    tools: Any = UNSET
    weight: float | UnsetType = UNSET


class RecordWriter:
    """Writes records whose rows are usual; the way that fitted last is tried first."""

    def __init__(self, fixes: Fixes) -> None:
        self._fixes = fixes
        self._reader = ToolReader()
        self._writers: list[Callable[[list[Row]], ValidRows | None]] = [
            self._texts, self._conversations, self._instructions, self._preferences, self._general,
        ]  # fmt: skip

    def __call__(self, records: Sequence[Record]) -> ValidRows | None:
        """Writes records; returns None if not all are usual."""
        changes: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        rows: list[Row] = []
        for record in records:
            if type(record) is not Example:
                return None
            row = record.row
            if record.changed:
                changes.update(record.changed)
            names = tuple(record.left_out) if record.left_out else ()
            if extras := extra_columns(tuple(row)):
                if "functions" in extras or not self._fixes.strip_columns:
                    return None
                changes[COLUMNS_STRIPPED] += 1
                names += tuple(name for name in extras if has_value(row[name]))
                row = {column: value for column, value in row.items() if column not in extras}
            if names:
                if not all(type(name) is str for name in names) or harmless_accounts(names) is None:
                    return None
                if any(is_judged(name, (record.row.get(name), record.left_out.get(name))) for name in names):
                    return None
                left_out.update(names)
            rows.append(row)
        for number, write in enumerate(self._writers):
            try:
                valid = write(rows)
            except (ValidationError, UnicodeEncodeError):
                continue
            if valid is not None and b"\\u0000" not in valid.lines:
                self._writers.insert(0, self._writers.pop(number))
                changes.update(valid.changes)
                return valid._replace(changes=changes, left_out=left_out)
        return None

    def _texts(self, rows: list[Row]) -> ValidRows | None:
        new = convert(rows, list[TextConversation])
        return with_lines(new, measure_texts(new))

    def _conversations(self, rows: list[Row]) -> ValidRows | None:
        results: dict[int, Raw | None] = {}
        new: list[Conversation] = []
        tool_sets: list[Tools | None] = []
        for row in convert(rows, list[_WithTools]):
            tools = row.tools
            if tools is UNSET:
                tool_sets.append(NO_TOOLS)
                new.append(Conversation(row.messages, UNSET, row.weight))
                continue
            if id(tools) not in results:  # `rows` keep them alive
                results[id(tools)] = self._declaration(tools)
            if (json := results[id(tools)]) is None:
                return None
            tool_sets.append(self._reader.read(json))
            new.append(Conversation(row.messages, json, row.weight))
        valid = measure_conversations(new, tool_sets)
        return None if valid is None else write_conversations(new, valid, self._fixes, are_loaded=False)

    def _declaration(self, tools: Any) -> Raw | None:
        try:
            tools = to_plain_json({"tools": tools})["tools"]
        except Unconvertible:
            return None
        return Raw(to_json(tools)) if are_plain_tools(tools, strips_nulls=self._fixes.strip_nulls) else None

    def _instructions(self, rows: list[Row]) -> ValidRows | None:
        new = convert(rows, list[Instruction])
        return with_lines(new, measure_instructions(new))

    def _preferences(self, rows: list[Row]) -> ValidRows | None:
        new = convert(rows, list[Preference])
        return with_lines(new, measure_preferences(new))

    def _general(self, rows: list[Row]) -> ValidRows | None:
        new = convert(rows, list[General])
        return with_lines(new, measure_general(new))
