"""The answers of a run: files of lines, as the service sends them, and where in them the answer to each request is."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import IntEnum
from io import BufferedReader, BytesIO
from itertools import compress
from operator import sub
from pathlib import Path
from typing import Any, Final

from together_adapters.bulk.outcomes import Failure, read_line
from together_adapters.bulk.request_files import Pending, compact
from together_adapters.control.prices import Tokens
from together_adapters.errors import DownloadError

_FILE: Final = 40  # bits of a position below those of the file's index: the offset in it
_OFFSET: Final = (1 << _FILE) - 1
_NOWHERE: Final = (1 << 64) - 1
_NO_FILE: Final = _NOWHERE >> _FILE
_BLOCK: Final = 1 << 16
_SPAN: Final = 1 << 24  # bytes of answers that are read at once


class State(IntEnum):
    """What is known of a request."""

    NEW = 0
    ANSWERED = 1
    REFUSED = 2  # and always would be
    FAILED = 3  # and is not sent again by this run
    RETRY = 4  # failed, and waits for its second round
    AGAIN = 5  # failed in a run before


class AnswerFile:
    """What is in one file: the numbers of the requests that it answers, and its failures, with the positions and lengths of lines."""

    def __init__(self, name: str, base: int, *, is_growing: bool) -> None:
        self.name = name
        self.base = base  # of positions in it
        self.is_growing = is_growing
        self.size = 0
        self.numbers = array("I")
        self.positions = array("Q")
        self.lengths = array("I")
        self.failures: list[tuple[int, int, int, Failure]] = []
        self.tokens = Tokens()


class AnswerFiles:
    """The answers to the requests of a run, by their numbers."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.states = bytearray()
        self.tokens: dict[str, Tokens] = {}  # by model
        self._endpoint = endpoint
        self._decode, self._unusual = _decoder(endpoint)
        self._names: list[str] = []
        self._positions = array("Q")  # the index of a file, and an offset in it
        self._lengths = array("I")  # of the lines there

    def grow(self, count: int) -> None:
        """Makes room for so many requests."""
        self.states.extend(bytes(count - len(self.states)))
        self._positions.extend(array("Q", [_NOWHERE]) * (count - len(self._positions)))
        self._lengths.extend(array("I", [0]) * (count - len(self._lengths)))

    # What is in a file

    def read(self, name: str, pending: Pending, *, is_growing: bool = False) -> AnswerFile:
        """Reads a file with answers to requests that are pending, of which those that are answered no longer are.

        The end of a file that `is_growing` may be a part of a line.

        Raises:
            DownloadError: The file is damaged.
        """
        file = AnswerFile(name, self.index(name) << _FILE, is_growing=is_growing)
        with (self.folder / name).open("rb") as lines:
            self._read_lines(lines, pending, file)
        return file

    def _read_lines(self, lines: BufferedReader, pending: Pending, file: AnswerFile) -> None:
        while block := lines.read(_BLOCK) + lines.readline():
            ends = _line_ends(block)
            try:
                answers = self._decode(block)
            except self._unusual:
                answers = []
            if answers and len(answers) == len(ends) and ends[-1] == len(block):
                self._take(answers, ends, pending, file)
            else:
                for line in BytesIO(block):
                    self._take_line(line, pending, file)

    def _take(self, answers: list[Any], ends: list[int], pending: Pending, file: AnswerFile) -> None:
        """Takes the answers in usual lines, which are many."""
        from together_adapters.bulk.answer_lines import tokens_of

        offset = file.base | file.size
        file.size += ends[-1]
        numbers = pending.take([answer.custom_id for answer in answers])
        starts = [0, *ends[:-1]]
        positions, lengths = [offset + start for start in starts], [*map(sub, ends, starts)]
        if -1 in numbers:  # a request that is none of ours, or answered already
            is_ours = [number >= 0 for number in numbers]
            answers, numbers, positions, lengths = ([*compress(each, is_ours)] for each in (answers, numbers, positions, lengths))
        file.numbers.extend(numbers)
        file.positions.extend(positions)
        file.lengths.extend(lengths)
        file.tokens.add(tokens_of(answers))

    def _take_line(self, line: bytes, pending: Pending, file: AnswerFile) -> None:
        """Takes a line of any kind."""
        position = file.base | file.size
        file.size += len(line)
        if not line.strip() or (file.is_growing and not line.endswith(b"\n")):
            return
        try:
            id, outcome = read_line(line, self._endpoint)
        except ValueError as error:
            raise DownloadError(f"a line of {file.name} is damaged ({error}): {line[:100]!r}") from None
        if (number := pending.by_id.get(id)) is None:
            return
        if isinstance(outcome, Failure):
            file.failures.append((number, position, len(line), outcome))
            return
        del pending.by_id[id]
        file.numbers.append(number)
        file.positions.append(position)
        file.lengths.append(len(line))
        file.tokens.add(outcome)

    # What is known of the requests

    def add(self, file: AnswerFile, model: str, *, may_retry: bool) -> None:
        """Takes the answers of a file. Failures that may pass wait to be sent again if they `may_retry`."""
        for number, position, length, failure in file.failures:
            if self.states[number] not in (State.ANSWERED, State.REFUSED):
                self._set(number, _state_of(failure, may_retry=may_retry), position, length)
        numbers = compact(file.numbers)
        if isinstance(numbers, range):  # the answers came in the order of the requests
            span = slice(numbers.start, numbers.stop)
            self.states[span] = bytes((State.ANSWERED,)) * len(numbers)
            self._positions[span], self._lengths[span] = file.positions, file.lengths
        else:
            for number, position, length in zip(numbers, file.positions, file.lengths, strict=True):
                self._set(number, State.ANSWERED, position, length)
        self.tokens.setdefault(model, Tokens()).add(file.tokens)

    def add_line(self, number: int, file: int, position: tuple[int, int], outcome: Tokens | Failure, model: str) -> None:
        """Takes the answer to one request, or its failure, from a line of which the offset and the length are given."""
        if isinstance(outcome, Failure):
            state = _state_of(outcome, may_retry=True)
        else:
            state = State.ANSWERED
            self.tokens.setdefault(model, Tokens()).add(outcome)
        self._set(number, state, file << _FILE | position[0], position[1])

    def _set(self, number: int, state: int, position: int, length: int) -> None:
        self.states[number] = state
        self._positions[number] = position
        self._lengths[number] = length

    def index(self, name: str) -> int:
        """Returns the index of a file, which may be a new one."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def lines(self, numbers: Sequence[int]) -> list[bytes]:
        """Returns the line of each request: its answer or its failure, or nothing if it was not sent."""
        if isinstance(numbers, range):
            span = slice(numbers.start, numbers.stop)
            positions, lengths = self._positions[span].tolist(), self._lengths[span].tolist()
        else:
            positions, lengths = [*map(self._positions.__getitem__, numbers)], [*map(self._lengths.__getitem__, numbers)]
        start, end = min(positions, default=_NOWHERE), max(positions, default=_NOWHERE)
        if start >> _FILE == end >> _FILE != _NO_FILE and end - start < _SPAN:  # as nearly always
            content = self._read(start, end - start + lengths[positions.index(end)])
            starts = [position - start for position in positions]
            return [content[begin : begin + length] for begin, length in zip(starts, lengths, strict=True)]
        return [self._read(position, length) for position, length in zip(positions, lengths, strict=True)]

    def _read(self, position: int, length: int) -> bytes:
        if position == _NOWHERE:
            return b""
        with (self.folder / self._names[position >> _FILE]).open("rb", buffering=0) as file:
            file.seek(position & _OFFSET)
            return file.read(length)


class AnswerLog:
    """A file to which the answers to single requests are added as they arrive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._size = self._file.seek(0, os.SEEK_END)

    def add(self, line: bytes) -> tuple[int, int]:
        """Adds a line, which is kept also if the process is killed; returns its offset and its length."""
        offset, rest = self._size, line
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:  # as of a full disk
            self._file.truncate(offset)  # the next line must not follow a part of this one
            error.filename = error.filename or str(self.path)
            raise
        self._size += len(line)
        return offset, len(line)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def trim(path: Path) -> None:
    """Takes the part of a line from the end of a file that a process left which was killed."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            if (last := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + last + 1
                break
            end = start
        if end != size:
            file.truncate(end)


def _line_ends(block: bytes) -> list[int]:
    ends, end = [], 0
    while end := block.find(b"\n", end) + 1:
        ends.append(end)
    return ends


def _state_of(failure: Failure, *, may_retry: bool) -> State:
    if failure.is_final:
        return State.REFUSED
    return State.RETRY if failure.may_pass and may_retry else State.FAILED


def _decoder(endpoint: str) -> tuple[Callable[[bytes], list[Any]], type[Exception]]:
    """Returns a function that parses usual lines fast, and its exception for others: for all, without msgspec."""
    with suppress(ImportError):
        from together_adapters.bulk.answer_lines import DecodeError, lines_decoder

        if (decode := lines_decoder(endpoint)) is not None:
            return decode, DecodeError  # which is no ValueError before msgspec 0.20
    return _refuse, ValueError


def _refuse(lines: bytes) -> list[Any]:
    raise ValueError
