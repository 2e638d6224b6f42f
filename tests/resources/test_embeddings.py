"""Embeddings of any number of texts: order, limits of requests, and partial results of failed calls."""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
from threading import Lock
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from hypothesis import given, strategies

from tests.resources.response_variants import find_unreadable
from together_adapters import APIError, APIResponseValidationError, APIStatusError, BadRequestError, vectors
from together_adapters.emulator import Emulator, Fault
from together_adapters.resources import embeddings
from together_adapters.resources.embeddings import _read
from together_adapters.transport.call import Response
from together_adapters.types.embeddings import EmbeddingResponse
from together_adapters.vectors import list_of

numpy = pytest.importorskip("numpy")

MODEL = "BAAI/bge-base-en-v1.5"
NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "object": "list",
    "id": "oX",
    "model": "acme/vectors",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.12, -0.3, 1e-07], **NEW},
        {"object": "embedding", "index": 1, "embedding": [1.0, 2.0, 3.0], **NEW},
    ],
    "usage": {"prompt_tokens": 3, "total_tokens": 3, **NEW},
    **NEW,
}


def texts(count: int) -> list[str]:
    return [f"text number {number} about {'abcdefghij'[number % 10]}" for number in range(count)]


def embed(flavour: Any, input: Any, client: Any = None, **options: Any) -> EmbeddingResponse:
    client = client or flavour.client(max_retries=0)
    return flavour.run(client.embeddings.create(**{"model": MODEL, "input": input, **options}))


def sizes(emulator: Emulator) -> list[int]:
    return [len(request.json["input"]) for request in emulator.requests]


