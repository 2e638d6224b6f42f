"""The requests of a run: their ids in memory, and their bodies in files of the lines that are sent, each file for one model."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from together_adapters.bulk.inputs import ID_BYTES, Request, body_of

_ID_LENGTH: Final = 2 * ID_BYTES
_BLOCK: Final = 100  # requests that are read at once
_BUFFER: Final = 1 << 18  # bytes that are written at once


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
    numbers: array[int]
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

    def id(self, number: int) -> str:
        """Returns the id of a request."""
        return self._ids[number * ID_BYTES : (number + 1) * ID_BYTES].hex()

    def ids(self, numbers: array[int]) -> bytes:
        """Returns the ids of requests, one after the other."""
        if (span := span_of(numbers)) is not None:
            return bytes(self._ids[span.start * ID_BYTES : span.stop * ID_BYTES])
        return b"".join([self._ids[number * ID_BYTES : (number + 1) * ID_BYTES] for number in numbers])

    def id_list(self, numbers: array[int] | None = None) -> list[str]:
        """Returns the ids of requests, or of all."""
        text = (self._ids if numbers is None else self.ids(numbers)).hex()
        return [text[start : start + _ID_LENGTH] for start in range(0, len(text), _ID_LENGTH)]

    def numbers(self, some: array[int] | None = None) -> dict[str, int]:
        """Returns the numbers of all requests by their ids, or of some."""
        return dict(zip(self.id_list(some), range(len(self)) if some is None else some, strict=True))

    def read(
        self, requests: Iterable[Request], numbers_by_id: dict[str, int], max_lines: int, max_bytes: int
    ) -> tuple[array[int], list[RequestFile]]:
        """Writes new requests to files; returns the numbers of all in their order, and these files.

        `numbers_by_id` are the numbers of all requests so far, to which the new ones are added.
        """
        numbers, count = array("I"), len(numbers_by_id)
        drafts = _Drafts(self.folder, max_lines, max_bytes)
        requests = iter(requests)
        try:
            while block := list(islice(requests, _BLOCK)):
                total = len(numbers_by_id)
                ids = [request[0] for request in block]
                for id in ids:
                    numbers_by_id.setdefault(id, len(numbers_by_id))
                block_numbers = [numbers_by_id[id] for id in ids]
                numbers.extend(block_numbers)
                if len(numbers_by_id) == total:
                    continue
                if len(numbers_by_id) - total < len(block):  # some are known, or equal
                    new = {number: request for number, request in zip(block_numbers, block, strict=True) if number >= total}
                    block, block_numbers = [*new.values()], [*new]
                drafts.add(block_numbers, block)
            self._ids.extend(bytes.fromhex("".join(list(numbers_by_id)[count:])))
            return numbers, [self._publish(draft) for draft in drafts.all]
        except BaseException:
            drafts.remove()
            raise

    def _publish(self, draft: _Draft) -> RequestFile:
        draft.finish()
        ids = self.ids(draft.numbers)
        file = RequestFile(file_name(ids), draft.model, draft.size, draft.numbers, ids)
        os.replace(draft.path, self.folder / file.name)
        self.files.append(file)
        self._positions = None
        return file

    def flags(self, numbers: Iterable[int]) -> bytearray:
        """Returns a byte for each request: 1 for those with these numbers."""
        flags = bytearray(len(self))
        for number in numbers:
            flags[number] = 1
        return flags

    def lines(self, flags: bytearray) -> Iterator[tuple[int, str, bytes]]:
        """Yields number, model and line of the requests with a flag, file by file."""
        if 1 not in flags:
            return
        for file in self.files:
            if 1 in map(flags.__getitem__, file.numbers):
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


def span_of(numbers: array[int]) -> slice | None:
    """Returns the slice of numbers that follow each other, as they do where all requests have one model."""
    span = range(numbers[0], numbers[0] + len(numbers)) if numbers else range(0)
    return slice(span.start, span.stop) if array("I", span) == numbers else None


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

    def add(self, numbers: list[int], requests: list[Request]) -> None:
        """Adds requests to the files of their models."""
        lines = [request[2] for request in requests]
        if len({request[1] for request in requests}) == 1:  # as most have
            draft = self._last.get(requests[0][1])
            if draft is not None and self._has_room(draft, len(lines), sum(map(len, lines))):
                draft.add(numbers, lines)
                return
        for number, (_, model, line) in zip(numbers, requests, strict=True):
            last = self._last.get(model)
            if last is None or not self._has_room(last, 1, len(line)):
                last = self._last[model] = _Draft(model, self._folder / f"draft-{len(self.all)}.jsonl")
                self.all.append(last)
            last.add([number], [line])

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

    def add(self, numbers: list[int], lines: list[bytes]) -> None:
        """Adds lines, which are written when there are enough."""
        self.numbers.extend(numbers)
        self._lines += lines
        self.size += sum(map(len, lines))
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
