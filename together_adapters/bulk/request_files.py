"""The requests of a run: their ids in memory, and their bodies in files of the lines that are sent, each file for one model."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from itertools import islice, repeat
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from together_adapters.bulk.inputs import ID_BYTES, Requests, body_of

_RANGE: Final = b"-"
_BUFFER: Final = 1 << 18  # bytes that are written at once


Numbers: TypeAlias = "range | array[int]"
"""The numbers of requests."""


class RequestFile(NamedTuple):
    """A file of requests.

    Attributes:
        name: Made of its content.
        model: That of all its requests.
        size: In bytes.
        numbers: The numbers of its requests, line by line.
        ids: Their ids.
    """

    name: str
    model: str
    size: int
    numbers: Numbers
    ids: bytes


class RequestFiles:
    """The different requests of a run, with numbers in the order in which they first appeared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[RequestFile] = []
        self._ids = bytearray()
        self._positions: tuple[array[int], array[int]] | None = None  # file and offset, of each request

    def __len__(self) -> int:
        return len(self._ids) // ID_BYTES

    def add(self, file: RequestFile) -> None:
        """Adds the requests of a file that a run before has written."""
        ids = file.ids
        self.files.append(file)
        self._ids.extend(bytes(max(0, (max(file.numbers) + 1) * ID_BYTES - len(self._ids))))
        for position, number in enumerate(file.numbers):
            self._ids[number * ID_BYTES : (number + 1) * ID_BYTES] = ids[position * ID_BYTES : (position + 1) * ID_BYTES]

    def models(self) -> set[str]:
        """Returns the models of all requests."""
        return {file.model for file in self.files}

    def id(self, number: int) -> str:
        """Returns the id of a request."""
        return self._ids[number * ID_BYTES : (number + 1) * ID_BYTES].hex()

    def ids(self, numbers: Numbers) -> bytes:
        """Returns the ids of requests, one after the other."""
        if isinstance(numbers, range):
            return bytes(self._ids[numbers.start * ID_BYTES : numbers.stop * ID_BYTES])
        return b"".join([self._ids[number * ID_BYTES : (number + 1) * ID_BYTES] for number in numbers])

    def numbers_by_id(self) -> dict[str, int]:
        """Returns the numbers of all requests by their ids."""
        return Pending(self._ids.hex(), range(len(self))).by_id

    def pending(self, numbers: Numbers) -> Pending:
        """Returns requests to which answers may come."""
        return Pending(self.ids(numbers).hex(), numbers)

    def read(
        self, requests: Iterable[Requests], numbers_by_id: dict[str, int], max_lines: int, max_bytes: int
    ) -> tuple[Numbers, list[RequestFile]]:
        """Writes new requests to files; returns the numbers of all in their order, and these files.

        `numbers_by_id` are the numbers of all requests so far, to which the new ones are added.
        """
        numbers, count = array("I"), len(numbers_by_id)
        drafts = _Drafts(self.folder, max_lines, max_bytes)
        try:
            for block in requests:
                total = len(numbers_by_id)
                for id in block.ids:
                    numbers_by_id.setdefault(id, len(numbers_by_id))
                new = range(total, len(numbers_by_id))
                if len(new) == len(block.ids):
                    numbers.extend(new)
                    drafts.add(new, block)
                else:  # some are known, or equal
                    block_numbers = [numbers_by_id[id] for id in block.ids]
                    numbers.extend(block_numbers)
                    first = dict(zip(reversed(block_numbers), range(len(block_numbers))[::-1], strict=True))
                    drafts.add(new, block.take([first[number] for number in new]))
            self._ids.extend(bytes.fromhex("".join(islice(numbers_by_id, count, None))))
            return compact(numbers), [self._publish(draft) for draft in drafts.all]
        except BaseException:
            drafts.remove()
            raise

    def _publish(self, draft: _Draft) -> RequestFile:
        draft.finish()
        numbers = compact(draft.numbers)
        ids = self.ids(numbers)
        file = RequestFile(file_name(ids), draft.model, draft.size, numbers, ids)
        os.replace(draft.path, self.folder / file.name)
        self.files.append(file)
        self._positions = None
        return file

    def flags(self, numbers: Sequence[int]) -> bytearray:
        """Returns a byte for each request: 1 for those with these numbers."""
        flags = bytearray(len(self))
        put(flags, numbers, 1)
        return flags

    def lines(self, flags: bytearray) -> Iterator[tuple[int, str, bytes]]:
        """Yields number, model and line of the requests with a flag, file by file."""
        if 1 not in flags:
            return
        for file in self.files:
            if 1 in select(flags, file.numbers):
                with (self.folder / file.name).open("rb") as lines:
                    for number, line in zip(file.numbers, lines, strict=True):
                        if flags[number]:
                            yield number, file.model, line

    def body(self, number: int) -> bytes:
        """Returns the body of a request."""
        if self._positions is None:
            self._positions = self._find_positions()
        files, offsets = self._positions
        with (self.folder / self.files[files[number]].name).open("rb") as file:
            file.seek(offsets[number])
            return body_of(file.readline())

    def _find_positions(self) -> tuple[array[int], array[int]]:
        files, offsets = array("I", bytes(4 * len(self))), array("Q", bytes(8 * len(self)))
        for index, file in enumerate(self.files):
            offset = 0
            with (self.folder / file.name).open("rb") as lines:
                for number, line in zip(file.numbers, lines, strict=True):
                    files[number], offsets[number] = index, offset
                    offset += len(line)
        return files, offsets


