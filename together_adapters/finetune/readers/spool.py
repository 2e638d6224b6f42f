"""Records of a source that can be read only once, spooled to a file without a name so that they can be read twice."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from typing import IO
from weakref import finalize

from together_adapters.finetune.records import Record


class Spool:
    """Yields the records of a source that is read only once, each time it is called; deletes its file with itself."""

    def __init__(self, read: Callable[[], Iterable[Record]]) -> None:
        self._read = read
        self._file: IO[bytes] | None = None

    def __call__(self) -> Iterator[Record]:
        file = self._file
        if file is None:
            file = self._file = self._fill()
        file.seek(0)
        while True:
            try:
                record: Record = pickle.load(file)  # noqa: S301 -- nobody else can write into a file without a name
            except EOFError:
                return
            yield record

    def _fill(self) -> IO[bytes]:
        file = TemporaryFile()  # noqa: SIM115 -- it lives as long as the spool
        finalize(self, file.close)
        for record in self._read():
            pickle.dump(record, file, pickle.HIGHEST_PROTOCOL)
        return file
