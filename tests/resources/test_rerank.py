"""Rerank: sorted results with their index in the request, and every format of documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.resources.response_variants import find_unreadable
from together_adapters import APIResponseValidationError, BadRequestError
from together_adapters.emulator import Emulator

MODEL = "acme/ranker"
NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "object": "rerank",
    "id": "9dfa1a09-5ebc",
    "model": "acme/ranker",
    "results": [
        {"index": 5, "relevance_score": 0.75, "document": {"text": '{"title":"Llama"}', **NEW}, **NEW},
        {"index": 0, "relevance_score": -1.5e-07, "document": {}, **NEW},
        {"index": 2, "relevance_score": -3, "document": "plain text", **NEW},
    ],
    "usage": {"prompt_tokens": 1837, "completion_tokens": 0, "total_tokens": 1837, **NEW},
    **NEW,
}
DOCUMENTS = ["The panda eats bamboo.", "Llamas live in Peru.", "Peru has llamas and alpacas: camelids near Peru.", "Nothing."]
OBJECTS = [{"title": "Panda", "text": "It eats bamboo."}, {"title": "Llama", "text": "A camelid of Peru.", "page": 3}]


def rank(flavour: Any, client: Any = None, **changes: Any) -> Any:
    kwargs = {"model": MODEL, "query": "camelids near Peru", "documents": DOCUMENTS, **changes}
    return flavour.run((client or flavour.client()).rerank.create(**kwargs))


def test_best_first_with_the_index_in_the_request(flavour: Any) -> None:
    results = rank(flavour, return_documents=True).results
    scores = [result.relevance_score for result in results]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result.index for result in results) == [0, 1, 2, 3]
    assert results[0].index == 2
    assert all(result.document["text"] == DOCUMENTS[result.index] for result in results)


@pytest.mark.parametrize("top", [1, 2, 4, 9])
def test_top_n(top: int, flavour: Any) -> None:
    assert [result.index for result in rank(flavour, top_n=top).results] == [r.index for r in rank(flavour).results][:top]


def test_documents_that_were_not_asked_for_are_empty(flavour: Any) -> None:
    assert [result.document for result in rank(flavour).results] == [{}] * 4


def test_object_documents_come_back_as_the_json_of_their_fields(flavour: Any) -> None:
    best = rank(flavour, documents=OBJECTS, return_documents=True).results[0]
    assert (best.index, json.loads(best.document["text"])) == (1, OBJECTS[1])


def test_rank_fields_choose_what_is_read(flavour: Any) -> None:
    by_title = rank(flavour, documents=OBJECTS, query="llama", rank_fields=["title"], return_documents=True).results[0]
    assert (by_title.index, json.loads(by_title.document["text"])) == (1, {"title": "Llama"})


def test_a_mixture_is_refused_by_the_service(flavour: Any) -> None:
    with pytest.raises(BadRequestError) as error_info:
        rank(flavour, documents=["text", {"title": "object"}])
    assert error_info.value.param == "documents"


def test_every_field_is_kept(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(RESPONSE)
    answer = rank(flavour, client, documents=[*DOCUMENTS, *DOCUMENTS])
    assert answer.model_dump(exclude_unset=True) == RESPONSE
    assert [result.index for result in answer.results] == [5, 0, 2]
    assert [result.document for result in answer.results[1:]] == [{}, "plain text"]


def test_any_other_field_may_be_null_or_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = sample
        return rank(flavour, client, documents=[*DOCUMENTS, *DOCUMENTS]).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read, but=("index", "relevance_score", "results")) == {}


@pytest.mark.parametrize("field", ["index", "relevance_score"])
def test_a_result_without_index_or_score_is_reported(field: str, flavour: Any, stub_client: Any) -> None:
    result = {"index": 0, "relevance_score": 0.5}
    for odd in ({**result, field: None}, {name: value for name, value in result.items() if name != field}):
        client, _ = stub_client({"results": [odd]})
        with pytest.raises(APIResponseValidationError):
            rank(flavour, client)


def test_usage_and_raw_response(flavour: Any, emulator: Emulator) -> None:
    raw = flavour.run(flavour.client().rerank.with_raw_response.create(model=MODEL, query="llama", documents=DOCUMENTS))
    assert raw.parse().usage.total_tokens == raw.parsed.usage.prompt_tokens > 0
    assert raw.request_id == raw.headers["x-request-id"]
    assert len(emulator.requests) == 1