class Pending:
    """Requests to which answers may come.

    Args:
        ids: Their ids, one after the other, of one length.
        numbers: Their numbers.
    """

    def __init__(self, ids: str, numbers: Numbers) -> None:
        self._ids = ids
        self._numbers = numbers
        self._width = len(ids) // max(len(numbers), 1) or 1
        self._count = 0  # of the first ones, which are answered already

    def take(self, ids: list[str]) -> Sequence[int]:
        """Returns the numbers of requests, which are no longer pending; -1 for one that is not, or was answered before."""
        end = self._count + len(ids)
        if "by_id" not in vars(self) and self._come_next(ids):
            numbers, self._count = self._numbers[self._count : end], end
            return numbers
        return [*map(self.by_id.pop, ids, repeat(-1))]

    def _come_next(self, ids: list[str]) -> bool:
        """Whether answers are in the order of the requests."""
        start = self._count * self._width
        end = start + len(ids) * self._width
        return {*map(len, ids)} == {self._width} and self._ids[start:end] == "".join(ids)

    @cached_property
    def by_id(self) -> dict[str, int]:
        """The numbers of those that are pending, by their ids."""
        width = self._width
        ids = [self._ids[start : start + width] for start in range(self._count * width, len(self._ids), width)]
        return dict(zip(ids, self._numbers[self._count :], strict=True))


def compact(numbers: array[int]) -> Numbers:
    """Returns numbers that follow each other as a range, as they do where all requests have one model; others as they are."""
    span = range(numbers[0], numbers[0] + len(numbers)) if numbers else range(0)
    return span if array("I", span) == numbers else numbers


def pack(numbers: Numbers) -> bytes:
    """Returns numbers for the database: 32 bits each, or the start and the end of a range with a mark."""
    return array("I", (numbers.start, numbers.stop)).tobytes() + _RANGE if isinstance(numbers, range) else numbers.tobytes()


def unpack(blob: bytes) -> Numbers:
    """Returns the numbers that were packed."""
    is_range = len(blob) % 4 == len(_RANGE)
    numbers = array("I", blob.removesuffix(_RANGE) if is_range else blob)
    return range(*numbers) if is_range else numbers


def select(flags: bytearray, numbers: Sequence[int]) -> bytes | bytearray:
    """Returns the flags of requests."""
    return flags[numbers.start : numbers.stop] if isinstance(numbers, range) else bytes(map(flags.__getitem__, numbers))


def put(flags: bytearray, numbers: Sequence[int], value: int) -> None:
    """Changes the flags of requests."""
    if isinstance(numbers, range):
        flags[numbers.start : numbers.stop] = bytes((value,)) * len(numbers)
        return
    for number in numbers:
        flags[number] = value


def file_name(ids: bytes) -> str:
    """Returns the name of a file of requests: the same for the same requests, also in other runs."""
    return f"bulk-{blake2b(ids, digest_size=20).hexdigest()}.jsonl"


class _Drafts:
    """Files that are being written, the last one of each model."""

    def __init__(self, folder: Path, max_lines: int, max_bytes: int) -> None:
        self.all: list[_Draft] = []
        self._folder = folder
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._last: dict[str, _Draft] = {}

    def add(self, numbers: Sequence[int], requests: Requests) -> None:
        """Adds requests to the files of their models."""
        if not numbers:
            return
        models = requests.models
        draft = self._last.get(models[0])
        if draft is not None and models.count(models[0]) == len(models) and self._has_room(draft, len(numbers), requests.size):
            draft.add(numbers, requests)  # as nearly always
            return
        for position, number in enumerate(numbers):
            request = requests.take([position])
            draft = self._last.get(models[position])
            if draft is None or not self._has_room(draft, 1, request.size):
                draft = self._last[models[position]] = _Draft(models[position], self._folder / f"draft-{len(self.all)}.jsonl")
                self.all.append(draft)
            draft.add([number], request)

    def _has_room(self, draft: _Draft, count: int, size: int) -> bool:
        return len(draft.numbers) + count <= self._max_lines and draft.size + size <= self._max_bytes

    def remove(self) -> None:
        """Removes the files."""
        for draft in self.all:
            with suppress(OSError):
                draft.path.unlink()


class _Draft:
    """A file that is being written."""

    def __init__(self, model: str, path: Path) -> None:
        self.model = model
        self.path = path
        self.numbers = array("I")
        self.size = 0
        self._lines: list[bytes] = []
        self._saved_size = 0
        path.unlink(missing_ok=True)

    def add(self, numbers: Sequence[int], requests: Requests) -> None:
        """Adds requests, which are written when there are enough."""
        self.numbers.extend(numbers)
        self._lines.append(lines := requests.lines())
        self.size += len(lines)
        if self.size - self._saved_size >= _BUFFER:
            self._write()

    def finish(self) -> None:
        """Writes the last lines. Afterwards all are on the disk."""
        self._write()
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())

    def _write(self) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(self._lines))
        except OSError as error:
            error.filename = error.filename or str(self.path)  # as of a full disk
            raise
        self._lines.clear()
        self._saved_size = self.size
