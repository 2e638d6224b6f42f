"""Columns of embeddings, answers and rankings for Arrow tables: what Ray, Spark and Dask call in their workers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.conftest import KEY
from together_adapters import Together
from together_adapters.bulk.columns import AnswerColumn, EmbeddingColumn, NewColumn, RankingColumn
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    LongTextWarning,
    ModelNotFoundError,
    PaymentRequiredError,
)

EMBEDDER = "BAAI/bge-base-en-v1.5"
CHAT = "openai/gpt-oss-120b"
RANKER = "someone/ranker"


@pytest.fixture
def client(emulator: Emulator) -> Any:
    with Together(api_key=KEY, base_url=emulator.base_url, max_retries=0) as client:
        yield client


def embedder(client: Together, **settings: Any) -> EmbeddingColumn:
    return EmbeddingColumn(**{"model": EMBEDDER, "column": "text", "client": client, **settings})


def answerer(client: Together, **settings: Any) -> AnswerColumn:
    return AnswerColumn(**{"model": CHAT, "column": "prompt", "client": client, **settings})


def texts_sent(emulator: Emulator) -> list[str]:
    return [text for request in emulator.requests for text in request.json["input"]]


def test_embeddings_keep_the_order_of_rows_and_are_sent_once(emulator: Emulator, client: Together) -> None:
    texts = [f"text {number % 200}" for number in range(300)]
    table = embedder(client, request_size=50)(pa.table({"id": range(300), "text": texts}))
    assert table.column_names == ["id", "text", "embedding", "embedding_error"]
    assert table.column("embedding").type == pa.list_(pa.float32())
    expected = client.embeddings.create(model=EMBEDDER, input=texts)
    vectors = table.column("embedding").to_pylist()
    assert vectors == [pytest.approx(item.embedding, rel=1e-6) for item in expected.data]
    assert table.column("embedding_error").null_count == 300
    assert len(emulator.requests) == 4 + 2
    assert sorted(texts_sent(emulator)[:200]) == sorted(set(texts))


def test_a_text_that_is_refused_fails_alone(emulator: Emulator, client: Together) -> None:
    texts: list[Any] = [f"text {number}" for number in range(16)]
    texts[5] = "word " * 5_000
    texts[9] = None
    with emulator.behave(embedding_overflow="error"):
        with pytest.warns(LongTextWarning):
            table = embedder(client, max_concurrency=1)(pa.table({"text": texts}))
        by_estimate = embedder(client, long_texts="error")(pa.table({"text": texts}))
        parts = embedder(client, long_texts="split")(pa.table({"text": texts}))
    assert by_estimate.column("embedding") == table.column("embedding")
    assert [index for index, error in enumerate(parts.column("embedding_error").to_pylist()) if error] == [9]
    errors = table.column("embedding_error").to_pylist()
    assert [index for index, error in enumerate(errors) if error] == [5, 9]
    assert "context length" in errors[5]
    assert "a text was expected, not None" in errors[9]
    assert [index for index, vector in enumerate(table.column("embedding").to_pylist()) if vector is None] == [5, 9]


def test_a_request_that_fails_is_not_split(emulator: Emulator, client: Together) -> None:
    emulator.inject("500")
    table = embedder(client, request_size=4, max_concurrency=1)(pa.table({"text": list("abcdefgh")}))
    assert len(emulator.requests) == 2
    assert [error is None for error in table.column("embedding_error").to_pylist()] == [False] * 4 + [True] * 4
    assert "500" in table.column("embedding_error").to_pylist()[0]


def test_a_column_of_failures_has_the_same_type(emulator: Emulator, client: Together) -> None:
    """Blocks of a data set are joined, so that the type must not depend on what succeeded."""
    emulator.inject("500")
    failed, done = embedder(client)(pa.table({"text": ["a"]})), embedder(client)(pa.table({"text": ["a"]}))
    empty = embedder(client)(pa.table({"text": pa.array([], pa.string())}))
    assert failed.schema == done.schema == empty.schema


def test_answers_to_texts_and_to_messages(emulator: Emulator, client: Together) -> None:
    emulator.reply(lambda body: body["messages"][-1]["content"].upper())
    asked = answerer(client, system="Be brief.", params={"max_tokens": 9}, responses="response")
    prompts = [f"question {number}" for number in range(40)]
    table = asked(pa.table({"prompt": prompts}))
    assert table.column("answer").to_pylist() == [prompt.upper() for prompt in prompts]
    response = json.loads(table.column("response").to_pylist()[3])
    assert response["usage"]["completion_tokens"] > 0
    assert response["choices"][0]["message"]["content"] == "QUESTION 3"
    messages = [[{"role": "user", "content": "hello", "name": "ann"}], [{"role": "user", "content": "bye"}]]
    assert asked(pa.table({"prompt": messages})).column("answer").to_pylist() == ["HELLO", "BYE"]
    body = emulator.requests[-1].json
    assert body["max_tokens"] == 9
    assert {"role": "system", "content": "Be brief."} in body["messages"]
    sent = [request.json["messages"][1] for request in emulator.requests[-2:]]
    assert sorted(sent, key=len) == [messages[1][0], messages[0][0]]  # Arrow has given the second a name that is null


def test_answers_that_fail_are_named(emulator: Emulator, client: Together) -> None:
    emulator.inject(Fault("429", times=1))
    table = answerer(client, max_concurrency=1)(pa.table({"prompt": ["a", None, "c"]}))
    errors = table.column("answer_error").to_pylist()
    assert errors[0].startswith("RateLimitError: ")
    assert errors[1] == "TypeError: a text or a list of messages was expected, not None"
    assert errors[2] is None
    assert table.column("answer").to_pylist()[2]


def test_rankings(client: Together) -> None:
    documents = ["Llamas eat grass.", "The break statement ends a loop.", "Snow is cold."]
    ranked = RankingColumn(model=RANKER, client=client, top_n=2)
    table = ranked(pa.table({"query": ["How do I end a loop?", "x"], "documents": [documents, None]}))
    rankings = table.column("ranking").to_pylist()
    expected = client.rerank.create(model=RANKER, query="How do I end a loop?", documents=documents, top_n=2)
    assert rankings[0] == [{"index": each.index, "score": each.relevance_score} for each in expected.results]
    assert rankings[0][0]["index"] == 1
    assert rankings[1] is None
    assert "a list of documents was expected" in table.column("ranking_error").to_pylist()[1]


def test_a_table_that_was_finished_is_not_asked_again(emulator: Emulator, client: Together, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    table = pa.table({"prompt": [f"question {number}" for number in range(10)]})
    emulator.inject(Fault("500", times=3))
    first = answerer(client, checkpoint=folder, max_concurrency=1)(table)
    assert first.column("answer_error").null_count == 7
    emulator.clear()
    second = answerer(client, checkpoint=folder, max_concurrency=1)(table)
    assert len(emulator.requests) == 3  # the rows that failed
    assert second.column("answer_error").null_count == 10
    assert second.column("answer").to_pylist()[3:] == first.column("answer").to_pylist()[3:]
    emulator.clear()
    assert answerer(client, checkpoint=folder)(table) == second
    assert not emulator.requests
    for other in ({"system": "x"}, {"params": {"seed": 1}}, {"model": "other/model"}):
        emulator.clear()
        answerer(client, checkpoint=folder, **other)(table)
        assert len(emulator.requests) == 10


@pytest.mark.parametrize("kind", [EmbeddingColumn, AnswerColumn, RankingColumn])
def test_a_key_that_is_not_valid_ends_the_job(kind: type[NewColumn], emulator: Emulator) -> None:
    with Together(api_key="invalid", base_url=emulator.base_url) as client, pytest.raises(AuthenticationError):
        kind(model=CHAT, column="x", client=client)(
            pa.table({"x": [["a", "b"]] if kind is RankingColumn else ["a"], "query": ["b"]})
        )


def test_columns_that_do_not_fit(client: Together) -> None:
    with pytest.raises(ValueError, match="no column 'text', but 'other'"):
        embedder(client)(pa.table({"other": ["a"]}))
    with pytest.raises(ValueError, match=r"a column 'embedding' already: name other columns by into= and errors="):
        embedder(client)(pa.table({"text": ["a"], "embedding": [1]}))
    with pytest.raises(TypeError, match="client must be a together_adapters.Together, not str"):
        EmbeddingColumn(model=EMBEDDER, column="text", client="key")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unknown parameter 'temprature'"):
        answerer(client, params={"temprature": 0})


def test_a_key_of_the_environment_is_in_no_pickle(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    data = pickle.dumps(EmbeddingColumn(model=EMBEDDER, column="text"))
    assert KEY.encode() not in data
    copy = pickle.loads(data)
    assert copy(pa.table({"text": ["a"]})).column("embedding_error").null_count == 1
    assert emulator.requests[0].headers["authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(ConfigurationError, match="TOGETHER_API_KEY"):
        pickle.loads(data)


def test_a_model_that_does_not_exist_ends_all(emulator: Emulator, client: Together) -> None:
    with emulator.behave(any_model=False), pytest.raises(ModelNotFoundError, match="no/model"):
        answerer(client, model="no/model")(pa.table({"prompt": ["a"] * 100}))
    assert len(emulator.requests) <= 32


def test_what_was_paid_before_the_credit_ended_is_kept(emulator: Emulator, client: Together, tmp_path: Path) -> None:
    asked = answerer(client, max_concurrency=1, checkpoint=tmp_path)
    emulator.reply(lambda body: emulator.inject("402") or "yes" if body["messages"][-1]["content"] == "b" else "yes")
    table = pa.table({"prompt": list("abcd")})
    with pytest.raises(PaymentRequiredError):
        asked(table)
    assert len(emulator.requests) == 3
    assert asked(table).column("answer_error").null_count == 4 and len(emulator.requests) == 5
