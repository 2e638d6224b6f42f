"""`bulk embed`: texts of a file to vectors in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import click

from together_adapters._lazy import require
from together_adapters.atomic_files import new_files
from together_adapters.cli.bulk.checkpoints import bulk_bar, checkpoint_of, checkpoint_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import COUNT, EXISTING_FILE, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Result, to_json
from together_adapters.cli.terminal import write
from together_adapters.errors import DatasetError
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL

_CHUNK: Final = 1_000  # rows of a group of a Parquet file


@click.command("embed", cls=Command)
@click.argument("texts", type=EXISTING_FILE)
@click.option("--output", "-o", type=NEW_FILE, required=True, metavar="FILE", help="Vectors: .npy, .parquet or .jsonl.")
@click.option("--model", default=DEFAULT_EMBEDDING_MODEL, metavar="NAME", help="Embedding model.")
@click.option("--field", default="text", metavar="NAME", help="Field with the text, in lines that are objects.")
@click.option(
    "--long-texts",
    type=click.Choice(["send", "error", "truncate", "split"]),
    default="send",
    help="What to do with texts that are longer than the model reads.",
)
@checkpoint_option
@click.option("--batch-size", type=COUNT, default=128, metavar="N", help="Texts in one request.")
@click.option("--max-concurrency", type=COUNT, default=8, metavar="N", help="Simultaneous requests.")
@overwrite_option
def embed(
    session: Session,
    /,
    texts: Path,
    output: Path,
    field: str,
    checkpoint: Path | None,
    overwrite: bool,
    **options: Any,
) -> Result:
    """Embed the texts of a file, and write their vectors, of float32, in the same order.

    TEXTS is a .jsonl file: each line is a text, as a JSON string, or an object with a field that is one.

    Example: together-adapters bulk embed texts.jsonl -o vectors.npy --model BAAI/bge-base-en-v1.5
    """
    from together_adapters.bulk.vectors import embed as embed_texts

    save = _WRITERS.get(output.suffix)
    if save is None:
        raise click.UsageError(f"{output} must end in {', '.join(_WRITERS)}")
    require_packages(output.suffix)
    check_new(output, overwrite)
    count = sum(1 for _ in read_texts(texts, field))
    with checkpoint_of(checkpoint, output) as path, bulk_bar(path) as show:
        vectors = embed_texts(session.client, read_texts(texts, field), checkpoint=path, progress=show, **options)
        with new_files({output: overwrite}) as (draft,):
            save(draft, vectors, count)
    return Result({"filename": str(output.absolute()), "vectors": count}, lambda _: write(f"{output}\n"))


def read_texts(path: Path, field: str) -> Iterator[str]:
    """Yields the texts of a JSON Lines file; a line without one is a DatasetError."""
    from pydantic_core import from_json

    from together_adapters.bulk.inputs import open_lines

    with open_lines(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = from_json(line)
            except ValueError as error:
                hint = f"each line is a text as a JSON string, or an object with the text {field!r}"
                raise DatasetError(f"line {number} of {path} is not JSON: {error}; {hint}") from None
            text = value.get(field) if isinstance(value, dict) else value
            if not isinstance(text, str):
                raise DatasetError(f"line {number} of {path} is neither a text nor an object with the text {field!r}")
            yield text


def require_packages(suffix: str) -> None:
    """Raises an ImportError, which names the extra, if a package for a kind of file is missing."""
    if suffix == ".npy":
        require("a .npy file", "numpy", "numpy")
    elif suffix == ".parquet":
        require("a .parquet file", "finetune", "pyarrow")


def _write_npy(path: Path, vectors: Iterator[Any], count: int) -> None:
    import numpy
    from numpy.lib.format import open_memmap

    first = next(vectors, None)
    shape = (count, 0 if first is None else len(first))
    with path.open("wb") as file:
        if not count:
            return numpy.save(file, numpy.empty(shape, numpy.float32))
    rows = open_memmap(path, mode="w+", dtype=numpy.float32, shape=shape)
    for index, vector in enumerate(chain([first], vectors)):
        rows[index] = vector
    rows.flush()
    return None


def _write_parquet(path: Path, vectors: Iterator[Any], count: int) -> None:
    import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]

    first = next(vectors, None)
    schema = pyarrow.schema([("embedding", pyarrow.list_(pyarrow.float32(), -1 if first is None else len(first)))])
    rows = vectors if first is None else chain([first], vectors)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rows, _CHUNK)):
            writer.write_table(pyarrow.table({"embedding": pyarrow.array(chunk, schema.field(0).type)}, schema=schema))


def _write_jsonl(path: Path, vectors: Iterator[Any], count: int) -> None:
    with path.open("wb") as file:
        for index, vector in enumerate(vectors):
            file.write(to_json({"index": index, "embedding": vector.tolist()}, indent=None).encode() + b"\n")


_WRITERS: Final[dict[str, Callable[[Path, Iterator[Any], int], None]]] = {
    ".npy": _write_npy,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
