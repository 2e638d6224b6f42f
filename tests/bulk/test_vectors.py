"""Embeddings of any number of texts: in order, resumed, equal ones once."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from together_adapters.bulk import embed
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import ConfigurationError, TogetherError

MODEL = "BAAI/bge-base-en-v1.5"


def vectors(flavour: Any, texts: Any, **options: Any) -> list[Any]:
    stream = embed(flavour.client(max_retries=0), texts, model=MODEL, **options)
    return list(flavour.iterate(stream)) if flavour.is_async else list(stream)


def sent(emulator: Emulator) -> list[str]:
    return [text for request in emulator.requests if request.path == "/v1/embeddings" for text in request.json["input"]]


def expected(flavour: Any, texts: list[str]) -> list[Any]:
    answer = flavour.run(flavour.client().embeddings.create(model=MODEL, input=texts))
    return [numpy.float32(item.embedding) for item in answer.data]


def test_vectors_are_in_order(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    texts = [f"text {number % 7}" for number in range(40)]
    result = vectors(flavour, iter(texts), batch_size=3, max_concurrency=2)
    assert sorted(sent(emulator)) == sorted(set(texts))
    assert all(vector.dtype == numpy.float32 for vector in result)
    assert numpy.array_equal(result, expected(flavour, texts))


def test_without_numpy(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.bulk.vectors.find_spec", lambda name: None)
    (vector,) = vectors(flavour, ["a"])
    assert type(vector) is array and vector.typecode == "f"
    assert vector.tolist() == expected(flavour, ["a"])[0].tolist() and sys.byteorder == "little"


def test_a_failed_run_continues(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(30)]
    path = tmp_path / "vectors.sqlite"

    def broken() -> Iterator[str]:
        yield from texts[:20]
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        vectors(flavour, broken(), checkpoint=path, batch_size=2, max_concurrency=1)
    assert len(sent(emulator)) == 16
    emulator.inject(Fault("500", path="/v1/embeddings", times=1))
    with pytest.raises(TogetherError):
        vectors(flavour, texts, checkpoint=path, batch_size=2, max_concurrency=1)
    emulator.clear()
    assert numpy.array_equal(vectors(flavour, texts, checkpoint=path), expected(flavour, texts))
    assert sent(emulator)[: -len(texts)] == texts[16:]
    emulator.clear()
    assert len(vectors(flavour, [*texts[::-1], "new"], checkpoint=path)) == 31
    assert sent(emulator) == ["new"]


def test_completed_requests_of_a_failed_call_are_kept(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(4)]
    path = tmp_path / "vectors.sqlite"
    with emulator.behave(embedding_overflow="error"), pytest.raises(TogetherError) as caught:
        vectors(flavour, [*texts, "lazy dog " * 300], checkpoint=path, batch_size=1, max_concurrency=1)
    assert list(caught.value.pending) == [4]
    emulator.clear()
    assert len(vectors(flavour, texts, checkpoint=path)) == 4 and sent(emulator) == []


def test_checkpoints_of_others(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    vectors(flavour, ["a"], checkpoint=path)
    with pytest.raises(ConfigurationError, match="with dimensions 'None', not '8'"):
        vectors(flavour, ["a"], checkpoint=path, dimensions=8)
    with pytest.raises(ConfigurationError, match="with kind 'vectors'"):
        flavour.run(flavour.client().batches.run([], checkpoint=path))


def test_arguments_that_make_no_sense(flavour: Any, emulator: Emulator) -> None:
    for texts, options, kind in (("text", {}, TypeError), ([1], {}, TypeError), (["a"], {"batch_size": 0}, ValueError)):
        with pytest.raises(kind):
            vectors(flavour, texts, **options)
    assert emulator.requests == []
