"""Loads training data from files, folders, tables and records, in any of the supported formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, cast

from together_adapters.errors import DatasetError
from together_adapters.finetune.accounting import REPLACED, Unchosen, extra_columns, has_value
from together_adapters.finetune.conversion import (
    LINE_SCHEMAS,
    Conversion,
    UnreadLines,
    columns_read,
    convert_items,
    unpack,
    unread_lines,
)
from together_adapters.finetune.dataset import OneTimeIterable, TrainingData, drop_prefixes
from together_adapters.finetune.errors import SchemaDetectionError
from together_adapters.finetune.formats.column_names import Reading, is_question_or_answer
from together_adapters.finetune.formats.detection import MIXED, detect, readings_of, refuse
from together_adapters.finetune.formats.exports.langchain_files import is_snapshot
from together_adapters.finetune.formats.exports.message_trees import is_table, trees
from together_adapters.finetune.formats.instruction import needs_conversation
from together_adapters.finetune.formats.options import (
    CHAT_TEMPLATES,
    Options,
    Template,
    user_callback,
)
from together_adapters.finetune.formats.preference import ANSWERS
from together_adapters.finetune.formats.rag import RagPrompt, labelled_rag, pool_of
from together_adapters.finetune.formats.registry import DATA_FORMATS, DataFormat
from together_adapters.finetune.pairing import label_of, pair_labelled
from together_adapters.finetune.readers.fields import flat, is_stored_message, list_of_page
from together_adapters.finetune.readers.files import Source, Spool, open_path
from together_adapters.finetune.readers.json_values import Item, SourceRecord
from together_adapters.finetune.readers.tables import open_table
from together_adapters.finetune.recording import TRACE_COLUMN, is_recorded
from together_adapters.finetune.records import Record, Refusal, Unconvertible, id_of

_MAX_PEEKED: Final = 100
_INSTRUCTIONS: Final = frozenset({"prompt_completion", "alpaca", "question_answers"})


def load(
    source: Any,
    schema: str = "auto",
    *,
    columns: Mapping[str, str] | None = None,
    input_key: str | None = None,
    output_key: str | None = None,
    root: str | PathLike[str] | None = None,
    fetch: Callable[[str], bytes] | None = None,
    template: Callable[..., str] | None = None,
    join: str = "\n\n",
    form: Literal["conversation", "instruction"] | None = None,
    text_dialect: str = "chatml",
    pair: Literal["best_vs_worst"] | None = None,
    select: Callable[[Any], Any] | None = None,
    collapse_prefixes: bool = True,
    null_arguments: Literal["keep", "drop"] = "keep",
    prompt_weights: bool = True,
    group: str | None = None,
    name: str | None = None,
) -> TrainingData:
    """Loads training data in any of the supported formats.

    No record is lost silently: each is converted to rows, refused or dropped, and every change to a row is counted. Of a key that
    occurs twice in an object the last value counts, as for other JSON parsers: to look for such keys nearly doubles the time to
    load, so only `check_jsonl(path, strict=True)` does.

    Args:
        source: A path (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`, `.arrow`; texts also compressed), a folder, a pattern such as
            `logs/*.jsonl`, or `-` for standard input; a list or other iterable of records; a pandas or Polars frame, an Arrow
            table, a Hugging Face `Dataset` or `IterableDataset`.
        schema: `auto`, or one of messages, openai, prompt_completion, text, preference, hh, sharegpt, alpaca, requests, xlam,
            glaive, question_answers, chatml, otel, openinference, langfuse, langchain, chatgpt, claude, oasst, chat_store,
            handler, labelled_rag, query_response, llm_runs, examples.
        columns: The source's column for each column of the schema, as `{"prompt": "question", "completion": "reply"}`; a field of an
            object by its path, as `translation.en`.
        input_key: The field of an example that holds the question, if it has several.
        output_key: The field of an example that holds the answer.
        root: The folder below which images are read by path. Without it none are.
        fetch: Returns the bytes of an image, given its URL. Without it such images are refused; in LangSmith's records they stay
            URLs, which validation reports.
        template: Returns the text of a prompt. For labelled_rag a `RagPrompt`, or a function of the record; for alpaca a function
            of the record.
        join: The separator between the instruction and the input of an Alpaca record.
        form: Whether questions with answers become conversations or instructions, if a schema allows both.
        text_dialect: The chat template of rendered text: chatml, llama3, llama2 or mistral.
        pair: `best_vs_worst` converts answers with scores, or labelled good or bad, to preferences.
        select: Called with each call of a trace, with its scores and feedback; False drops the call.
        collapse_prefixes: Whether to drop the calls of a trace whose conversation a longer call continues. The source is then read
            twice. Conversations with a column `trace_id`, as a `FinetuneRecorder` writes them, are calls of traces.
        null_arguments: Tables add nulls to objects. `drop` removes nulls from the arguments and schemas of tools.
        prompt_weights: Whether the messages of a prompt that is a chat get the weight 0, so that only the completion is trained on.
        group: The column of the rows that must stay together in a split, such as the id of a conversation.
        name: The name of the source to show in messages.

    Returns:
        The rows. Only the first records are read before rows are needed.

    Raises:
        SchemaDetectionError: No schema fits the first records, or several do.
        DatasetError: The source cannot be read.
        ValueError: The schema or one of its options is unknown.
    """
    if schema != "auto" and schema not in DATA_FORMATS:
        raise ValueError(f"there is no schema {schema!r}; there are auto, {', '.join(DATA_FORMATS)}")
    if text_dialect not in CHAT_TEMPLATES:
        raise ValueError(f"there is no text_dialect {text_dialect!r}; there are {', '.join(CHAT_TEMPLATES)}")
    options = Options(
        input_key=input_key, output_key=output_key, root=None if root is None else Path(root),
        fetch=user_callback(fetch), template=_template_of(template),
        join=join, form=form, text_dialect=text_dialect, pair=pair, select=user_callback(select), collapse_prefixes=collapse_prefixes,
        prompt_weights=prompt_weights,
    )  # fmt: skip
    opened = _open(source)
    if columns:
        opened = opened._replace(read=_rename_columns(opened.read, columns))
    if opened.read_once:
        opened = opened._replace(read=_PeekedReader(opened))
    if opened.is_table:
        options = replace(options, is_table=True, null_arguments=null_arguments)
    first = _first_records(opened)
    if any(map(list_of_page, first)):
        opened = opened._replace(read=_pages(opened.read), read_parts=None)
        if opened.read_once:
            opened = opened._replace(read=_PeekedReader(opened))
        first = _first_records(opened)
    readings = _readings_of(opened, first, "auto" if schema == "preference" and pair and _has_labels(first) else schema, options)
    schemas = {reading.schema for reading in readings}
    if (
        form is None
        and not schemas.isdisjoint(_INSTRUCTIONS)
        and (not schemas <= _INSTRUCTIONS or any(map(needs_conversation, first)))
    ):
        options = replace(options, form="conversation")
    if len(readings) != 1:
        return TrainingData(_mixed_reader(opened, options, group), name or opened.name)
    schema, named_columns = readings[0]
    if schema == "oasst" and any(map(is_table, first)):
        opened = opened._replace(read=_trees(opened.read))
    if named_columns:
        opened = opened._replace(read=_rename_columns(opened.read, dict(named_columns)))
    if schema == "messages" and any(map(is_recorded, first)):
        group = group or TRACE_COLUMN
    read = _row_reader(opened, DATA_FORMATS[schema], schema, options, group)
    if columns or named_columns:
        read = _name_columns(read, dict(named_columns) | dict(columns or {}), is_chosen=bool(columns))
    is_usual = not (columns or named_columns or group or pair or template or form)
    read_lines = _line_reader(opened, Conversion(schema, options)) if is_usual else None
    return TrainingData(read, name or opened.name, read_lines)


def _template_of(template: Callable[..., str] | None) -> Any:
    is_function = template is not None and not isinstance(template, RagPrompt)
    return Template(cast("Callable[[Any], str]", user_callback(template))) if is_function else template


def _open(source: Any) -> Source:
    if isinstance(source, str | PathLike):
        return open_path(Path(source) if source != "-" else "-")
    if (table := open_table(source)) is not None:
        return table
    if isinstance(source, Mapping):
        return Source("data", lambda: [SourceRecord(0, "data", source)])
    if not isinstance(source, Iterable):
        raise DatasetError(f"a {type(source).__name__} cannot be read: pass a path, records, or a table")
    if isinstance(source, list) and source and is_stored_message(source[0]):
        return Source("data", lambda: [SourceRecord(1, "data", source)])
    return Source("data", lambda: _enumerate(source), read_once=isinstance(source, Iterator))


def _enumerate(records: Iterable[Any]) -> Iterator[Item]:
    return (SourceRecord(number, "data", record) for number, record in enumerate(records, 1))


def _pages(read: Callable[[], Iterable[Item]]) -> Callable[[], Iterator[Item]]:
    """Reads the records of pages."""

    def read_records() -> Iterator[Item]:
        for item in read():
            records = None if isinstance(item, Refusal) else list_of_page(item.value)
            if isinstance(item, Refusal) or records is None:
                yield item
            else:
                yield from (SourceRecord(item.number or number, item.source, one) for number, one in enumerate(records, 1))

    return read_records


def _rename_columns(read: Callable[[], Iterable[Item]], columns: Mapping[str, str]) -> Callable[[], Iterator[Item]]:
    """Renames the columns of a source to those of a schema."""
    names = set(columns.values()) | set(columns)
    new_names = set(columns) - set(columns.values())
    paths = [column for column in columns.values() if "." in column]

    def read_renamed() -> Iterator[Item]:
        for item in read():
            if isinstance(item, Refusal) or not isinstance(record := item.value, dict):
                yield item
                continue
            if paths:
                record = _with_paths(record, paths)
            if missing := [target for target, column in columns.items() if column not in record]:
                column, way = columns[missing[0]], f"columns={ {missing[0]: 'COLUMN'}!r} takes another"
                message = f"there is no column {column!r}; the columns are {', '.join(map(str, record))}; {way}"
                yield Refusal("column_missing", message, item.number, item.source, column, id=id_of(record))
            else:
                row = {target: record[column] for target, column in columns.items()}
                others = {
                    f"{REPLACED}{key}" if key in new_names else key: record[key] for key in record if key not in names - new_names
                }
                yield item._replace(value=row | others)

    return read_renamed


def _with_paths(record: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Returns a record in which the fields of an object have columns of their own, as far as paths such as `fields.text` need it."""
    for path in paths:
        for end in (index for index, letter in enumerate(path) if letter == "."):
            if path not in record and isinstance(record.get(path[:end]), dict):
                record = flat(record, path[:end])
    return record


def _trees(read: Callable[[], Iterable[Item]]) -> Callable[[], Iterator[Item]]:
    """Joins the messages of a table, which name their parents, to trees."""

    def read_trees() -> Iterator[Item]:
        items = list(read())
        yield from (item for item in items if isinstance(item, Refusal) or not is_table(item.value))
        source = items[0].source or "" if items else ""
        messages = ((item.number, item.value) for item in items if isinstance(item, SourceRecord) and is_table(item.value))
        for number, tree in trees(messages):
            yield tree.refusal(number, source) if isinstance(tree, Unconvertible) else SourceRecord(number, source, tree)

    return read_trees


class _PeekedReader:
    """Reads a source that can be read only once; its first records are available any number of times."""

    def __init__(self, source: Source) -> None:
        items = iter(source.read())
        self.first = list(islice(items, _MAX_PEEKED))
        self._items = OneTimeIterable(chain(self.first, items), source.name)

    def __call__(self) -> Iterator[Item]:
        return iter(self._items)


def _peek(source: Source, count: int) -> Iterable[Item]:
    """Returns the first records of a source; all that were peeked if it can be read only once."""
    return source.read.first if isinstance(source.read, _PeekedReader) else islice(source.read(), count)


def _first_records(source: Source) -> list[Any]:
    return [item.value for item in _peek(source, _MAX_PEEKED) if isinstance(item, SourceRecord)]


def _readings_of(source: Source, records: list[Any], schema: str, options: Options) -> tuple[Reading, ...]:
    """Detects how records, the first of a source, are read; or checks that the schema given is possible."""
    if schema != "auto":
        for record in records[:1]:
            refuse(record, options.pair)
        return (Reading(schema),)
    if not records and not source.read_once:
        refusal = next((item for item in islice(source.read(), 1) if isinstance(item, Refusal)), None)
        raise SchemaDetectionError(f"{source.name}: {refusal.message if refusal else 'there is no record'}")
    return detect(records, pair=options.pair)


def _mixed_reader(source: Source, options: Options, group: str | None) -> Callable[[], Iterator[Record]]:
    """Returns a function that reads the rows of records of several formats, each in its own."""

    def read() -> Iterator[Record]:
        for item in source.read():
            if isinstance(item, Refusal):
                yield item
                continue
            record = item.value
            columns = tuple(key for key, value in record.items() if has_value(value)) if isinstance(record, dict) else ()
            readings = readings_of(record, columns)
            if len(readings) != 1 or readings[0].schema not in MIXED:
                yield Refusal(
                    "record_unreadable",
                    "the record has none of the formats of the others",
                    item.number,
                    item.source,
                    id=id_of(record),
                )
                continue
            schema, renamed = readings[0]
            items = _rename_columns(lambda one=item: [one], dict(renamed))() if renamed else [item]  # type: ignore[misc]
            data_format = DATA_FORMATS[schema]
            reads = columns_read(data_format, options, group, is_paired=False)
            yield from convert_items(items, data_format, reads, options, group)

    return read


def _name_columns(
    read: Callable[[], Iterable[Record]], columns: Mapping[str, str], *, is_chosen: bool
) -> Callable[[], Iterator[Record]]:
    """Returns a function that reads records whose refusals name columns as the source has them.

    If the user has chosen the columns, other questions and answers are left out.
    """

    def read_named() -> Iterator[Record]:
        for record in read():
            if isinstance(record, Refusal):
                column = columns.get(record.path, record.path)
                text = record.message.replace(f"column {record.path}", f"column {column}") if record.path else record.message
                yield record._replace(path=column, message=text)
                continue
            others = [name for name in extra_columns(tuple(record.row)) if is_question_or_answer(name)] if is_chosen else []
            if others:
                unchosen = {name: Unchosen(record.row.pop(name)) for name in others}
                yield record._replace(left_out={**record.left_out, **unchosen})
            else:
                yield record

    return read_named


def _row_reader(
    source: Source, data_format: DataFormat, schema: str, options: Options, group: str | None
) -> Callable[[], Iterable[Record]]:  # fmt: skip
    """Returns a function that reads the rows."""
    if schema == "labelled_rag" and isinstance(options.template, RagPrompt) and options.template.distractors:
        if source.read_once:
            raise DatasetError(
                "distractors are drawn from all examples, but the source can be read only once: pass a list or a file"
            )
        pool = pool_of(item.value for item in unpack(source.read(), data_format) if isinstance(item, SourceRecord))
        data_format = data_format._replace(convert=lambda record, options: labelled_rag(record, options, pool))

    is_labelled = options.pair is not None and _has_labels(_first_records(source))
    reads = columns_read(data_format, options, group, is_paired=options.pair is not None and not is_labelled)

    def read() -> Iterator[Record]:
        records = convert_items(unpack(source.read(), data_format), data_format, reads, options, group)
        return pair_labelled(records) if is_labelled else records

    is_call = {"langchain": is_snapshot, "messages": is_recorded}.get(schema)
    has_calls = data_format.traces or (is_call is not None and any(map(is_call, _first_records(source))))
    if options.collapse_prefixes and has_calls:
        return drop_prefixes(Spool(read) if source.read_once else read)
    return read


def _line_reader(source: Source, conversion: Conversion) -> Callable[[], Iterable[Record | UnreadLines]] | None:
    """Returns a function that reads lines without making records of them; None if the records have to be made."""
    read_parts = source.read_parts
    if read_parts is None or source.is_table or conversion.schema not in LINE_SCHEMAS or conversion.options.form:
        return None
    return lambda: unread_lines(read_parts(), conversion)


def _has_labels(first: list[Any]) -> bool:
    """Whether the first records are answers that are labelled good or bad, one in each."""
    records = [record for record in first if isinstance(record, dict)]
    return any(label_of(record, record) and not any(isinstance(record.get(name), list) for name in ANSWERS) for record in records)
