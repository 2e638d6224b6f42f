"""The state of a run: its inputs, the shards in which they travel, and the answers. Each change is kept when a method returns."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.bulk.database import Database
from together_adapters.bulk.inputs import LINE_OVERHEAD, Request
from together_adapters.bulk.outcomes import Outcome, of_error, of_line
from together_adapters.control.prices import Tokens
from together_adapters.errors import DatasetError, DownloadError

_CHUNK: Final = 200
ROUNDS: Final = 2
"""How often a request is sent at most."""
_ADD: Final = "INSERT INTO requests (id, model, body) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
_ADD_ITEM: Final = "INSERT INTO items (idx, number) SELECT ?, number FROM requests WHERE id = ?"
_ANSWER: Final = "INSERT OR REPLACE INTO answers (number, response, error, retry, input, cached, output, reasoning) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SHARD: Final = "number, round, model, state, sha, file_id, batch_id, others, since"
_OPEN: Final = "requests LEFT JOIN work USING (number) LEFT JOIN answers USING (number)"
_NO_JOB: Final = "state IN ('written', 'uploading', 'uploaded')"
_FORGET: Final = (  # shards without a job that have none of the inputs, then requests that are in no shard and have no answer
    f"DELETE FROM shards WHERE {_NO_JOB} AND number NOT IN (SELECT shard FROM work JOIN items USING (number))",  # noqa: S608
    "DELETE FROM work WHERE shard NOT IN (SELECT number FROM shards)",
    "DELETE FROM requests WHERE number NOT IN (SELECT number FROM items UNION SELECT number FROM work UNION SELECT number FROM answers)",
)
_UNSENT: Final = "work.number IS NULL AND answers.number IS NULL"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of requests, and its job."""

    number: int
    round: int
    model: str
    state: str
    sha: str | None = None
    file_id: str | None = None
    batch_id: str | None = None
    others: str = "[]"
    since: float | None = None

    @property
    def file_name(self) -> str:
        """The name under which the service lists the file: made of its content."""
        return f"bulk-{(self.sha or '')[:40]}.jsonl"


