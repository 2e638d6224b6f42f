"""The common part of `from_langchain` and `from_llama_index`; each integration adds the conversion of its own objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias, cast

from pydantic import BaseModel

from together_adapters.errors import DatasetError
from together_adapters.finetune.accounting import unread
from together_adapters.finetune.dataset import TrainingData, drop_prefixes
from together_adapters.finetune.formats.conversation import Expand, expanded
from together_adapters.finetune.records import NO_FIELDS, Converted, Example, Record, Row, Unconvertible

Tools: TypeAlias = "Sequence[Any] | Callable[[Any], Sequence[Any]]"
"""Tools for all rows, or a function that returns those of a record."""


class FrameworkConversation(NamedTuple):
    """The messages of a record, or a prompt with its completion `answer`; in a chat, possibly no message is the model's."""

    messages: Any
    tools: Sequence[Any] = ()
    group: str | None = None
    answer: str | None = None
    is_chat: bool = False
    left_out: Mapping[str, Any] = NO_FIELDS  # what is not read of the record
    is_state: bool = False  # of an agent or a graph, which does not hold the agent's system prompt


def fields_left_out(record: Any, *read: str) -> Row:
    """Returns the fields of a record (a mapping, a model or a data class) that are not read."""
    if isinstance(record, BaseModel) or is_dataclass(record):
        record = {**vars(record), **(getattr(record, "model_extra", None) or {})}
    return unread(dict(record), frozenset(read)) if isinstance(record, Mapping) else {}


class ReadOnce:
    """The items of an iterator; reading them a second time raises `DatasetError`."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items: Iterator[Any] | None = items

    def __call__(self) -> Iterator[Any]:
        if self._items is None:
            raise DatasetError("the source is an iterator, which was read already; give a list to read it again")
        items, self._items = self._items, None
        return items


def records_of(source: Iterable[Any], is_part: Callable[[Any], bool]) -> tuple[Callable[[], Iterable[Any]], Any]:
    """Returns a function that gives the records of a source, and its first item; parts such as messages form one record."""
    if isinstance(source, Iterator):
        start = list(islice(source, 1))
        source = chain(start, source)
        if not any(map(is_part, start)):
            return ReadOnce(source), next(iter(start), None)
        source = list(source)
    first = next(iter(source), None)
    return (lambda: (source,)) if is_part(first) else (lambda: source), first


def other_framework(value: Any) -> str:
    """Returns which function reads an object of a framework, for messages of the other; nothing for other objects."""
    package = type(value).__module__.partition(".")[0]
    readers = {
        "langchain_core": "; it is LangChain's: from_langchain reads it",
        "llama_index": "; it is LlamaIndex's: from_llama_index reads it",
    }
    return readers.get(package, "")


class FrameworkReader(ABC):
    """Converts the records of a framework to rows; `tools` are those of all rows, or a function of a record."""

    plain_rows: Callable[[list[Any]], list[Row] | None]
    """The fast path for lists of simple messages; returns None for others."""
    wire_tools: Callable[[Sequence[Any]], list[Row]]
    """Converts the framework's tools to the service's tools."""

    def __init__(self, tools: Tools | None, name: str, *, use_plain: bool = True) -> None:
        self._choose_tools = tools if callable(tools) else None
        self._tools = self.wire_tools(tools) if tools is not None and not callable(tools) else []
        self._tools_cache: tuple[Any, list[Row]] = (None, [])
        self._name = name
        self._use_plain = use_plain and self._choose_tools is None

    @abstractmethod
    def convert(self, record: Any, number: int) -> Iterable[Converted | Unconvertible]:
        """Converts a record."""

    def read(self, records: Iterable[Any]) -> Iterator[Record]:
        """Yields the rows or the refusal of each record."""
        return cast("Iterator[Record]", self._read(records, is_bare=False))

    def read_rows(self, records: Iterable[Any]) -> Iterator[Record | Row]:
        """Yields the same, simple messages as rows alone."""
        return self._read(records, is_bare=True)

    def _read(self, records: Iterable[Any], *, is_bare: bool) -> Iterator[Record | Row]:
        name, tools, use_plain, plain_rows, make = self._name, self._tools, self._use_plain, self.plain_rows, tuple.__new__
        example, no_fields = Example, NO_FIELDS
        for number, record in enumerate(records, 1):
            try:
                if use_plain and type(record) is list:
                    messages = plain_rows(record)
                    if messages:
                        row: Row = {"messages": messages, "tools": tools} if tools else {"messages": messages}
                        yield row if is_bare else make(example, (row, number, name, None, (), no_fields, 0))
                        continue
                for result in self.convert(record, number):
                    if isinstance(result, Unconvertible):
                        yield result.refusal(number, name, record)
                    else:
                        yield Example(result.row, number, name, result.group, result.changed, result.left_out)
            except Unconvertible as error:
                yield error.refusal(number, name, record)

    def with_tools(self, converted: Converted, record: Any, own_tools: Sequence[Any] = ()) -> Converted:
        """Adds the tools that a record declares, or those of the caller, to a row without tools."""
        if "messages" not in converted.row or "tools" in converted.row:
            return converted
        tools = self._tools_of(own_tools or (self._choose_tools(record) if self._choose_tools else ()))
        return converted._replace(row={**converted.row, "tools": tools}) if tools else converted

    def _tools_of(self, tools: Sequence[Any]) -> list[Row]:
        if not tools:
            return self._tools
        if self._tools_cache[0] is not tools:
            try:
                self._tools_cache = (tools, self.wire_tools(tools))
            except Exception as problem:
                text = f"the tools cannot be described: {str(problem).splitlines()[0]}"
                raise Unconvertible("tool_invalid", text, "tools") from None
        return self._tools_cache[1]


def training_data(
    read: Callable[[], Iterator[Record]],
    name: str,
    *,
    expand: Expand,
    collapse_prefixes: bool,
    read_rows: Callable[[], Iterator[Record | Row]] | None = None,
) -> TrainingData:
    """Returns the records of a reader as training data."""
    if expand == "whole" and not collapse_prefixes:
        return TrainingData(read, name, read_rows=read_rows)
    read_all = drop_prefixes(read) if collapse_prefixes else read
    return TrainingData(read_all if expand == "whole" else lambda: _expanded(read_all(), expand), name)


def _expanded(records: Iterable[Record], expand: Expand) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Example) and "messages" in record.row:
            for messages in expanded(record.row["messages"], expand):
                yield record._replace(row={**record.row, "messages": messages})
        else:
            yield record
