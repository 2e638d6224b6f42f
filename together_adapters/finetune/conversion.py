"""Converts the records of a source to rows, each with what its format does not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple, cast

from together_adapters.finetune.accounting import TRACE, selected_by, unread
from together_adapters.finetune.errors import location
from together_adapters.finetune.formats.options import CONVERSION_ERRORS, Options, Template, UserCallbackError
from together_adapters.finetune.formats.preference import PAIRED_COLUMNS
from together_adapters.finetune.formats.registry import DATA_FORMATS, DataFormat
from together_adapters.finetune.readers.fields import with_extras
from together_adapters.finetune.readers.json_values import Item, Lines, SourceRecord, line_items
from together_adapters.finetune.records import NO_FIELDS, Example, Record, Refusal, Unconvertible, id_of

LINE_SCHEMAS: Final = frozenset({"messages", "openai", "prompt_completion", "text", "preference", "sharegpt"})
"""The formats whose usual lines `writing.fast_lines` converts without making records of them."""


@dataclass(frozen=True)
class Conversion:
    """How the records of a source become rows: the format that they have, and the options."""

    schema: str
    options: Options

    def records(self, items: Iterable[Item]) -> Iterator[Record]:
        """Yields the rows of records, and refusals in their place."""
        data_format = DATA_FORMATS[self.schema]
        reads = columns_read(data_format, self.options, None, is_paired=False)
        return convert_items(items, data_format, reads, self.options, None)


class UnreadLines(NamedTuple):
    """Lines of a source that are no records yet, and how they become rows."""

    lines: Lines
    conversion: Conversion

    def records(self) -> Iterator[Record]:
        """Yields the rows, and refusals in their place."""
        return self.conversion.records(line_items(self.lines))

    def without_data(self) -> UnreadLines:
        """Returns the lines for another process."""
        return self._replace(lines=self.lines.without_data())

    def with_data(self) -> UnreadLines:
        """Returns the lines with their bytes."""
        return self._replace(lines=self.lines.with_data())


def unread_lines(parts: Iterable[Item | Lines], conversion: Conversion) -> Iterator[Record | UnreadLines]:
    """Yields what a source holds: lines as they are, records as rows."""
    for are_lines, group in groupby(parts, lambda part: type(part) is Lines):
        if are_lines:
            yield from (UnreadLines(lines, conversion) for lines in cast("Iterable[Lines]", group))
        else:
            yield from conversion.records(cast("Iterable[Item]", group))


def unpack(items: Iterable[Item], data_format: DataFormat) -> Iterator[Item]:
    """Yields the records of documents. Those of a whole document are numbered; those of a line have its number."""
    unpack = data_format.unpack
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        if unpack is None:
            yield item if item.number else item._replace(number=1)
            continue
        try:
            left_out = None
            for number, record in enumerate(unpack(item.value), 1):
                if record is item.value:
                    others = NO_FIELDS
                else:
                    others = left_out = _left_out_of_document(item.value, data_format) if left_out is None else left_out
                yield SourceRecord(item.number or number, item.source, record, item.size, others)
        except Unconvertible as error:
            yield error.refusal(item.number or 1, item.source, item.value)
        except CONVERSION_ERRORS as error:
            yield _unreadable(error, item)


def _left_out_of_document(document: Any, data_format: DataFormat) -> Mapping[str, Any]:
    """Returns what a document has beside its records."""
    if data_format.document is None:
        return NO_FIELDS
    return unread(document, data_format.document, TRACE.rstrip(".") if data_format.traces else "")


def columns_read(data_format: DataFormat, options: Options, group: str | None, *, is_paired: bool) -> frozenset[str] | None:
    """Returns the columns that a format reads with these options; None if its records have no columns."""
    if data_format.reads is None:
        return None
    pair_columns = PAIRED_COLUMNS if is_paired else frozenset()
    return data_format.reads | pair_columns | ({group} if group is not None else set())


def convert_items(
    items: Iterable[Item], data_format: DataFormat, reads: frozenset[str] | None, options: Options, group: str | None
) -> Iterator[Record]:
    """Yields the rows or the refusal of each record, with the columns that the format does not read."""
    convert, template = data_format.convert, options.template if isinstance(options.template, Template) else None
    keep, has_attributes = not data_format.traces, data_format.has_attributes
    new = tuple.__new__  # twice as fast as the class
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        number, source, record, size, others = item
        has_more = reads is not None and type(record) is dict and not record.keys() <= reads
        try:
            for result in convert(record, options):
                if isinstance(result, Unconvertible):
                    yield result.refusal(number or 1, source, record)
                    continue
                row, key, changes, left_out = result
                if has_more:
                    read = reads | template.columns if template else reads  # type: ignore[operator]
                    row, left_out = with_extras(row, left_out, record, read, keep=keep, has_attributes=has_attributes)  # type: ignore[arg-type]
                if group is not None and isinstance(record, dict) and record.get(group) is not None:
                    key = str(record[group])
                if others:
                    left_out = {**others, **left_out}
                if options.select is not None:
                    left_out = selected_by(left_out)
                yield new(Example, (row, number, source, key, changes, left_out, size))
        except Unconvertible as error:
            yield error.refusal(number or 1, source, record)
        except UserCallbackError as error:
            error.error.add_note(f"at {location(number or 1, source, id_of(record))}")
            raise error.error from None
        except CONVERSION_ERRORS as error:
            yield _unreadable(error, item)


def _unreadable(error: Exception, item: SourceRecord) -> Refusal:
    message = f"the record does not have the expected format ({type(error).__name__}: {str(error)[:100]})"
    return Refusal("record_unreadable", message, item.number or 1, item.source, id=id_of(item.value))
