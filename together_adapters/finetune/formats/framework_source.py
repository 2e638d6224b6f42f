"""The sources of both frameworks: how LangChain's and LlamaIndex's objects are read as training data; each brings its own conversion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias

from together_adapters.errors import DatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.formats.conversation import Expand, expanded
from together_adapters.finetune.records import Converted, Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.writing.trace_prefixes import drop_prefixes

Tools: TypeAlias = "Sequence[Any] | Callable[[Any], Sequence[Any]]"
"""Tools for all rows, or a function that returns those of a record."""


class Conversation(NamedTuple):
    """A conversation of a framework's objects.

    Attributes:
        messages: Its messages; or one text, with `answer` that completes it.
        tools: The tools that it declares itself.
        group: The id of its thread, session or key.
        answer: The text that completes a plain text.
        is_chat: Whether it comes from a chat between people, where nobody may be the model.
    """

    messages: Any
    tools: Sequence[Any] = ()
    group: str | None = None
    answer: str | None = None
    is_chat: bool = False


class ReadOnce:
    """The items of an iterator, which can be read only once; to read them again raises `DatasetError`."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items: Iterator[Any] | None = items

    def __call__(self) -> Iterator[Any]:
        if self._items is None:
            raise DatasetError("the source is an iterator, which was read already; give a list to read it again")
        items, self._items = self._items, None
        return items


def records_of(source: Iterable[Any], is_part: Callable[[Any], bool]) -> tuple[Callable[[], Iterable[Any]], Any]:
    """Return what gives the records of a source, and its first item; items that are parts, as messages, make one record."""
    if isinstance(source, Iterator):
        start = list(islice(source, 1))
        source = chain(start, source)
        if not any(map(is_part, start)):
            return ReadOnce(source), next(iter(start), None)
        source = list(source)
    first = next(iter(source), None)
    return (lambda: (source,)) if is_part(first) else (lambda: source), first


class FrameworkReader(ABC):
    """Converts the records of a framework to rows.

    Attributes:
        plain: Returns messages that hold nothing unusual as rows have them, or None for others.
        wire_tools: Returns the framework's tools as the service takes them.

    Args:
        tools: Tools for all rows, or a function that returns those of a record.
        name: The name of the data in reports.
        use_plain: Whether lists of plain messages may be read by `plain`.
    """

    plain: Callable[[list[Any]], list[Row] | None]
    wire_tools: Callable[[Sequence[Any]], list[Row]]

    def __init__(self, tools: Tools | None, name: str, *, use_plain: bool = True) -> None:
        self._choose_tools = tools if callable(tools) else None
        self._tools = self.wire_tools(tools) if tools is not None and not callable(tools) else []
        self._described: tuple[Any, list[Row]] = (None, [])
        self._name = name
        self._use_plain = use_plain and self._choose_tools is None

    @abstractmethod
    def convert(self, record: Any, number: int) -> Iterable[Converted | Unconvertible]:
        """Convert a record."""

    def read(self, records: Iterable[Any]) -> Iterator[Record]:
        """Convert all records; each gives its rows, or its refusal."""
        name, tools, use_plain, plain, make = self._name, self._tools, self._use_plain, self.plain, tuple.__new__
        for number, record in enumerate(records, 1):
            try:
                if use_plain and type(record) is list:
                    messages = plain(record)
                    if messages:
                        row: Row = {"messages": messages, "tools": tools} if tools else {"messages": messages}
                        yield make(Example, (row, number, name, None, ()))
                        continue
                for result in self.convert(record, number):
                    if isinstance(result, Unconvertible):
                        yield self._refusal(result, number)
                    else:
                        yield Example(result.row, number, name, result.group, result.changed)
            except Unconvertible as refusal:
                yield self._refusal(refusal, number)

    def with_tools(self, converted: Converted, record: Any, own: Sequence[Any] = ()) -> Converted:
        """Add tools to a row that has none: those that its record declares, or those that the caller gives."""
        if "messages" not in converted.row or "tools" in converted.row:
            return converted
        tools = self._tools_of(own or (self._choose_tools(record) if self._choose_tools else ()))
        return converted._replace(row={**converted.row, "tools": tools}) if tools else converted

    def _tools_of(self, tools: Sequence[Any]) -> list[Row]:
        if not tools:
            return self._tools
        if self._described[0] is not tools:
            try:
                self._described = (tools, self.wire_tools(tools))
            except Exception as problem:
                text = f"the tools cannot be described: {str(problem).splitlines()[0]}"
                raise Unconvertible("tool_invalid", text, "tools") from None
        return self._described[1]

    def _refusal(self, refusal: Unconvertible, number: int) -> Refusal:
        return Refusal(
            refusal.code, refusal.message, number, self._name, refusal.path, refusal.value, refusal.skipped
        )  # fmt: skip


def training_data(read: Callable[[], Iterator[Record]], name: str, *, expand: Expand, collapse_prefixes: bool) -> TrainingData:
    """Return what a reader gives, in `expand` and `collapse_prefixes` as `from_langchain` has them, as training data."""
    read_all = drop_prefixes(read) if collapse_prefixes else read
    return TrainingData(read_all if expand == "whole" else lambda: _expanded(read_all(), expand), name)


def _expanded(records: Iterable[Record], expand: Expand) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Example) and "messages" in record.row:
            for messages in expanded(record.row["messages"], expand):
                yield record._replace(row={**record.row, "messages": messages})
        else:
            yield record
