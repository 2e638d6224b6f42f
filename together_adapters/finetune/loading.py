"""The way in: whatever people hold, read as rows for training.

data = load("conversations.json")
for row in data: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

from together_adapters.errors import DatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.errors import SchemaDetectionError
from together_adapters.finetune.formats.detection import detect, refuse
from together_adapters.finetune.formats.labelled_pairs import pair_labelled
from together_adapters.finetune.formats.options import CHAT_TEMPLATES, Options
from together_adapters.finetune.formats.rag import RagPrompt, labelled_rag, pool_of
from together_adapters.finetune.formats.registry import DATA_FORMATS, DataFormat
from together_adapters.finetune.readers.files import Item, Source, SourceRecord, open_path
from together_adapters.finetune.readers.spool import Spool
from together_adapters.finetune.readers.tables import open_table
from together_adapters.finetune.readers.user_callbacks import CONVERSION_ERRORS, UserCallbackError, user_callback
from together_adapters.finetune.records import Example, Record, Refusal, Unconvertible
from together_adapters.finetune.writing.trace_prefixes import drop_prefixes

_LOOKED_AT: Final = 100


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
    """Read data that is held in any of the common ways.

    Nothing is lost: every record becomes rows, or is told as refused or dropped, and every change to a row is counted.

    Args:
        source: A path (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`, `.arrow`; lines and documents also as `.gz`), a folder, a
            pattern such as `logs/*.jsonl`, or `-` for standard input; a list or other iterable of records; a pandas or Polars
            frame, an Arrow table, a Hugging Face `Dataset` or `IterableDataset`.
        schema: `auto`, or one of messages, openai, prompt_completion, text, preference, hh, sharegpt, alpaca, chatml, otel,
            openinference, langfuse, chat_store, handler, labelled_rag, query_response, llm_runs, examples.
        columns: The source's column for each that the schema has, as `{"prompt": "question", "completion": "reply"}`.
        input_key: The field of an example that holds the question, where it has several.
        output_key: The field of an example that holds the answer.
        root: The folder below which images named by path are read. Without it none are.
        fetch: Returns the bytes of an image, given its URL. Without it such images are refused.
        template: Makes the text of a prompt. For labelled_rag a `RagPrompt`, or any function of the record; for alpaca a
            function of the record.
        join: What stands between the instruction and the input of an Alpaca record.
        form: Whether questions with answers become conversations or instructions, where a schema allows both.
        text_dialect: The chat template of rendered text: chatml, llama3, llama2 or mistral.
        pair: `best_vs_worst` makes preferences of scored answers, or of answers labelled good or bad.
        select: Called with each call of a trace, with its scores and feedback; False leaves it out.
        collapse_prefixes: Of the calls of one trace, keep those alone that no longer one continues. The source is read twice.
        null_arguments: Tables pad objects with nulls. `drop` leaves nulls out of the arguments and schemas of tools.
        prompt_weights: Give the turns of a prompt that is a chat the weight 0, so that the completion alone is trained on.
        group: The column that says which rows must stay together in a split, as a conversation's id.
        name: What the source is called in messages.

    Returns:
        The rows. Nothing but the first records is read before they are asked for.

    Raises:
        SchemaDetectionError: No schema fits the first records, or several do.
        DatasetError: The source cannot be read.
        ValueError: There is no such schema, or no such option of it.
    """
    if schema != "auto" and schema not in DATA_FORMATS:
        raise ValueError(f"there is no schema {schema!r}; there are auto, {', '.join(DATA_FORMATS)}")
    if text_dialect not in CHAT_TEMPLATES:
        raise ValueError(f"there is no text_dialect {text_dialect!r}; there are {', '.join(CHAT_TEMPLATES)}")
    options = Options(
        input_key=input_key, output_key=output_key, root=None if root is None else Path(root),
        fetch=user_callback(fetch), template=template if isinstance(template, RagPrompt) else user_callback(template),
        join=join, form=form, text_dialect=text_dialect, pair=pair, select=user_callback(select), collapse_prefixes=collapse_prefixes,
        prompt_weights=prompt_weights,
    )  # fmt: skip
    found = _opened(source)
    if columns:
        found = found._replace(read=_renaming(found.read, columns))
    found = _peeked(found) if found.read_once else found
    schema = _schema_of(found, schema, options)
    title = name or found.name
    if found.padded:
        options = replace(options, padded=True, null_arguments=null_arguments)
    read = _reader(found, DATA_FORMATS[schema], schema, options, group)
    return TrainingData(read, title)


def _opened(source: Any) -> Source:
    """Return what was given as something to read."""
    if isinstance(source, str | PathLike):
        return open_path(Path(source) if source != "-" else "-")
    if (table := open_table(source)) is not None:
        return table
    if isinstance(source, Mapping):
        return Source("data", lambda: [SourceRecord(0, "data", source)])
    if not isinstance(source, Iterable):
        raise DatasetError(f"a {type(source).__name__} cannot be read: give a path, records, or a table")
    if isinstance(source, Iterator):
        return Source("data", lambda: _numbered(source), read_once=True)
    if isinstance(source, list) and source and isinstance(source[0], dict) and "role" in source[0] and "content" in source[0]:
        return Source("data", lambda: [SourceRecord(1, "data", source)])
    return Source("data", lambda: _numbered(source))


def _numbered(records: Iterable[Any]) -> Iterator[Item]:
    return (SourceRecord(number, "data", record) for number, record in enumerate(records, 1))


def _renaming(read: Callable[[], Iterable[Item]], columns: Mapping[str, str]) -> Callable[[], Iterator[Item]]:
    """Give columns the names that a schema has for them."""
    taken = set(columns.values()) | set(columns)

    def renamed() -> Iterator[Item]:
        for item in read():
            if isinstance(item, Refusal) or not isinstance(record := item.value, dict):
                yield item
            elif missing := [column for column in columns.values() if column not in record]:
                there = f"there is no column {missing[0]!r}, but {', '.join(map(str, record))}"
                yield Refusal("column_missing", there, item.number, item.source, missing[0])
            else:
                row = {target: record[column] for target, column in columns.items()}
                yield item._replace(value=row | {key: value for key, value in record.items() if key not in taken})

    return renamed


def _peeked(source: Source) -> Source:
    """Look at the first records of a source that can be read only once, without losing them."""
    items = iter(source.read())
    first = list(islice(items, _LOOKED_AT))
    rest: list[Iterator[Item]] = [items]

    def read() -> Iterator[Item]:
        if not rest:
            raise DatasetError(f"{source.name} can be read only once, and was read already: give a list, or a file")
        return chain(first, rest.pop())

    return source._replace(read=_Again(first, read))


class _Again:
    """The records of a source that can be read only once; the first of them any number of times."""

    def __init__(self, first: list[Item], read: Callable[[], Iterator[Item]]) -> None:
        self.first = first
        self._read = read

    def __call__(self) -> Iterator[Item]:
        return self._read()


def _schema_of(source: Source, schema: str, options: Options) -> str:
    """Return the schema, and look whether it can be that one."""
    read = source.read
    items = read.first if isinstance(read, _Again) else islice(read(), _LOOKED_AT)
    records = [item.value for item in items if isinstance(item, SourceRecord)]
    if schema != "auto":
        for record in records[:1]:
            refuse(record, options.pair)
        return schema
    if not records and not source.read_once:
        refused = next((item for item in islice(read(), 1) if isinstance(item, Refusal)), None)
        raise SchemaDetectionError(f"{source.name}: {refused.message if refused else 'there is no record'}")
    return detect(records, pair=options.pair)


def _reader(
    source: Source, data_format: DataFormat, schema: str, options: Options, group: str | None
) -> Callable[[], Iterable[Record]]:  # fmt: skip
    """Return what reads the rows."""
    convert = data_format.convert
    if schema == "labelled_rag" and isinstance(options.template, RagPrompt) and options.template.distractors:
        if source.read_once:
            raise DatasetError(
                "distractors are drawn from all examples, but the source can be read only once: give a list, or a file"
            )
        pool = pool_of(item.value for item in _unpacked(source.read(), data_format) if isinstance(item, SourceRecord))
        convert = lambda record, given: labelled_rag(record, given, pool)  # noqa: E731

    def read() -> Iterator[Record]:
        items = _unpacked(source.read(), data_format)
        if options.pair and _is_labelled(source):
            items = pair_labelled(items)
        return _converted(items, data_format._replace(convert=convert), options, group)

    if data_format.traces and options.collapse_prefixes:
        return drop_prefixes(Spool(read) if source.read_once else read)
    return read


def _is_labelled(source: Source) -> bool:
    items = source.read.first if isinstance(source.read, _Again) else islice(source.read(), 1)
    return any(isinstance(item, SourceRecord) and isinstance(item.value, dict) and "label" in item.value for item in items)


def _unpacked(items: Iterable[Item], data_format: DataFormat) -> Iterator[Item]:
    """Give the records that documents hold. Those of a whole document are counted; those of a line keep its number."""
    unpack = data_format.unpack
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        if unpack is None:
            yield item if item.number else item._replace(number=1)
            continue
        try:
            for number, record in enumerate(unpack(item.value), 1):
                yield SourceRecord(item.number or number, item.source, record)
        except Unconvertible as refused:
            yield _refusal(refused, item)
        except CONVERSION_ERRORS as problem:
            yield _unreadable(problem, item)


def _converted(items: Iterable[Item], data_format: DataFormat, options: Options, group: str | None) -> Iterator[Record]:
    """Convert records one by one: each gives its rows, or its refusal."""
    convert = data_format.convert
    for item in items:
        if isinstance(item, Refusal):
            yield item
            continue
        number, source, record = item
        try:
            for made in convert(record, options):
                if isinstance(made, Unconvertible):
                    yield _refusal(made, item)
                    continue
                row, key, changed = made
                if group is not None and isinstance(record, dict) and record.get(group) is not None:
                    key = str(record[group])
                yield Example(row, number, source, key, changed)
        except Unconvertible as refused:
            yield _refusal(refused, item)
        except UserCallbackError as raised:
            raised.error.add_note(f"at record {number} of {source}")
            raise raised.error from None
        except CONVERSION_ERRORS as problem:
            yield _unreadable(problem, item)


def _unreadable(problem: Exception, item: SourceRecord) -> Refusal:
    said = f"{type(problem).__name__}: {str(problem)[:100]}"
    return Refusal("record_unreadable", f"the record has a form that is not known ({said})", item.number or 1, item.source)


def _refusal(refused: Unconvertible, item: SourceRecord) -> Refusal:
    return Refusal(refused.code, refused.message, item.number or 1, item.source, refused.path, refused.value, refused.skipped)
