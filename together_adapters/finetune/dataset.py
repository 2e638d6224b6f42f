"""Training data on its way from a source to a file: rows are read lazily, as often as needed, and dropped rows are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic_core import to_json

from together_adapters.errors import DatasetError
from together_adapters.finetune.arguments import refuse_no_rows
from together_adapters.finetune.errors import ConversionError, issue_of, issue_summary, location_with_id
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.issues import Issue, count_of
from together_adapters.finetune.records import Converted, Example, Record, Refusal, Row, Unconvertible, examples
from together_adapters.finetune.splitting import By, Splitter
from together_adapters.finetune.validation.json_values import copy_json
from together_adapters.finetune.validation.token_lengths import token_counter

if TYPE_CHECKING:
    from together_adapters.finetune.conversion import UnreadLines

_MAX_ISSUES: Final = 1000
Step = Callable[[Iterator[Record]], Iterator[Record]]


class TrainingData:
    """Rows for training with their origin, and records that cannot be converted to rows.

    Rows are read when they are needed, and only the current row is in memory. Every pass reads the source again; a source that can
    be read only once raises an error then.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Record]],
        name: str = "data",
        read_lines: Callable[[], Iterable[Record | UnreadLines]] | None = None,
        read_rows: Callable[[], Iterable[Record | Row]] | None = None,
    ) -> None:
        """Creates data from a source.

        Args:
            read: Returns the records from the start, each time it is called.
            name: The name to show in messages.
            read_lines: Returns the same, but may leave lines unread for those that write them without making records.
            read_rows: Returns the same, but may leave out what is known of a row for those that want nothing but rows.
        """
        self.name = name
        self._read = read
        self._read_lines = read_lines or read
        self._read_rows = read_rows or read

    @classmethod
    def from_rows(cls, rows: Iterable[Any], name: str = "data") -> TrainingData:
        """Creates data from rows in the service's formats.

        Args:
            rows: Dictionaries. A list can be read again, an iterator only once.
            name: The name to show in messages.

        Raises:
            DatasetError: This is a path, a table, or one row.
        """
        if isinstance(rows, TrainingData):
            return rows
        refuse_no_rows(rows)
        source: Iterable[Any] = OneTimeIterable(rows, name) if isinstance(rows, Iterator) else rows
        return cls(lambda: _records_of(source, name), name)

    def records(self) -> Iterator[Record]:
        """Yields all records of the source: rows, and refusals in their place."""
        return iter(self._read())

    def unread(self) -> Iterator[Record | UnreadLines]:
        """Yields what `records` yields, but lines of a file that nothing has changed may be unread."""
        return iter(self._read_lines())

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows.

        Raises:
            ConversionError: At the end, if records could not be converted to rows.
        """
        issues: list[Issue] = []
        counts: dict[str, int] = {}
        for record in self._read_rows():
            if type(record) is dict:
                yield record
            elif type(record) is Example:
                yield record[0]  # faster than by name
            elif isinstance(record, Refusal) and not record.skipped:
                counts[record.code] = counts.get(record.code, 0) + 1
                if len(issues) < _MAX_ISSUES:
                    issues.append(issue_of(record))
        if counts:
            summary = issue_summary(issues, counts)
            message = f"{count_of(sum(counts.values()), 'record')} of {self.name} cannot be converted to rows: {summary}"
            raise ConversionError(message, issues=issues, issue_counts=counts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def map(self, change: Callable[[Row], Row | None], *, name: str = "mapped", reason: str | None = None) -> TrainingData:
        """Changes rows.

        Args:
            change: Called with a copy of a row, which it may alter; returns the new row.
            name: The name under which changed rows are counted.
            reason: The reason under which rows are counted as dropped if `change` returns None. Without it, None is an error.
        """
        return self._apply(lambda records: _map(records, change, name, reason))

    def filter(self, keep: Callable[[Row], Any], *, reason: str = "filtered") -> TrainingData:
        """Drops rows.

        Args:
            keep: Called with a row; returns whether to keep it.
            reason: The reason under which dropped rows are counted.
        """
        return self._apply(lambda records: _filter(records, keep, reason))

    def dedupe(
        self, on: Literal["example", "prompt"] | Callable[[Row], Any] = "example", *, keep: Literal["first", "last"] = "first"
    ) -> TrainingData:
        """Drops duplicates; this takes about 20 bytes of memory per row.

        Args:
            on: What makes rows equal: `example`, all that is trained on (ids of tool calls do not count, white space does);
                `prompt`, the system message and the first question; or the result of a function of the row, a string or number.
                Equal rows are counted as dropped for `duplicate`; rows with the prompt of another row and a different answer for
                `conflicting_answers`, which the report lists.
            keep: Which of equal rows to keep. For `last` the source is read twice.
        """
        if keep not in ("first", "last"):
            raise ValueError(f"keep {keep!r} is neither first nor last")
        if not callable(on) and on not in ("example", "prompt"):
            raise ValueError(f"on {on!r} is neither example nor prompt, nor a function")
        if keep == "last":
            return TrainingData(lambda: _dedupe(self.records(), on, _last_rows(self.records(), on)), self.name)
        return self._apply(lambda records: _dedupe(records, on, None))

    def split(
        self, validation: float = 0.05, *, by: By = None, seed: int = 0, exact: bool = False
    ) -> tuple[TrainingData, TrainingData]:
        """Splits the rows into training and validation data.

        The side of a row follows from its group: it is the same in every run, and stays the same when rows are added.

        Args:
            validation: The share of groups in the validation data. It is approximate, since each group is assigned by itself: of
                few groups it may be far off.
            by: What stays together. None: the conversation or trace that the source names, else the prompt (system message and
                first question); a validation row whose prompt is also in the training data is dropped and counted as
                `prompt_in_training`. `prompt`: the prompt. `group`: what the source names. A column, or a function of the row:
                its value.
            seed: Another seed gives another split.
            exact: Whether the share of rows is to be as near to `validation` as what stays together allows, as in small data. The
                source is read once more, and some rows may change their side when rows are added.

        Returns:
            The training data and the validation data. Refusals of the source are in the training data.

        Raises:
            DatasetError: When either is read to its end: one of the two is empty, or a row has no group.
        """
        splitter = Splitter(self.records, validation, by, seed, exact)
        return TrainingData(splitter.train, f"{self.name} (train)"), TrainingData(
            splitter.validation, f"{self.name} (validation)"
        )

    def limit(self, rows: int | None = None, *, tokens: int | None = None, tokenizer: Any = None) -> TrainingData:
        """Limits the data. Rows after the limit are not read, and therefore not counted.

        Args:
            rows: The maximum number of rows.
            tokens: The maximum number of tokens of all rows; the row that would exceed it is not included.
            tokenizer: A function that returns the tokens of a string or their number. None estimates.
        """
        return self._apply(lambda records: _limit(records, rows, tokens, tokenizer))

    def _apply(self, step: Step) -> TrainingData:
        return TrainingData(lambda: step(self.records()), self.name)


def from_messages(messages: Iterable[Any], *, tools: Sequence[Any] | None = None, name: str = "messages") -> TrainingData:
    """Creates data from conversations as lists of messages.

    Args:
        messages: One conversation, or several: dictionaries with `role` and `content`, as in requests.
        tools: The tools to declare for each of them.
        name: The name to show in error messages.
    """
    if isinstance(messages, Sequence) and messages and isinstance(messages[0], Mapping) and "role" in messages[0]:
        messages = [messages]
    source: Iterable[Any] = OneTimeIterable(messages, name) if isinstance(messages, Iterator) else messages

    def convert(conversation: Any) -> Iterator[Converted]:
        if not isinstance(conversation, list | tuple):
            message = f"a conversation must be a list of messages, not {kind_of(conversation)}"
            raise Unconvertible("messages_not_list", message, "", conversation)
        row: Row = {"messages": list(conversation)}
        if tools is not None:
            row["tools"] = list(tools)
        yield Converted(row)

    return TrainingData(lambda: examples(source, convert, name), name)


class OneTimeIterable:
    """An iterator that raises an error when it is read a second time, instead of being empty."""

    def __init__(self, items: Iterator[Any], name: str) -> None:
        self._items: Iterator[Any] | None = items
        self._name = name

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            raise DatasetError(
                f"{self._name} is an iterator, which can be read only once, and was already read: pass a list or a file,"
                " or use TrainingData(read) with a function that returns a new iterator"
            )
        items, self._items = self._items, None
        return items


def _records_of(rows: Iterable[Any], source: str) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        if type(row) is dict:
            yield Example(row, number, source)
        elif isinstance(row, Example | Refusal):
            yield row
        elif isinstance(row, Mapping):
            yield Example(dict(row), number, source)
        else:
            yield Refusal("line_not_object", f"a row must be a dictionary, not {kind_of(row)}", number, source, value=row)


def _map(records: Iterable[Record], change: Callable[[Row], Row | None], name: str, reason: str | None) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Refusal):
            yield record
            continue
        row = _call(record, change, copy_json(record.row))
        if row is None and reason is not None:
            yield _drop(record, reason)
        elif not isinstance(row, dict):
            what = "None; pass reason= to drop such rows" if row is None else f"{kind_of(row)} instead of a row"
            yield record.refusal("map_not_row", f"map returned {what}")
        elif row != record.row:
            yield record._replace(row=row, changed=(*record.changed, name))
        else:
            yield record


def _filter(records: Iterable[Record], keep: Callable[[Row], Any], reason: str) -> Iterator[Record]:
    for record in records:
        yield record if isinstance(record, Refusal) or _call(record, keep, record.row) else _drop(record, reason)


def _dedupe(records: Iterable[Record], on: Any, last_rows: Digests | None) -> Iterator[Record]:
    rows = Digests(8 if on == "prompt" else 0)
    for number, record in enumerate(records):
        if isinstance(record, Refusal):
            yield record
            continue
        key, content = _keys_of(record, on)
        if last_rows is None:
            other_content = rows.put(key, content)
            if other_content is None:
                yield record
                continue
        else:
            last = last_rows.put(key) or b""
            if last[:8] == number.to_bytes(8, "big"):
                yield record
                continue
            other_content = last[8:]
        if other_content == content:
            yield _drop(record, "duplicate")
        else:
            yield record.refusal("conflicting_answers", "another row has the same prompt and a different answer", skipped=True)


def _last_rows(records: Iterable[Record], on: Any) -> Digests:
    """Returns the number of the last of all equal rows."""
    rows = Digests(16 if on == "prompt" else 8)
    for number, record in enumerate(records):
        if isinstance(record, Example):
            key, content = _keys_of(record, on)
            rows.set(key, number.to_bytes(8, "big") + content)
    return rows


def _keys_of(record: Example, on: Any) -> tuple[bytes, bytes]:
    """Returns what makes a row equal to another, and for prompts, the content of the row."""
    if on == "example":
        return digest(canonical(record.row)), b""
    if on == "prompt":
        return digest(prompt_of(record.row)), digest(canonical(record.row), 8)
    key = _call(record, on, record.row)
    return digest(key if isinstance(key, str | bytes) else repr(key)), b""


def _limit(records: Iterable[Record], max_rows: int | None, max_tokens: int | None, tokenizer: Any) -> Iterator[Record]:
    count = token_counter(tokenizer)
    rows = tokens = 0
    if max_rows is not None and max_rows <= 0:
        return
    for record in records:
        if isinstance(record, Example):
            if max_tokens is not None:
                tokens += count(record.row)
                if tokens > max_tokens:
                    return
            rows += 1
        yield record
        if rows == max_rows:
            return


def _drop(record: Example, reason: str) -> Refusal:
    return record.refusal(reason, "", skipped=True)


def _call(record: Example, function: Callable[[Row], Any], row: Row) -> Any:
    """Calls a function of the user; its errors name the row."""
    try:
        return function(row)
    except Exception as error:
        error.add_note(f"at {location_with_id(record)}")
        raise


def drop_prefixes(read: Callable[[], Iterable[Record]]) -> Callable[[], Iterator[Record]]:
    """Returns a function that reads records twice and refuses each conversation that a longer one of its group continues."""

    def without_prefixes() -> Iterator[Record]:
        prefixes = Digests()
        for record in read():
            for prefix in _prefix_digests(record)[:-1]:
                prefixes.put(prefix)
        for record in read():
            digests = _prefix_digests(record)
            if digests and digests[-1] in prefixes:
                text = "another conversation continues this one"
                yield Refusal("prefix_of_longer", text, record.number, record.source, skipped=True, id=record.id)
            else:
                yield record

    return without_prefixes


def _prefix_digests(record: Record) -> list[bytes]:
    """Returns the digests of a conversation up to each of its answers, and as a whole; none of other records."""
    if not isinstance(record, Example) or "messages" not in record.row:
        return []
    messages: list[Row] = record.row["messages"]
    running = blake2b(_to_bytes([record.group, record.row.get("tools")]), digest_size=16)
    digests: list[bytes] = []
    last = len(messages) - 1
    for index, message in enumerate(messages):
        running.update(_to_bytes(_comparable(message)))
        if index == last or message.get("role") == "assistant":
            digests.append(running.digest())
    return digests


def _comparable(message: Row) -> Any:
    functions = [call.get("function") for call in message.get("tool_calls") or ()]
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    return [message.get("role"), message.get("content") or "", reasoning, functions, message.get("weight")]


def _to_bytes(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="constants", serialize_unknown=True)