class Checkpoint:
    """What a run has done and has to do."""

    def __init__(self, path: str | os.PathLike[str] | None, endpoint: str, *, read_only: bool = False) -> None:
        self.database = Database(path, read_only=read_only)
        self.endpoint = endpoint
        try:
            self.database.bind({"kind": "requests", "endpoint": endpoint})
        except BaseException:
            self.database.close()
            raise

    def read_inputs(self, requests: Iterable[Request], *, is_part: bool = False) -> None:
        """Takes the inputs of this run: those that are known are recognized by their content, new ones are added.

        Those of the run before must be among them, unless they are only a part: then what was never sent is forgotten.

        Raises:
            DatasetError: An input of the run before is missing.
        """
        database = self.database
        requests = iter(requests)
        index = 0
        with database.transaction():
            database.run("DELETE FROM items")
            while chunk := list(islice(requests, _CHUNK)):
                database.run_many(_ADD, chunk)
                database.run_many(_ADD_ITEM, [(index + offset, request.id) for offset, request in enumerate(chunk)])
                index += len(chunk)
            if is_part:
                for statement in _FORGET:
                    database.run(statement)
                return
            missing = database.run(
                "SELECT number, body FROM requests WHERE number NOT IN (SELECT number FROM items) ORDER BY number LIMIT 1"
            )
            if missing:
                number, body = missing[0]
                raise DatasetError(
                    f"an input of the run before is missing: request {number - 1} of {database.path}, {body[:200].decode(errors='replace')}"
                    " ... Pass all inputs of the run again, new ones may be added; or name another checkpoint. Nothing was sent"
                )

    # Plans

    def plan(self, max_lines: int, max_bytes: int) -> None:
        """Divides what has to be sent into shards, of one model each; a second time, what another try may mend."""
        with self.database.transaction():
            next_number = self.database.run("SELECT coalesce(max(number), 0) + 1 FROM shards")[0][0]
            for round, condition in ((1, _UNSENT), (2, "answers.retry = 1")):
                rows = self.database.run(
                    f"SELECT requests.number, requests.model, length(requests.body) FROM {_OPEN} WHERE {condition} "  # noqa: S608
                    "ORDER BY requests.model, requests.number"
                )
                for numbers, model in _divide(rows, max_lines, max_bytes):
                    self.database.run(
                        "INSERT INTO shards (number, round, model, state) VALUES (?, ?, ?, 'written')",
                        (next_number, round, model),
                    )
                    self.database.run_many(
                        "INSERT OR REPLACE INTO work (number, shard) VALUES (?, ?)", ((number, next_number) for number in numbers)
                    )
                    next_number += 1
            self.database.run("DELETE FROM answers WHERE retry = 1")

    def shards(self) -> list[Shard]:
        """Returns the shards whose answers have not been read."""
        rows = self.database.run(f"SELECT {_SHARD} FROM shards WHERE state != 'read' ORDER BY number")  # noqa: S608
        return [Shard(*row) for row in rows]

    def release_unsent(self) -> None:
        """Takes back the shards for which no job can exist, so that their requests may be sent in another way."""
        with self.database.transaction():
            self.database.run(f"DELETE FROM work WHERE shard IN (SELECT number FROM shards WHERE {_NO_JOB})")  # noqa: S608
            self.database.run(f"DELETE FROM shards WHERE {_NO_JOB}")  # noqa: S608

    def update(self, shard: Shard, **fields: Any) -> Shard:
        """Notes a new state of a shard, and returns the shard."""
        names = ", ".join(f"{name} = ?" for name in fields)
        self.database.run(f"UPDATE shards SET {names} WHERE number = ?", (*fields.values(), shard.number))  # noqa: S608
        return Shard(**{**{name: getattr(shard, name) for name in Shard.__slots__}, **fields})

    def creating(self, shard: Shard, others: Sequence[str]) -> Shard:
        """Notes that a job is about to be created, and which jobs of the same file there are already."""
        return self.update(shard, state="creating", others=json.dumps(list(others)), since=time.time())

    # Files

    def write_file(self, shard: Shard) -> tuple[Shard, Path]:
        """Writes the file of a shard, unless it is there."""
        folder = self.database.folder
        folder.mkdir(exist_ok=True)
        if shard.sha and (path := folder / shard.file_name).exists():
            return shard, path
        draft = folder / f"shard-{shard.number}.jsonl"
        digest = sha256()
        with draft.open("wb") as file:
            for page in self.database.pages(
                "SELECT id, body FROM work JOIN requests USING (number) WHERE work.shard = ? ORDER BY work.number",
                (shard.number,),
            ):
                data = b"".join(b'{"custom_id":"%b","body":%b}\n' % (id.hex().encode(), body) for id, body in page)
                digest.update(data)
                file.write(data)
        if shard.sha != digest.hexdigest():
            shard = self.update(shard, sha=digest.hexdigest())
        path = folder / shard.file_name
        os.replace(draft, path)
        return shard, path

    def read_files(self, shard: Shard, files: Sequence[Path], missing: Mapping[str, str]) -> Tokens:
        """Reads the answers of a shard from the files of its job; what is in none of them has the error `missing`.

        Of what failed, that which another try may mend waits for the second round, unless this was it. A damaged file is a
        DownloadError.
        """
        numbers = dict(
            self.database.run("SELECT id, work.number FROM work JOIN requests USING (number) WHERE shard = ?", (shard.number,))
        )
        may_retry = shard.round < ROUNDS
        tokens = Tokens()
        with self.database.transaction():
            for path in files:
                for outcomes in _outcomes(path, numbers, self.endpoint):
                    self._add(outcomes, may_retry=may_retry)
                    for _, outcome in outcomes:
                        tokens.add(outcome.tokens)
            without = self.database.run(
                "SELECT work.number FROM work LEFT JOIN answers USING (number) WHERE shard = ? AND answers.number IS NULL",
                (shard.number,),
            )
            self._add([(number, of_error(missing)) for (number,) in without], may_retry=may_retry)
            self.update(shard, state="read")
        return tokens

    def answer(self, number: int, outcome: Outcome, *, may_retry: bool) -> None:
        """Keeps the answer to one request."""
        with self.database.transaction():
            self._add([(number, outcome)], may_retry=may_retry)

    def _add(self, outcomes: Sequence[tuple[int, Outcome]], *, may_retry: bool) -> None:
        self.database.run_many(
            _ANSWER,
            [
                (number, each.response, each.error, each.retry and may_retry,
                 each.tokens.input, each.tokens.cached, each.tokens.output, each.tokens.reasoning)
                for number, each in outcomes
            ],
        )  # fmt: skip

    # Counts

    def counts(self) -> tuple[int, int, int]:
        """Returns how many inputs there are, how many have an answer, and how many have failed."""
        total = self.database.run("SELECT count(*) FROM items")[0][0]
        done, failed = self.database.run(
            "SELECT count(*), coalesce(sum(answers.error IS NOT NULL), 0) FROM items JOIN answers USING (number) WHERE retry = 0"
        )[0]
        return total, done, failed

    def count_unsent(self) -> int:
        """Returns how many requests have no answer and are in no job, or wait to be sent again."""
        condition = f"({_UNSENT}) OR answers.retry = 1 OR work.shard IN (SELECT number FROM shards WHERE {_NO_JOB})"  # noqa: S608
        count: int = self.database.run(f"SELECT count(*) FROM {_OPEN} WHERE {condition}")[0][0]  # noqa: S608
        return count

    def unsent(self) -> Iterator[tuple[int, bytes]]:
        """Yields numbers and bodies of the requests that have no answer and are in no shard, and of those to be sent again.

        Each page is read when it is needed, so that answers can be added meanwhile.
        """
        last = 0
        condition = f"(({_UNSENT}) OR answers.retry = 1) AND requests.number > ?"
        statement = f"SELECT requests.number, requests.body FROM {_OPEN} WHERE {condition} ORDER BY requests.number LIMIT 200"  # noqa: S608
        while page := self.database.run(statement, (last,)):
            yield from page
            last = page[-1][0]

    def models(self) -> list[str]:
        """Returns the models of the requests that have no answer yet."""
        rows = self.database.run(
            f"SELECT DISTINCT requests.model FROM {_OPEN} WHERE answers.number IS NULL OR answers.retry = 1"  # noqa: S608
        )
        return [model for (model,) in rows]

    def unanswered_bodies(self, shard: int | None = None) -> Iterator[tuple[str, bytes]]:
        """Yields model and body of the requests of a shard, or of all that have no answer yet."""
        condition = "answers.number IS NULL OR answers.retry = 1" if shard is None else "work.shard = ?"
        statement = f"SELECT requests.model, requests.body FROM {_OPEN} WHERE {condition}"  # noqa: S608
        for page in self.database.pages(statement, () if shard is None else (shard,)):
            yield from page

    def usage(self) -> dict[str, Tokens]:
        """Returns the tokens of all answers, by model."""
        rows = self.database.run(
            "SELECT model, total(input), total(cached), total(output), total(reasoning) FROM answers JOIN requests USING (number) "
            "GROUP BY model"
        )
        return {model: Tokens(*map(int, sums)) for model, *sums in rows}