def index_vectors(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a response in which the embedding of `"7"` is `[7.0, -7.0]`."""
    rows = [{"index": position, "embedding": [float(text), -float(text)]} for position, text in enumerate(body["input"])]
    return {"object": "list", "model": body["model"], "data": rows}


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 500])
def test_any_number_of_texts_in_as_few_requests_as_it_takes(count: int, flavour: Any, emulator: Emulator) -> None:
    answer = embed(flavour, texts(count))
    assert [item.index for item in answer.data] == list(range(count))
    assert len(emulator.requests) == math.ceil(count / 128)
    assert sorted(text for request in emulator.requests for text in request.json["input"]) == sorted(texts(count))


@pytest.mark.parametrize(("count", "batch"), [(7, 1), (7, 3), (6, 3), (10, 100)])
def test_batch_size(count: int, batch: int, flavour: Any, emulator: Emulator) -> None:
    embed(flavour, texts(count), batch_size=batch)
    assert sorted(sizes(emulator), reverse=True) == [batch] * (count // batch) + [count % batch] * bool(count % batch)


@pytest.mark.parametrize("shuffle", [False, True])
def test_order_is_that_of_the_inputs(shuffle: bool, flavour: Any, emulator: Emulator) -> None:
    inputs = texts(21)
    with emulator.behave(shuffle_embeddings=shuffle):
        answer = embed(flavour, inputs, batch_size=4)
    assert [item.index for item in answer.data] == list(range(21))
    for position in (0, 1, 4, 13, 20):
        assert embed(flavour, inputs[position]).data[0].embedding == answer.data[position].embedding


def test_order_where_the_response_has_no_index(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(lambda body: {"data": [{"embedding": [float(text)]} for text in body["input"]]})
    answer = embed(flavour, ["5", "6", "7"], client, batch_size=2)
    assert [(item.index, item.embedding) for item in answer.data] == [(0, [5.0]), (1, [6.0]), (2, [7.0])]


@pytest.mark.parametrize(
    "kind", [tuple, iter, lambda texts: dict.fromkeys(texts).keys(), list], ids=["tuple", "iterator", "keys", "list"]
)
def test_any_iterable_of_texts(kind: Any, flavour: Any) -> None:
    assert len(embed(flavour, kind(["a", "b", "c"])).data) == 3


def test_texts_are_sent_verbatim(flavour: Any, emulator: Emulator) -> None:
    odd = ["", " \n padded\t", "Ünïcödé 🦙 \u2028", '"quoted\\', "a" * 300]
    embed(flavour, odd)
    assert emulator.requests[0].json == {"model": MODEL, "input": odd}


def test_one_text_is_sent_as_one_text(flavour: Any, emulator: Emulator) -> None:
    answer = embed(flavour, "just one")
    assert emulator.requests[0].json["input"] == "just one"
    assert (len(answer.data), answer.data[0].index) == (1, 0)


def test_nothing_to_embed_needs_no_request(flavour: Any, emulator: Emulator) -> None:
    answer = embed(flavour, [])
    assert (answer.data, answer.model, answer.usage) == ([], MODEL, None)
    assert answer.to_numpy().shape[0] == 0
    assert emulator.requests == []


class Gauge:
    """Counts the requests in progress, from sending to the head of the response, as the client sees them."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._lock = Lock()

    def up(self, request: httpx.Request) -> None:
        with self._lock:
            self.now += 1
            self.peak = max(self.peak, self.now)

    def down(self, response: httpx.Response) -> None:
        with self._lock:
            self.now -= 1

    async def up_async(self, request: httpx.Request) -> None:
        self.up(request)

    async def down_async(self, response: httpx.Response) -> None:
        self.down(response)


@pytest.mark.parametrize(("limit", "expected"), [({}, 8), ({"max_concurrency": 3}, 3), ({"max_concurrency": 1}, 1)])
def test_bounded_concurrency(limit: dict[str, int], expected: int, flavour: Any, emulator: Emulator) -> None:
    gauge = Gauge()
    if flavour.is_async:
        http: Any = httpx.AsyncClient(event_hooks={"request": [gauge.up_async], "response": [gauge.down_async]})
    else:
        http = httpx.Client(event_hooks={"request": [gauge.up], "response": [gauge.down]})
    with emulator.behave(delay=0.08):
        embed(flavour, texts(3 * expected), flavour.client(http_client=http), batch_size=1, **limit)
    flavour.run(http.aclose() if flavour.is_async else http.close())
    assert len(emulator.requests) == 3 * expected
    assert gauge.peak == expected


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_concurrency": 0}])
def test_bounds_below_one_are_refused(wrong: dict[str, int], flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        embed(flavour, ["a"], **wrong)
    assert emulator.requests == []


def test_requests_are_bounded_by_estimated_tokens(flavour: Any, stub_client: Any) -> None:
    long = [f"{number} ".ljust(9_000) for number in range(100)]
    client, service = stub_client(index_vectors)
    answer = embed(flavour, long, client, model="my/long-embedder")
    assert [item.embedding[0] for item in answer.data] == list(range(100))
    assert len(service.requests) >= 3
    assert all(len(request.content) < 400_000 for request in service.requests)


def test_the_estimate_allows_for_scripts_that_take_more_tokens(flavour: Any, stub_client: Any) -> None:
    """A Chinese text of 2,000 characters is 6,000 bytes and far more than 667 tokens."""
    client, service = stub_client(lambda body: {"data": [{"embedding": [1.0]} for _ in body["input"]]})
    embed(flavour, [f"{number}" + "语言模型" * 500 for number in range(100)], client, model="my/long-embedder")
    assert len(service.requests) >= 2


def test_a_text_above_the_bound_is_sent_alone(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(index_vectors)
    embed(flavour, ["1", "2".ljust(400_000), "3"], client, max_concurrency=1, model="my/long-embedder")
    assert [len(request.content) > 100_000 for request in service.requests] == [False, True, False]


@pytest.mark.parametrize("status", [413, 422])
def test_a_batch_that_is_too_large_is_halved(status: int, flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("too-large", limit=10, times=None, status=status))
    answer = embed(flavour, texts(33), batch_size=32)
    assert [item.index for item in answer.data] == list(range(33))
    emulator.clear()
    assert answer.data[17].embedding == embed(flavour, texts(33)[17]).data[0].embedding


def test_a_stated_limit_is_kept_from_then_on(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("too-large", limit=4, times=None, status=413))
    embed(flavour, texts(16), batch_size=16)
    assert sizes(emulator) == [16, 4, 4, 4, 4]


@pytest.mark.parametrize("status", [413, 422])
def test_a_single_text_that_is_too_large_fails(status: int, flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("too-large", limit=0, times=None, status=status))
    with pytest.raises(APIStatusError) as error_info:
        embed(flavour, texts(4))
    assert error_info.value.status_code == status
    assert sizes(emulator) == [4, 2, 1]
    assert list(error_info.value.pending) == [0, 1, 2, 3]


def failing(bad: str, status: int = 400) -> Any:
    """Returns a service that refuses requests with a certain text."""

    def reply(body: dict[str, Any]) -> Any:
        if bad in body["input"]:
            return httpx.Response(
                status, json={"error": {"message": "bad text", "type": "invalid_request_error", "param": "input"}}
            )
        return index_vectors(body)

    return reply


def test_a_failure_carries_what_was_finished(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(failing("5"))
    with pytest.raises(BadRequestError, match="bad text") as error_info:
        embed(flavour, [str(number) for number in range(10)], client, batch_size=2, max_concurrency=1)
    error = error_info.value
    assert [item.index for item in error.completed.data] == [0, 1, 2, 3]
    assert [item.embedding[0] for item in error.completed.data] == [0, 1, 2, 3]
    assert list(error.pending) == [4, 5, 6, 7, 8, 9]
    assert error.__notes__ == ["4 of 10 inputs were embedded: see .completed and .pending"]
    assert len(service.requests) == 3


def test_finished_and_pending_are_everything(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(failing("50", 500), max_retries=0)
    with pytest.raises(APIError) as error_info:
        embed(flavour, [str(number) for number in range(100)], client, batch_size=3)
    done = [item.index for item in error_info.value.completed.data]
    assert sorted([*done, *error_info.value.pending]) == list(range(100))
    assert 50 in error_info.value.pending
    assert [item.embedding[0] for item in error_info.value.completed.data] == done


def test_a_failure_is_resumed_from_what_it_carries(flavour: Any, stub_client: Any) -> None:
    inputs = [str(number) for number in range(12)]
    client, _ = stub_client(failing("8"))
    with pytest.raises(BadRequestError) as error_info:
        embed(flavour, inputs, client, batch_size=4, max_concurrency=1)
    rest = [inputs[position] for position in error_info.value.pending]
    client, _ = stub_client(index_vectors)
    again = embed(flavour, rest, client)
    assert [item.embedding[0] for item in [*error_info.value.completed.data, *again.data]] == list(range(12))


def test_a_failure_of_everything_carries_nothing(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("402", times=None))
    with pytest.raises(APIStatusError) as error_info:
        embed(flavour, texts(300))
    assert error_info.value.completed.data == []
    assert list(error_info.value.pending) == list(range(300))
    assert not hasattr(error_info.value, "__notes__")


def test_a_failure_of_a_single_text_leaves_it_pending(flavour: Any, emulator: Emulator) -> None:
    emulator.inject("402")
    with pytest.raises(APIStatusError) as error_info:
        embed(flavour, "just one")
    assert error_info.value.completed.data == []
    assert list(error_info.value.pending) == [0]


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2], [3]], ["text", 7], [None], b"bytes", ["text", b"bytes"], 7], ids=repr)
def test_token_ids_are_refused_before_sending(ids: Any, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(TypeError):
        embed(flavour, ids)
    assert emulator.requests == []


def test_refusal_of_token_ids_says_which_and_why(flavour: Any) -> None:
    with pytest.raises(TypeError, match=r"input\[1\] must be a string, not int.*token ids"):
        embed(flavour, ["text", 7])


def test_base64_reads_like_floats(flavour: Any, emulator: Emulator) -> None:
    content = embed(flavour, texts(3))
    light = embed(flavour, texts(3), encoding_format="base64")
    assert [request.json.get("encoding_format") for request in emulator.requests] == [None, "base64"]
    numpy.testing.assert_allclose(content.to_numpy(), light.to_numpy(), rtol=0, atol=1e-6)
    assert all(isinstance(value, float) for value in light.data[0].embedding)


def test_base64_is_exact(flavour: Any, stub_client: Any) -> None:
    values = [0.1, -2.5, 3.0e-38, 65504.0]
    base64_text = base64.b64encode(struct.pack("<4f", *values)).decode()
    client, _ = stub_client({"data": [{"index": 0, "embedding": base64_text}]})
    answer = embed(flavour, ["a"], client)
    assert answer.data[0].embedding == [float(numpy.float32(value)) for value in values]


NUMBERS = strategies.sampled_from(
    [
        "0.25",
        "-1.5e-07",
        "1e-3",
        "1E2",
        "0",
        "-0",
        "7",
        "-0.0",
        "1e999",
        "NaN",
        "-Infinity",
        "18446744073709551616",
        "null",
        '"x"',
        '"1.5"',
        "true",
        "[]",
        "[1.5]",
        '{"a": 1.5}',
    ]
)
ROWS = strategies.fixed_dictionaries(
    {"embedding": strategies.lists(strategies.sampled_from(["0.25", "-1.5", "3.0"]) | NUMBERS, max_size=3)},
    optional={
        "object": strategies.sampled_from(['"embedding"', '"a.b"', "null", "1"]),
        "index": strategies.sampled_from(["0", "1", "0.0"]),
        "nobody": strategies.sampled_from(["1.5", '"x.y.z"', "18446744073709551616"]),
    },
)
BODIES = strategies.fixed_dictionaries(
    {"data": strategies.lists(ROWS, min_size=1, max_size=2)},
    optional={
        "id": strategies.sampled_from(['"1.2"', "null"]),
        "usage": strategies.sampled_from(["null", '{"prompt_tokens": 18446744073709551616}', '{"total_tokens": 3.0}']),
        "error": strategies.sampled_from(["null", '{"message": "no"}']),
    },
)


def json_text(value: Any) -> str:
    """Returns JSON of a value whose leaves are JSON already."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{json_text(item)}' for name, item in value.items()) + "}"
    return "[" + ",".join(map(json_text, value)) + "]" if isinstance(value, list) else str(value)


@pytest.mark.parametrize("packages", ["orjson", "orjson numpy", "simdjson", "simdjson orjson numpy"])
@given(body=BODIES)
def test_responses_read_the_same_with_any_package(packages: str, body: dict[str, Any]) -> None:
    response = Response(200, {}, json_text(body).encode())

    def result(packages: str) -> Any:
        modules = {name: pytest.importorskip(name) for name in packages.split()}
        with patch.multiple(vectors, _MIN_SIZE=0, _package=modules.get), patch.dict(sys.modules, numpy=modules.get("numpy")):
            try:
                answer = _read(response, (0, len(body["data"])), None)
            except (ValueError, TypeError) as problem:
                return type(problem)
        rows = [{**row, "embedding": list_of(row["embedding"])} for row in answer["data"]]
        return repr({**answer, "data": [sorted(row.items()) for row in rows]})  # names of fields have no order

    assert result(packages) == result("")


LARGE = [[round(math.sin(index + number), 9) for number in range(500)] for index in range(4)]
BROKEN = {
    "NaN": ("0.841470985", "NaN"),
    "infinite": ("0.841470985", "1e999"),
    "null": ("0.841470985", "null"),
    "text": ("0.841470985", '"0.8x"'),
    "list": ("0.841470985", "[0.8]"),
    "empty": (",".join(map(str, LARGE[1])), ""),
    "shorter": ("0.841470985,", ""),
    "index twice": ('"index":2', '"index":1'),
    "no vector": ('"embedding":[0.141', '"vector":[0.141'),
    "error": ('"data"', '"error":{"message":"overloaded"},"data"'),
    "cut": ("]}]", "]}"),
}


def large_body() -> str:
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(LARGE)]
    return json.dumps({"object": "list", "data": rows, "model": "acme/vectors"}, separators=(",", ":"))


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("package", ["simdjson", None])
def test_large_responses_are_refused_alike(package: str | None, name: str, flavour: Any, stub_client: Any) -> None:
    modules = {package: pytest.importorskip(package)} if package else {}
    body = large_body()
    broken = body.replace(*BROKEN[name], 1)
    assert broken != body
    client, _ = stub_client(lambda _: httpx.Response(200, content=broken.encode()), max_retries=0)
    with patch.multiple(vectors, _package=modules.get), pytest.raises(APIError) as error_info:
        embed(flavour, ["a", "b", "c", "d"], client)
    assert isinstance(error_info.value, APIResponseValidationError) is (name != "error")
    assert list(error_info.value.pending) == [0, 1, 2, 3]


@pytest.mark.parametrize("package", ["simdjson", "orjson", None])
@pytest.mark.parametrize("odd", ["", "integers", "order", "unknown fields", "name twice"])
def test_large_responses_read_alike(package: str | None, odd: str, flavour: Any, stub_client: Any) -> None:
    modules = {package: pytest.importorskip(package)} if package else {}
    body, expected = large_body(), [[*vector] for vector in LARGE]
    if odd == "integers":
        body, expected[0][0] = body.replace("[0.0,", "[18446744073709551616,", 1), 2.0**64
    elif odd == "order":
        body = body.replace('"index":0', '"index":9').replace('"index":3', '"index":0').replace('"index":9', '"index":3')
        expected = [expected[index] for index in (3, 1, 2, 0)]
    elif odd == "unknown fields":
        body = body.replace('"index":1', '"index":1,"tokens":[1,2],"more":{"a":1.5}')
    elif odd == "name twice":
        body = body.replace('"index":1', '"embedding":[1.0],"index":1')
    client, _ = stub_client(lambda _: httpx.Response(200, content=body.encode()))
    with patch.multiple(vectors, _package=modules.get):
        answers = [embed(flavour, ["a", "b", "c", "d", "a"], client) for _ in range(2)]
        vectors_of = flavour.run(client.perform(embeddings.vectors(model=MODEL, input=["a", "b", "c", "d"])))
    assert [item.embedding for item in answers[0].data] == [*expected, expected[0]]
    assert {type(value) for item in answers[0].data for value in item.embedding} == {float}
    assert answers[0].data[0].embedding is not answers[0].data[4].embedding
    assert answers[1].to_numpy().tolist() == numpy.array([*expected, expected[0]], dtype=numpy.float32).tolist()
    assert vectors_of == expected
    if odd == "unknown fields":
        assert answers[0].data[1].model_extra == {"tokens": [1, 2], "more": {"a": 1.5}}


@pytest.mark.parametrize("with_numpy", [True, False])
def test_base64_with_nan_is_refused(with_numpy: bool, flavour: Any, stub_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_numpy:
        monkeypatch.delitem(sys.modules, "numpy")
    base64_text = base64.b64encode(struct.pack("<4f", 1.0, math.nan, 2.0, 3.0)).decode()
    client, _ = stub_client({"data": [{"index": 0, "embedding": base64_text}]})
    with pytest.raises(APIResponseValidationError, match="NaN"):
        embed(flavour, ["a"], client)


@pytest.mark.parametrize("package", ["pybase64", None])
@pytest.mark.parametrize(
    "broken", ["not base64!", "AAA=", "AAAA", "AAAAAAA", "AAAAAAAA=", "AAAAAAA=AAAA", "AAAAéAAA", "AAAA\nAA="]
)
def test_broken_base64_is_reported(broken: str, package: str | None, flavour: Any, stub_client: Any) -> None:
    modules = {package: pytest.importorskip(package)} if package else {}
    client, _ = stub_client({"data": [{"index": 0, "embedding": broken}]})
    with patch.multiple(vectors, _package=modules.get), pytest.raises(APIResponseValidationError):
        embed(flavour, ["a"], client)


def test_to_numpy(flavour: Any, emulator: Emulator) -> None:
    with emulator.behave(shuffle_embeddings=True):
        answer = embed(flavour, texts(5))
    table = answer.to_numpy()
    assert (table.shape, table.dtype) == ((5, 768), numpy.float32)
    assert table.flags["C_CONTIGUOUS"]
    answer.data.reverse()
    numpy.testing.assert_array_equal(answer.to_numpy(), table)
    numpy.testing.assert_array_equal(table[3], numpy.array(embed(flavour, texts(5)[3]).data[0].embedding, dtype=numpy.float32))


TABLES: list[list[list[float]]] = [
    [[0.1, -2.5, 3e-40]],
    [[1, 2.5], [3, 4]],
    [[math.nan, math.inf]],
    [[3.4028235677973366e38], [3.40282357e38]],
    [[], []],
]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("vectors", TABLES, ids=str)
def test_to_numpy_converts_as_numpy_does(vectors: list[list[float]]) -> None:
    answer = EmbeddingResponse(data=[{"index": index, "embedding": vector} for index, vector in enumerate(vectors)])  # type: ignore[list-item]
    table, expected = answer.to_numpy(), numpy.array(vectors, dtype=numpy.float32)
    assert (table.shape, table.dtype, table.flags["WRITEABLE"]) == (expected.shape, expected.dtype, True)
    numpy.testing.assert_array_equal(table, expected)


def test_vectors_of_different_lengths_are_no_table() -> None:
    answer = EmbeddingResponse(data=[{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="inhomogeneous"):
        answer.to_numpy()


@pytest.mark.parametrize(
    "indices",
    [[0, 0, 1], [0, 1], [0, 1, 3], [1, 2, 3], [0, 1, 2, 2], [-1, 0, 1], [], [0, 1, 2, 3]],
    ids=str,
)
def test_wrong_indices_are_reported(indices: list[int], flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": [{"index": index, "embedding": [1.0]} for index in indices]})
    with pytest.raises(APIResponseValidationError) as error_info:
        embed(flavour, ["a", "b", "c"], client)
    assert list(error_info.value.pending) == [0, 1, 2]


@pytest.mark.parametrize("indices", [[], [0, 1], [1]], ids=str)
def test_wrong_indices_for_a_single_text_are_reported(indices: list[int], flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": [{"index": index, "embedding": [1.0]} for index in indices]})
    with pytest.raises(APIResponseValidationError):
        embed(flavour, "a", client)


def test_every_field_is_kept(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(RESPONSE)
    assert embed(flavour, ["a", "b"], client).model_dump(exclude_unset=True) == RESPONSE


def test_any_other_field_may_be_null_or_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = sample
        return embed(flavour, ["a", "b"], client).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read, but=("embedding", "index", "data")) == {}


@pytest.mark.parametrize("row", [{"index": 0, "embedding": None}, {"index": 0}, {"index": 0, "embedding": [None]}, None], ids=str)
def test_a_response_without_a_vector_is_reported(row: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": [row]})
    with pytest.raises(APIResponseValidationError):
        embed(flavour, ["a"], client)


def test_usage_is_the_sum_over_the_requests(flavour: Any, emulator: Emulator) -> None:
    complete = embed(flavour, texts(10)).usage
    parts = embed(flavour, texts(10), batch_size=3).usage
    assert parts.prompt_tokens == complete.prompt_tokens > 0
    assert parts.total_tokens == complete.total_tokens
    with emulator.behave(embedding_usage=False):
        assert embed(flavour, texts(10), batch_size=3).usage is None


def test_raw_response(flavour: Any) -> None:
    raw = flavour.run(flavour.client().embeddings.with_raw_response.create(model=MODEL, input=texts(3), batch_size=2))
    assert raw.status_code == 200
    assert [item.index for item in raw.parse().data] == [0, 1, 2]


def test_dimensions_that_a_model_does_not_take_are_refused_by_the_service(flavour: Any) -> None:
    with pytest.raises(BadRequestError) as error_info:
        embed(flavour, "a", dimensions=3)
    assert error_info.value.param == "dimensions"


def test_embedding_needs_no_numpy() -> None:
    code = "import sys; from together_adapters.types.embeddings import EmbeddingResponse as E; E(data=[]); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
