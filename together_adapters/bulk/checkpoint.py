"""The state of a run: its inputs, the shards in which they travel, and the answers. Each change is kept when a method returns.

Requests and answers are in files of lines beside the database, which has a row for each file and for each shard.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from operator import and_
from pathlib import Path
from typing import Any, Final

from together_adapters.bulk.answer_files import AnswerFile, AnswerFiles, AnswerLog, State, trim
from together_adapters.bulk.database import Database
from together_adapters.bulk.inputs import Requests, body_of
from together_adapters.bulk.outcomes import FATAL_OF_MODEL, Failure, exception_of, failure_line, failure_of, read_line
from together_adapters.bulk.request_files import (
    Numbers,
    Pending,
    RequestFile,
    RequestFiles,
    compact,
    file_name,
    pack,
    put,
    select,
    unpack,
)
from together_adapters.control.prices import Tokens
from together_adapters.errors import ConfigurationError, DatasetError, DownloadError, TogetherError
from together_adapters.resources.batch_files import MAX_BYTES

ROUNDS: Final = 2
"""How often a request is sent at most."""
_SHARD: Final = "number, round, model, state, name, file_id, batch_id, others, since, status, tokens"
_NO_JOB: Final = "state IN ('written', 'uploading', 'uploaded')"
_HAS_ENDED: Final = "state IN ('answered', 'read')"
_FIRST: Final = (State.NEW, State.AGAIN)
_UNSENT: Final = (*_FIRST, State.RETRY)
_DONE: Final = (State.ANSWERED, State.REFUSED, State.FAILED)
_AGAIN: Final = bytes(State.AGAIN if state in (State.FAILED, State.RETRY) else state for state in range(256))
"""From the states at the end of a run to those at the start of the next."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of requests, and its job."""

    number: int
    round: int
    model: str
    state: str
    name: str
    file_id: str | None = None
    batch_id: str | None = None
    others: str = "[]"
    since: float | None = None
    status: str | None = None
    tokens: str | None = None

    @property
    def used(self) -> Tokens:
        """The tokens of its answers."""
        return Tokens(*json.loads(self.tokens or "[]"))


