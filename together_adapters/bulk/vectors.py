"""Embeddings of any number of texts, in order, from a checkpoint that any later start continues."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, overload

from together_adapters.bulk.database import Database
from together_adapters.bulk.results import BulkProgress
from together_adapters.errors import TogetherError
from together_adapters.resources import embeddings
from together_adapters.transport.call import Flow, Local
from together_adapters.vectors import Vector as Floats
from together_adapters.vectors import float32_of

if TYPE_CHECKING:
    import numpy

    from together_adapters.client import AsyncTogether, Together

    Vector = numpy.ndarray[Any, numpy.dtype[numpy.float32]] | array[float]

_ROUNDS: Final = 4  # requests of each of the simultaneous ones that are under way before vectors are yielded
_FIND: Final = 500  # ids in one statement
Report = Callable[[BulkProgress], object] | None


@overload
def embed(
    client: Together,
    texts: Iterable[str],
    *,
    model: str,
    checkpoint: str | os.PathLike[str] | None = None,
    dimensions: int | None = None,
    batch_size: int = embeddings.BATCH_SIZE,
    max_concurrency: int = embeddings.CONCURRENCY,
    progress: Report = None,
    **options: Any,
) -> Iterator[Vector]: ...
@overload
def embed(
    client: AsyncTogether,
    texts: Iterable[str],
    *,
    model: str,
    checkpoint: str | os.PathLike[str] | None = None,
    dimensions: int | None = None,
    batch_size: int = embeddings.BATCH_SIZE,
    max_concurrency: int = embeddings.CONCURRENCY,
    progress: Report = None,
    **options: Any,
) -> AsyncIterator[Vector]: ...
def embed(
    client: Together | AsyncTogether,
    texts: Iterable[str],
    *,
    model: str,
    checkpoint: str | os.PathLike[str] | None = None,
    dimensions: int | None = None,
    batch_size: int = embeddings.BATCH_SIZE,
    max_concurrency: int = embeddings.CONCURRENCY,
    progress: Report = None,
    **options: Any,
) -> Any:
    """Embeds any number of texts, and yields their vectors in order.

    Texts are read as they are needed, so that any number fits into memory. With a checkpoint, a run that was interrupted continues:
    texts whose vectors are in it are not sent. Equal texts are sent once.

    Args:
        client: A `Together`; or an `AsyncTogether`, for `async for`.
        texts: Any iterable of texts. They are sent verbatim: add the prefix that some models require.
        model: An embedding model.
        checkpoint: The file that keeps the vectors, on a local disk; None for a temporary one.
        dimensions: Length of the vectors, where the model supports it.
        batch_size: Maximum number of texts in one request.
        max_concurrency: Maximum number of simultaneous requests.
        progress: Called with a `BulkProgress` after some requests; `total` is the number of texts so far.
        **options: Further arguments of `client.embeddings.create`, such as `long_texts` or `timeout`.

    Yields:
        Vectors of float32: arrays of numpy if it is installed, else `array('f')`.

    Raises:
        APIError: A request failed. What other requests have brought is kept.
        ConfigurationError: The checkpoint is damaged, of another model, or used by another process.
        TypeError: An input is not a string.
    """
    if batch_size < 1 or max_concurrency < 1:
        raise ValueError("batch_size and max_concurrency must be at least 1")
    if isinstance(texts, str):
        raise TypeError("texts must be an iterable of texts, not one text")
    settings = {"model": model, "dimensions": dimensions, "batch_size": batch_size, "max_concurrency": max_concurrency, **options}
    chunks = partial(_chunks, texts, batch_size * max_concurrency * _ROUNDS)
    flows = partial(VectorRun, checkpoint, settings, progress)
    return _yield_async(client, chunks, flows) if client.is_async else _yield(client, chunks, flows)


class VectorRun:
    """The state of one run."""

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any], progress: Report) -> None:
        self.database = Database(path)
        self._settings = settings
        self._progress = progress
        self._done = 0
        self._make = _vector_type()
        bound = {name: str(settings.get(name)) for name in ("model", "dimensions", "long_texts")}
        try:
            self.database.bind({"kind": "vectors", **bound})
        except BaseException:
            self.database.close()
            raise

    def vectors(self, texts: list[str]) -> Flow[list[Vector]]:
        """Returns the vectors of texts; those that the checkpoint has not are embedded."""
        ids = [_id(text) for text in embeddings.texts_of(texts)]
        vectors: dict[bytes, bytes] = yield Local(lambda: self._find(ids))
        new = {id: text for id, text in zip(ids, texts, strict=True) if id not in vectors}
        if new:
            try:
                result = yield from embeddings.arrays(input=list(new.values()), **self._settings)
            except TogetherError as error:
                done = {item.index: item.embedding for item in error.completed.data} if error.completed else {}
                vectors |= self._keep({id: done[index] for index, id in enumerate(new) if index in done})
                error.pending = [self._done + position for position, id in enumerate(ids) if id not in vectors]
                error.add_note(f"these are {len(new)} texts of a run, counted from 0; .pending has their positions in the run")
                raise
            vectors |= self._keep(dict(zip(new, result, strict=True)))
        self._done += len(texts)
        if self._progress is not None:
            self._progress(BulkProgress(self._done, self._done, 0, "send"))
        return [self._make(vectors[id]) for id in ids]

    def _find(self, ids: list[bytes]) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        for start in range(0, len(ids), _FIND):
            some = ids[start : start + _FIND]
            marks = ",".join("?" * len(some))
            rows.update(self.database.run(f"SELECT id, vector FROM vectors WHERE id IN ({marks})", some))  # noqa: S608
        return rows

    def _keep(self, vectors: Mapping[bytes, Floats]) -> dict[bytes, bytes]:
        rows = {id: _pack(vector) for id, vector in vectors.items()}
        with self.database.transaction():
            self.database.run_many("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows.items())
        return rows


def _yield(client: Any, chunks: Callable[[], Iterator[list[str]]], start: Callable[[], VectorRun]) -> Iterator[Vector]:
    run = start()
    try:
        for texts in chunks():
            yield from client.perform(run.vectors(texts))
    except BaseException:
        run.database.give_up()
        raise
    finally:
        run.database.close()


async def _yield_async(
    client: Any, chunks: Callable[[], Iterator[list[str]]], start: Callable[[], VectorRun]
) -> AsyncIterator[Vector]:
    run = start()
    try:
        for texts in chunks():
            for vector in await client.perform(run.vectors(texts)):
                yield vector
    except BaseException:
        run.database.give_up()
        raise
    finally:
        run.database.close()


def _chunks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    texts = iter(texts)
    while chunk := list(islice(texts, size)):
        yield chunk


def _id(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _pack(vector: Floats) -> bytes:
    """Returns a vector as little-endian float32."""
    values = float32_of(vector)
    if not isinstance(values, list):
        return values.astype("<f4").tobytes()  # type: ignore[no-any-return]
    floats = array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def _vector_type() -> Callable[[bytes], Vector]:
    """Returns a function that makes a vector of little-endian float32."""
    if find_spec("numpy") is not None:
        import numpy

        return lambda data: numpy.frombuffer(data, "<f4").astype(numpy.float32)

    def unpack(data: bytes) -> array[float]:
        values = array("f", data)
        if sys.byteorder == "big":
            values.byteswap()
        return values

    return unpack
