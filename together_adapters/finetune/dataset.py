"""Rows on their way from a source to a file: read lazily, and again whenever they are needed; what is left out is counted.

data = TrainingData.from_rows(rows).filter(lambda row: row["score"] > 3, reason="low_score").dedupe()
train, validation = data.split(validation=0.05)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from together_adapters.errors import DatasetError
from together_adapters.finetune.errors import ConversionError, issue_of, issue_summary, location_of
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.issues import Issue
from together_adapters.finetune.records import Converted, Example, Record, Refusal, Row, Unconvertible, examples
from together_adapters.finetune.splitting import By, Splitter
from together_adapters.finetune.validation.json_values import copy_json
from together_adapters.finetune.validation.token_lengths import token_counter

_LISTED = 1000
Step = Callable[[Iterator[Record]], Iterator[Record]]


class TrainingData:
    """Rows for training, each with where it comes from, and what could not become a row.

    Nothing is read before rows are asked for, and no more is held in memory than the row at hand. Every pass reads the source
    anew; one that can be read only once says so when it is read again.

    Attributes:
        name: What it is called in messages.
    """

    def __init__(self, read: Callable[[], Iterable[Record]], name: str = "data") -> None:
        """Take a source.

        Args:
            read: Gives its records from the beginning, each time it is called.
            name: What it is called in messages.
        """
        self.name = name
        self._read = read

    @classmethod
    def from_rows(cls, rows: Iterable[Any], name: str = "data") -> TrainingData:
        """Take rows in the service's format.

        Args:
            rows: Dictionaries. A list can be read again; an iterator, only once.
            name: What they are called in messages.
        """
        if isinstance(rows, TrainingData):
            return rows
        source: Iterable[Any] = _Once(rows, name) if isinstance(rows, Iterator) else rows
        return cls(lambda: _records(source, name), name)

    def records(self) -> Iterator[Record]:
        """Give everything that the source holds: rows, and refusals in their place."""
        return iter(self._read())

    def __iter__(self) -> Iterator[Row]:
        """Give the rows.

        Raises:
            ConversionError: At the end, when something in the source could not become a row.
        """
        issues: list[Issue] = []
        counts: dict[str, int] = {}
        for record in self.records():
            if isinstance(record, Example):
                yield record.row
            elif not record.skipped:
                counts[record.code] = counts.get(record.code, 0) + 1
                if len(issues) < _LISTED:
                    issues.append(issue_of(record))
        if counts:
            message = f"{sum(counts.values()):,} records of {self.name} cannot become rows: {issue_summary(issues, counts)}"
            raise ConversionError(message, issues=issues, issue_counts=counts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def map(self, change: Callable[[Row], Row | None], *, name: str = "mapped", reason: str | None = None) -> TrainingData:
        """Change rows.

        Args:
            change: Given a copy of a row, which it may alter; returns the new row.
            name: Under which rows that came out different are counted as changed.
            reason: Under which rows are counted as dropped for which `change` returned None. Without it, None is a fault.
        """
        return self._then(lambda records: _mapped(records, change, name, reason))

    def filter(self, keep: Callable[[Row], Any], *, reason: str = "filtered") -> TrainingData:
        """Leave rows out.

        Args:
            keep: Given a row; says whether it stays.
            reason: Under which those left out are counted as dropped.
        """
        return self._then(lambda records: _filtered(records, keep, reason))

    def dedupe(
        self, on: Literal["example", "prompt"] | Callable[[Row], Any] = "example", *, keep: Literal["first", "last"] = "first"
    ) -> TrainingData:
        """Leave out rows that were there before; it takes some 20 bytes of memory per row.

        Args:
            on: What makes rows equal: `example`, all that is trained on (ids of tool calls do not count, blanks do); `prompt`,
                the system message and the first question; or what a function returns for a row, as a text or number.
                Equal rows are counted as dropped for `duplicate`; those with the prompt of another row and a different answer
                for `conflicting_answers`, which the report lists one by one.
            keep: Which one stays. For `last` the source is read twice.
        """
        if keep not in ("first", "last"):
            raise ValueError(f"keep {keep!r} is neither first nor last")
        if not callable(on) and on not in ("example", "prompt"):
            raise ValueError(f"on {on!r} is neither example nor prompt, nor a function")
        if keep == "last":
            return TrainingData(lambda: _deduped(self.records(), on, _last(self.records(), on)), self.name)
        return self._then(lambda records: _deduped(records, on, None))

    def split(self, validation: float = 0.05, *, by: By = None, seed: int = 0) -> tuple[TrainingData, TrainingData]:
        """Divide the rows into those to train on and those to measure with.

        The side of a row follows from its group alone: it is the same in every run, and stays the same when rows are added.

        Args:
            validation: The share of groups to measure with.
            by: What stays together. None: the conversation or trace that the source names, else the prompt (system message and
                first question); a row to measure with whose prompt another conversation trains on is left out, and counted as
                `prompt_in_training`, so that nothing leaks. `prompt`: the prompt. `group`: what the source names. A column, or
                a function of the row: what they hold.
            seed: Another number divides differently.

        Returns:
            The rows to train on, and those to measure with. What the source refuses is told with the first.

        Raises:
            DatasetError: When either is read to its end: one of the two is empty, or a row has no group.
        """
        splitter = Splitter(self.records, validation, by, seed)
        return TrainingData(splitter.train, f"{self.name} (train)"), TrainingData(
            splitter.validation, f"{self.name} (validation)"
        )

    def limit(self, rows: int | None = None, *, tokens: int | None = None, tokenizer: Any = None) -> TrainingData:
        """Stop early. What comes after is not read, and therefore not counted.

        Args:
            rows: The most rows.
            tokens: The most tokens of all rows together: the row that would exceed them is the first one left out.
            tokenizer: Counts them: a function that gives a text's tokens or their number. Without it they are estimated.
        """
        return self._then(lambda records: _limited(records, rows, tokens, tokenizer))

    def _then(self, step: Step) -> TrainingData:
        return TrainingData(lambda: step(self.records()), self.name)


def from_messages(messages: Iterable[Any], *, tools: Sequence[Any] | None = None, name: str = "messages") -> TrainingData:
    """Take conversations as lists of messages.

    Args:
        messages: One conversation, or several: dictionaries with `role` and `content`, as the API takes them.
        tools: The tools that are declared for each of them.
        name: What they are called in messages of errors.
    """
    if isinstance(messages, Sequence) and messages and isinstance(messages[0], Mapping) and "role" in messages[0]:
        messages = [messages]
    source: Iterable[Any] = _Once(messages, name) if isinstance(messages, Iterator) else messages

    def convert(talk: Any) -> Iterator[Converted]:
        if not isinstance(talk, list | tuple):
            raise Unconvertible("messages_not_list", f"a conversation must be a list of messages, not {kind_of(talk)}", "", talk)
        row: Row = {"messages": list(talk)}
        if tools is not None:
            row["tools"] = list(tools)
        yield Converted(row)

    return TrainingData(lambda: examples(source, convert, name), name)


class _Once:
    """An iterator, which says so when it is asked for a second time instead of being found empty."""

    def __init__(self, items: Iterator[Any], name: str) -> None:
        self._items: Iterator[Any] | None = items
        self._name = name

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            raise DatasetError(
                f"{self._name} came from an iterator, which can be read only once, and was read already: give a list,"
                " or TrainingData(read) with a function that begins anew"
            )
        items, self._items = self._items, None
        return items


def _records(rows: Iterable[Any], source: str) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        if type(row) is dict:
            yield Example(row, number, source)
        elif isinstance(row, Example | Refusal):
            yield row
        elif isinstance(row, Mapping):
            yield Example(dict(row), number, source)
        else:
            yield Refusal("line_not_object", f"a row must be a dictionary, not {kind_of(row)}", number, source, value=row)


def _mapped(
    records: Iterable[Record], change: Callable[[Row], Row | None], name: str, reason: str | None
) -> Iterator[Record]:  # fmt: skip
    for record in records:
        if isinstance(record, Refusal):
            yield record
            continue
        row = _told(record, change, copy_json(record.row))
        if row is None and reason is not None:
            yield _dropped(record, reason)
        elif not isinstance(row, dict):
            what = "None; name a reason= if the row is to be dropped" if row is None else f"{kind_of(row)} instead of a row"
            yield Refusal("map_not_row", f"map returned {what}", record.number, record.source)
        elif row != record.row:
            yield record._replace(row=row, changed=(*record.changed, name))
        else:
            yield record


def _filtered(records: Iterable[Record], keep: Callable[[Row], Any], reason: str) -> Iterator[Record]:
    for record in records:
        yield record if isinstance(record, Refusal) or _told(record, keep, record.row) else _dropped(record, reason)


def _deduped(records: Iterable[Record], on: Any, last: Digests | None) -> Iterator[Record]:
    seen = Digests(8 if on == "prompt" else 0)
    for number, record in enumerate(records):
        if isinstance(record, Refusal):
            yield record
            continue
        key, said = _keys(record, on)
        if last is None:
            before = seen.put(key, said)
            if before is None:
                yield record
                continue
        else:
            stays = last.put(key) or b""
            if stays[:8] == number.to_bytes(8, "big"):
                yield record
                continue
            before = stays[8:]
        conflict = before != said
        message = "another row asks the same and answers differently" if conflict else ""
        code = "conflicting_answers" if conflict else "duplicate"
        yield Refusal(code, message, record.number, record.source, skipped=True)


def _last(records: Iterable[Record], on: Any) -> Digests:
    """Find the last of all rows that are equal."""
    last = Digests(16 if on == "prompt" else 8)
    for number, record in enumerate(records):
        if isinstance(record, Example):
            key, said = _keys(record, on)
            last.set(key, number.to_bytes(8, "big") + said)
    return last


def _keys(record: Example, on: Any) -> tuple[bytes, bytes]:
    """What makes a row equal to another, and for prompts, what it says."""
    if on == "example":
        return digest(canonical(record.row)), b""
    if on == "prompt":
        return digest(prompt_of(record.row)), digest(canonical(record.row), 8)
    found = _told(record, on, record.row)
    return digest(found if isinstance(found, str | bytes) else repr(found)), b""


def _limited(records: Iterable[Record], rows: int | None, tokens: int | None, tokenizer: Any) -> Iterator[Record]:
    count = token_counter(tokenizer)
    taken = spent = 0
    if rows is not None and rows <= 0:
        return
    for record in records:
        if isinstance(record, Example):
            if tokens is not None:
                spent += count(record.row)
                if spent > tokens:
                    return
            taken += 1
        yield record
        if taken == rows:
            return


def _dropped(record: Example, reason: str) -> Refusal:
    return Refusal(reason, "", record.number, record.source, skipped=True)


def _told(record: Example, ask: Callable[[Row], Any], row: Row) -> Any:
    """Ask a function of the user's; what it raises names the row."""
    try:
        return ask(row)
    except Exception as problem:
        problem.add_note(f"at {location_of(record)}")
        raise