class Checkpoint:
    """What a run has done and has to do."""

    def __init__(self, path: str | os.PathLike[str] | None, endpoint: str, *, read_only: bool = False) -> None:
        self.database = Database(path, read_only=read_only)
        self.endpoint = endpoint
        self.folder = self.database.folder
        self.requests = RequestFiles(self.folder)
        self.answers = AnswerFiles(self.folder, endpoint)
        self.inputs: Numbers = range(0)
        self._logs: dict[str, tuple[int, AnswerLog]] = {}  # by model
        self._may_plan = True
        try:
            if not read_only:
                self.database.bind({"kind": "requests", "endpoint": endpoint})
                self.folder.mkdir(exist_ok=True)
            self._load(read_only=read_only)
        except BaseException:
            self.close()
            raise

    def _load(self, *, read_only: bool) -> None:
        """Reads what the run before has left."""
        run = self.database.run
        for name, model, size, numbers, ids in run("SELECT name, model, size, numbers, ids FROM requests ORDER BY file"):
            self._check_file(name, size)
            self.requests.add(RequestFile(name, model, size, unpack(numbers), ids))
        self.answers.grow(len(self.requests))
        for name, model in run("SELECT name, model FROM answers WHERE shard IS NULL"):
            self._check_file(name, None)
            if not read_only:
                trim(self.folder / name)
            self.answers.add(
                self.answers.read(name, self.requests.pending(range(len(self.requests))), is_growing=True), model, may_retry=True
            )
        for shard, model, round, numbers in run(
            f"SELECT number, model, round, numbers FROM shards WHERE {_HAS_ENDED} ORDER BY number"  # noqa: S608
        ):
            pending = self.requests.pending(unpack(numbers))
            for name, size in run("SELECT name, size FROM answers WHERE shard = ? ORDER BY file", (shard,)):
                self._check_file(name, size)
                self.answers.add(self.answers.read(name, pending), model, may_retry=round < ROUNDS)
        for inputs, has_ended in run("SELECT inputs, ended FROM run"):
            self.inputs = unpack(inputs)
            if has_ended:
                self.answers.states = self.answers.states.translate(_AGAIN)

    def _check_file(self, name: str, size: int | None) -> None:
        try:
            actual = (self.folder / name).stat().st_size
        except FileNotFoundError:
            actual = -1
        if actual < 0 or (size is not None and actual != size):
            raise ConfigurationError(
                f"{self.folder / name}, a file of the checkpoint {self.database.path}, is {'missing' if actual < 0 else 'damaged'}: "
                "restore a copy of both, or name another checkpoint. Jobs that were started are still in batches.list()"
            )

    # Inputs

    def read_inputs(
        self, requests: Iterable[Requests], *, max_lines: int, max_bytes: int = MAX_BYTES, is_part: bool = False
    ) -> None:
        """Takes the inputs of this run: those that are known are recognized by their content, new ones are added.

        Those of the run before must be among them, unless they are only a part: then what was never sent is not sent any more.

        Raises:
            DatasetError: An input of the run before is missing.
        """
        before = len(self.requests)
        inputs, files = self.requests.read(requests, self.requests.numbers_by_id(), max_lines, max_bytes)
        try:
            if not is_part:
                self._check_missing(inputs, before)
            with self.database.transaction():
                self.database.run_many(
                    "INSERT INTO requests (name, model, size, numbers, ids) VALUES (?, ?, ?, ?, ?)",
                    [(file.name, file.model, file.size, pack(file.numbers), file.ids) for file in files],
                )
                self.database.run(
                    "INSERT INTO run VALUES (1, ?, 0) ON CONFLICT (only) DO UPDATE SET inputs = excluded.inputs",
                    (pack(inputs),),
                )
                if is_part:
                    self._forget_unsent({*inputs})
        except BaseException:
            for file in files:
                (self.folder / file.name).unlink(missing_ok=True)
            raise
        self.inputs = inputs
        self.answers.grow(len(self.requests))

    def _check_missing(self, inputs: Numbers, before: int) -> None:
        """Raises a DatasetError if one of the requests of the run before is not among the inputs."""
        is_there = bytearray(before)
        for number in inputs if before else ():
            if number < before:
                is_there[number] = 1
        if (number := is_there.find(0)) >= 0:
            body = self.requests.body(number)
            raise DatasetError(
                f"an input of the run before is missing: request {number} of {self.database.path}, "
                f"{body[:200].decode(errors='replace')} ... Pass all inputs of the run again, new ones may be added; or name another "
                "checkpoint. Nothing was sent"
            )

    def _forget_unsent(self, inputs: set[int]) -> None:
        """Deletes shards without a job that have none of the inputs."""
        for number, numbers in self.database.run(f"SELECT number, numbers FROM shards WHERE {_NO_JOB}"):  # noqa: S608
            if inputs.isdisjoint(unpack(numbers)):
                self.database.run("DELETE FROM shards WHERE number = ?", (number,))

    # Plans

    def plan(self, max_lines: int, max_bytes: int) -> None:
        """Divides what has to be sent into shards, of one model each; a second time, what another try may mend."""
        if not self._may_plan:
            return
        self._may_plan = False
        with self.database.transaction():
            for round, states in ((1, _FIRST), (2, (State.RETRY,))):
                for model, numbers in self._divide(self._unsent(states), max_lines, max_bytes):
                    self.database.run(
                        "INSERT INTO shards (round, model, state, numbers, name) VALUES (?, ?, 'written', ?, ?)",
                        (round, model, pack(numbers), file_name(self.requests.ids(numbers))),
                    )
                    self.database.run("UPDATE run SET ended = 0")

    def _unsent(self, states: Sequence[State] = _UNSENT) -> bytearray:
        """Returns which of the requests are in this run, in some states, and in no shard: a byte, 0 or 1, for each number."""
        flags = self.answers.states.translate(bytes(state in states for state in range(256)))
        if len(self.inputs) < len(flags):  # this is a part
            flags = bytearray(map(and_, flags, self.requests.flags(self.inputs)))
        if 1 in flags:
            for (numbers,) in self.database.run(f"SELECT numbers FROM shards WHERE NOT {_HAS_ENDED}"):  # noqa: S608
                put(flags, unpack(numbers), 0)
        return flags

    def _divide(self, flags: bytearray, max_lines: int, max_bytes: int) -> Iterator[tuple[str, Numbers]]:
        """Yields the model and the requests of shards. A file of requests that is large enough is a shard as it is."""
        for file in self.requests.files:
            if max_lines <= 2 * len(file.numbers) <= 2 * max_lines and 0 not in select(flags, file.numbers):
                yield file.model, file.numbers
                put(flags, file.numbers, 0)
        rows = [(model, number, len(line)) for number, model, line in self.requests.lines(flags)]
        yield from _packs(sorted(rows), max_lines, max_bytes)

    def shards(self) -> list[Shard]:
        """Returns the shards that need something to be done."""
        rows = self.database.run(f"SELECT {_SHARD} FROM shards WHERE state != 'read' ORDER BY number")  # noqa: S608
        return [Shard(*row) for row in rows]

    def file_ids(self) -> list[str]:
        """Returns the ids of the files that were uploaded for jobs."""
        return [id for (id,) in self.database.run("SELECT file_id FROM shards WHERE file_id IS NOT NULL ORDER BY number")]

    def release_unsent(self) -> None:
        """Takes back the shards for which no job can exist, so that their requests may be sent in another way."""
        self.database.run(f"DELETE FROM shards WHERE {_NO_JOB}")  # noqa: S608
        self._may_plan = True

    def update(self, shard: Shard, **fields: Any) -> Shard:
        """Notes a new state of a shard, and returns the shard."""
        names = ", ".join(f"{name} = ?" for name in fields)
        self.database.run(f"UPDATE shards SET {names} WHERE number = ?", (*fields.values(), shard.number))  # noqa: S608
        return replace(shard, **fields)

    def creating(self, shard: Shard, others: Sequence[str]) -> Shard:
        """Notes that a job is about to be created, and which jobs of the same file there are already."""
        return self.update(shard, state="creating", others=json.dumps(list(others)), since=time.time())

    def end(self) -> None:
        """Notes that the run has come to its end: when it is started again, what failed is sent again."""
        self.database.run("UPDATE run SET ended = 1")

    # Files

    def write_file(self, shard: Shard) -> Path:
        """Returns the file of a shard, which is written if it is not there."""
        path = self.folder / shard.name
        if not path.exists():
            draft = path.with_name("draft-shard.jsonl")
            with draft.open("wb") as file:
                file.writelines(line for _, _, line in self.requests.lines(self.requests.flags(self._numbers_of(shard))))
            os.replace(draft, path)
        return path

    def remove_file(self, shard: Shard) -> None:
        """Removes the file of a shard if it was written for it."""
        if all(file.name != shard.name for file in self.requests.files):
            (self.folder / shard.name).unlink(missing_ok=True)

    def _numbers_of(self, shard: Shard) -> Numbers:
        return unpack(self.database.run("SELECT numbers FROM shards WHERE number = ?", (shard.number,))[0][0])

    def read_files(self, shard: Shard, names: Sequence[str], missing: Mapping[str, str], status: str) -> Shard:
        """Reads the answers of a shard from the files of its job; what is in none of them has the error `missing`.

        Of what failed, that which another try may mend waits for the second round, unless this was it. A damaged file is a
        DownloadError.
        """
        pending = self.requests.pending(self._numbers_of(shard))
        files = [self.answers.read(name, pending) for name in names]
        if empty := next((file.name for file in files if not file.size), None):
            raise DownloadError(f"{empty} is empty: the file of a job has answers")
        for file in files:
            for number, *_ in file.failures:
                pending.by_id.pop(self.requests.id(number), None)
        if pending.by_id:
            files.insert(0, self._write_missing(shard, pending, failure_of(missing)))
        tokens = Tokens()
        for file in files:
            tokens.add(file.tokens)
        with self.database.transaction():
            self.database.run_many(
                "INSERT INTO answers (name, model, shard, size) VALUES (?, ?, ?, ?)",
                [(file.name, shard.model, shard.number, file.size) for file in files],
            )
            shard = self.update(shard, state="answered", status=status, tokens=json.dumps(astuple(tokens)))
        for file in files:
            self.answers.add(file, shard.model, may_retry=shard.round < ROUNDS)
        self._may_plan = True
        return shard

    def error_of_all(self, shard: Shard) -> TogetherError | None:
        """Returns the error of a shard whose job has ended, if it is that of every request of the run: the model does not exist.

        The run is over. What failed is sent again when it is started again; where nothing was answered, nothing is kept, so that the
        model may be another one then.
        """
        numbers = self._numbers_of(shard)
        if len(self.requests.models()) > 1 or State.ANSWERED in select(self.answers.states, numbers):
            return None
        for number in (numbers[-1], numbers[0]):
            _, outcome = read_line(self.answers.lines([number])[0], self.endpoint)
            if not isinstance(outcome, Failure):
                return None
            error = exception_of(outcome, self.endpoint, f"each request of batch {shard.batch_id}", self.requests.body(number))
            if not isinstance(error, FATAL_OF_MODEL):
                return None
        self.end()
        if State.ANSWERED not in self.answers.states and all(each.state == "written" for each in self.shards()):
            for table in ("shards", "answers"):
                self.database.run(f"DELETE FROM {table}")  # noqa: S608
        return error

    def _write_missing(self, shard: Shard, pending: Pending, failure: Failure) -> AnswerFile:
        name = f"answers-{shard.number}-missing.jsonl"
        with (self.folder / name).open("wb") as file:
            file.writelines(failure_line(id, failure) for id in pending.by_id)
        return self.answers.read(name, pending)

    def answer(self, number: int, model: str, line: bytes, outcome: Tokens | Failure) -> None:
        """Keeps the answer to one request, which was sent alone."""
        index, log = self._logs.get(model) or self._open_log(model)
        self.answers.add_line(number, index, log.add(line), outcome, model)

    def _open_log(self, model: str) -> tuple[int, AnswerLog]:
        rows = self.database.run("SELECT name FROM answers WHERE shard IS NULL AND model = ?", (model,))
        name = rows[0][0] if rows else f"answers-online-{len(self._online_models())}.jsonl"
        log = AnswerLog(self.folder / name)
        if not rows:
            self.database.run("INSERT INTO answers (name, model) VALUES (?, ?)", (name, model))
        self._logs[model] = self.answers.index(name), log
        return self._logs[model]

    def _online_models(self) -> list[str]:
        return [model for (model,) in self.database.run("SELECT model FROM answers WHERE shard IS NULL")]

    # Counts

    def counts(self) -> tuple[int, int, int]:
        """Returns how many inputs there are, how many have an answer, and how many have failed."""
        states = self.answers.states
        if len(self.inputs) != len(states):  # some are equal, or this is a part
            states = bytearray(map(states.__getitem__, self.inputs))
        successes, refusals, failures = map(states.count, _DONE)
        return len(self.inputs), successes + refusals + failures, refusals + failures

    def count_unsent(self) -> int:
        """Returns how many requests have no answer and are in no job."""
        waiting = self.database.run(f"SELECT numbers FROM shards WHERE {_NO_JOB}")  # noqa: S608
        return self._unsent().count(1) + sum(len(unpack(numbers)) for (numbers,) in waiting)

    def unsent(self) -> Iterator[tuple[int, str, bytes]]:
        """Yields number, model and body of the requests that have no answer and are in no shard."""
        for number, model, line in self.requests.lines(self._unsent()):
            yield number, model, body_of(line)

    def models(self) -> list[str]:
        """Returns the models of the requests that have no answer yet."""
        unanswered = set(_UNSENT)
        return [
            *dict.fromkeys(
                file.model
                for file in self.requests.files
                if not unanswered.isdisjoint(map(self.answers.states.__getitem__, file.numbers))
            )
        ]

    def unanswered_bodies(self, shard: Shard | None = None) -> Iterator[tuple[str, bytes]]:
        """Yields model and body of the requests of a shard, or of all that have no answer yet."""
        if shard is None:
            states = self.answers.states
            numbers: Sequence[int] = [number for number in dict.fromkeys(self.inputs) if states[number] in _UNSENT]
        else:
            numbers = self._numbers_of(shard)
        for _, model, line in self.requests.lines(self.requests.flags(numbers)):
            yield model, body_of(line)

    def usage(self) -> dict[str, Tokens]:
        """Returns the tokens of all answers, by model."""
        return self.answers.tokens

    def close_logs(self) -> None:
        """Closes the files to which answers were added."""
        while self._logs:
            self._logs.popitem()[1][1].close()

    def close(self) -> None:
        """Closes the database, and removes a temporary checkpoint."""
        self.close_logs()
        self.database.close()


def _packs(rows: Iterable[tuple[str, int, int]], max_lines: int, max_bytes: int) -> Iterator[tuple[str, Numbers]]:
    """Yields models and numbers of shards; rows are models, numbers and lengths of lines, those of a model together."""
    numbers, current, size = array("I"), "", 0
    for model, number, length in rows:
        if numbers and (model != current or len(numbers) >= max_lines or size + length > max_bytes):
            yield current, compact(numbers)
            numbers, size = array("I"), 0
        current = model
        numbers.append(number)
        size += length
    if numbers:
        yield current, compact(numbers)