def _divide(rows: Iterable[tuple[int, str, int]], max_lines: int, max_bytes: int) -> Iterator[tuple[list[int], str]]:
    """Yields the numbers of shards, each with its model; rows are numbers, models and lengths of bodies, those of a model together."""
    numbers: list[int] = []
    current, size = "", 0
    for number, model, body_length in rows:
        length = body_length + LINE_OVERHEAD
        if numbers and (model != current or len(numbers) >= max_lines or size + length > max_bytes):
            yield numbers, current
            numbers, size = [], 0
        current = model
        numbers.append(number)
        size += length
    if numbers:
        yield numbers, current


def _outcomes(path: Path, numbers: dict[bytes, int], endpoint: str) -> Iterator[list[tuple[int, Outcome]]]:
    """Yields the outcomes of a file's lines, some at a time; lines of requests that are not in `numbers` are passed over."""
    if not path.stat().st_size:
        raise DownloadError(f"{path.name} is empty: the file of a job has answers")
    with path.open("rb") as file:
        while lines := list(islice(file, _CHUNK)):
            outcomes = []
            for line in lines:
                value, id = _parse(line, path)
                number = numbers.get(id)
                if number is not None:
                    outcomes.append((number, of_line(value, endpoint)))
            yield sorted(outcomes, key=itemgetter(0))


def _parse(line: bytes, path: Path) -> tuple[dict[str, Any], bytes]:
    """Returns a line of a job's file and the id of its request; one that is no such line is a DownloadError."""
    try:
        value = from_json(line)
        id = value["custom_id"]
    except (ValueError, TypeError, KeyError) as error:
        raise DownloadError(f"a line of {path.name} is damaged ({error}): {line[:100]!r}") from None
    try:
        return value, bytes.fromhex(id)
    except (ValueError, TypeError):  # of a request that is none of ours
        return value, b""
