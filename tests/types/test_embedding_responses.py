"""Embeddings that came as arrays: `data` is made when somebody asks for it, and nobody can tell."""

from __future__ import annotations

import copy
import json
import pickle
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from together_adapters.types.embeddings import Embedding, EmbeddingResponse

numpy = pytest.importorskip("numpy")

VECTORS = [[0.1, -2.5, 3e-40], [1.0, 2.0, 16777217.0]]
FIELDS = {"object": "list", "model": "acme/vectors", "usage": {"prompt_tokens": 3}, "nobody": {"knows": 1}}


class Answer(BaseModel):
    """A user's own model around a response."""

    embeddings: EmbeddingResponse


def response(kind: Callable[[list[float]], Any] = lambda vector: array("d", vector)) -> EmbeddingResponse:
    rows = [{"object": "embedding", "index": index, "embedding": kind(vector)} for index, vector in enumerate(VECTORS)]
    return EmbeddingResponse.of_rows({**FIELDS, "data": rows})


USES: dict[str, Callable[[EmbeddingResponse], Any]] = {
    "data": lambda answer: [(item.object, item.index, item.embedding) for item in answer.data],
    "type of data": lambda answer: [type(item) for item in answer.data],
    "getattr": lambda answer: getattr(answer, "data", None),
    "missing attribute": lambda answer: hasattr(answer, "nothing"),
    "extra": lambda answer: answer.nobody,  # type: ignore[attr-defined]
    "model_dump": lambda answer: answer.model_dump(),
    "model_dump of a part": lambda answer: answer.model_dump(include={"data": {0: {"embedding"}}}),
    "model_dump, unset": lambda answer: answer.model_dump(exclude_unset=True),
    "model_dump_json": lambda answer: answer.model_dump_json(),
    "in a model": lambda answer: Answer(embeddings=answer).model_dump(),
    "in a model as JSON": lambda answer: Answer(embeddings=answer).model_dump_json(),
    "in a list": lambda answer: TypeAdapter(list[EmbeddingResponse]).dump_python([answer]),
    "schema": lambda answer: type(answer).model_json_schema(mode="serialization"),
    "iteration": dict,
    "repr": repr,
    "str": str,
    "fields that are set": lambda answer: answer.model_fields_set,
    "copy": lambda answer: copy.copy(answer).model_dump(),
    "deepcopy": lambda answer: copy.deepcopy(answer).model_dump(),
    "model_copy": lambda answer: answer.model_copy(update={"model": "other"}).model_dump(),
    "model_copy of data": lambda answer: answer.model_copy(update={"data": []}).model_dump(),
    "pickle": lambda answer: pickle.loads(pickle.dumps(answer)).model_dump(),
    "validation": lambda answer: EmbeddingResponse.model_validate(answer).data,
    "to_numpy": lambda answer: answer.to_numpy().tolist(),
    "to_numpy of a copy": lambda answer: copy.deepcopy(answer).to_numpy().tolist(),
    "JSON": lambda answer: json.loads(answer.model_dump_json())["data"][1]["embedding"],
}


@pytest.mark.parametrize("use", USES)
def test_a_response_with_arrays_is_one_with_lists(use: str) -> None:
    assert USES[use](response()) == USES[use](response(list))


def test_responses_are_equal_by_their_data() -> None:
    assert response() == response()
    assert response() == response(list)
    other = response()
    other.data[1].embedding[0] = 7.0
    assert other != response()
    assert response() != 7


def test_the_same_lists_are_there_each_time() -> None:
    answer = response()
    assert answer.data is answer.data
    assert all(type(item) is Embedding and type(item.embedding) is list for item in answer.data)


def test_what_a_user_changes_counts() -> None:
    answer = response()
    answer.data[0].embedding[0] = 7.0
    answer.data.reverse()
    assert answer.to_numpy()[0, 0] == 7.0
    answer.data = [Embedding(index=0, embedding=[5.0])]
    assert answer.to_numpy().tolist() == [[5.0]]
    untouched = response()
    untouched.data = []
    assert (untouched.data, len(untouched.to_numpy())) == ([], 0)


def test_threads_get_the_same_data() -> None:
    for _ in range(20):
        answer = response()
        with ThreadPoolExecutor(8) as pool:
            assert len({id(data) for data in pool.map(attrgetter("data"), [answer] * 16)}) == 1


@pytest.mark.parametrize("kind", ["d", "f"])
def test_arrays_become_the_table_of_their_lists(kind: str) -> None:
    table, expected = response(lambda vector: array(kind, vector)).to_numpy(), response(list).to_numpy()
    assert (table.dtype, table.shape, table.flags["WRITEABLE"], table.flags["C_CONTIGUOUS"]) == (
        numpy.float32,
        (2, 3),
        True,
        True,
    )
    numpy.testing.assert_array_equal(table, expected)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("kinds", ["dd", "dl", "ld"])
def test_rounding_is_that_of_lists(kinds: str) -> None:
    tie = 1.0 + 2.0**-24  # between two numbers of 32 bits
    vectors = [[tie, -tie, 3.4028235677973366e38, 1e-46], [3.40282357e38, 1e39, 5e-324, 0.1]]
    rows = [
        {"index": index, "embedding": list(vector) if kind == "l" else array("d", vector)}
        for index, (kind, vector) in enumerate(zip(kinds, vectors, strict=True))
    ]
    table = EmbeddingResponse.of_rows({"data": rows}).to_numpy()
    assert table.tobytes() == numpy.array(vectors, dtype=numpy.float32).tobytes()


def test_arrays_of_different_lengths_are_no_table() -> None:
    rows = [{"index": 0, "embedding": array("d", [1.0, 2.0])}, {"index": 1, "embedding": array("d", [1.0])}]
    answer = EmbeddingResponse.of_rows({"data": rows})
    with pytest.raises(ValueError, match="inhomogeneous"):
        answer.to_numpy()
    assert [item.embedding for item in answer.data] == [[1.0, 2.0], [1.0]]
