"""Texts to embed that are equal, or longer than the model reads."""

from __future__ import annotations

from math import hypot
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import ConfigurationError, ContextLengthError, LongTextWarning, TogetherError
from together_adapters.resources.embedding_limits import plan_inputs, split_text, weighted_mean
from together_adapters.resources.rerank_prompts import estimated_tokens

MODEL = "BAAI/bge-base-en-v1.5"  # reads 512 tokens
TOO_LONG = "lazy dog " * 300  # 900 tokens by our estimate, which is not far from the limit
LONG = "The quick brown fox jumps over the lazy dog. " * 200


def sent(emulator: Emulator) -> list[str]:
    texts: list[str] = []
    for request in emulator.requests:
        if request.path == "/v1/embeddings":
            value = request.json["input"]
            texts += [value] if isinstance(value, str) else value
    return texts


def embed(flavour: Any, texts: Any, **options: Any) -> list[list[float]]:
    answer = flavour.run(flavour.client(max_retries=0).embeddings.create(model=MODEL, input=texts, **options))
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return [item.embedding for item in answer.data]


def test_equal_texts_are_sent_once(flavour: Any, emulator: Emulator) -> None:
    vectors = embed(flavour, ["b", "a", "b", "c", "a", "b"])
    assert sent(emulator) == ["b", "a", "c"]
    assert vectors == [embed(flavour, [text])[0] for text in ("b", "a", "b", "c", "a", "b")]
    vectors[0][0] = 7.0
    assert vectors[2][0] != 7.0


def test_progress_of_a_failed_call_with_equal_texts(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("500", path="/v1/embeddings", times=None))
    with pytest.raises(TogetherError) as caught:
        embed(flavour, ["a", "b", "a"], batch_size=1)
    assert list(caught.value.pending) == [0, 1, 2]
    emulator.clear()
    with emulator.behave(embedding_overflow="error"), pytest.raises(TogetherError) as caught:
        embed(flavour, ["a", "a", TOO_LONG], batch_size=1, max_concurrency=1)
    assert [item.index for item in caught.value.completed.data] == [0, 1] and list(caught.value.pending) == [2]


def test_a_text_that_is_far_too_long_warns_once(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    with emulator.behave(embedding_overflow="truncate"):
        with pytest.warns(LongTextWarning) as caught:
            flavour.run(client.embeddings.create(model=MODEL, input=["short", LONG]))
        flavour.run(client.embeddings.create(model=MODEL, input=["short", LONG]))
    assert len(caught) == 1 and "input 1 is far longer" in str(caught[0].message)
    if not flavour.is_async:  # a coroutine is performed by the event loop
        assert caught[0].filename == __file__
    assert sent(emulator) == ["short", LONG] * 2


def test_a_text_that_may_fit_does_not_warn(flavour: Any, emulator: Emulator) -> None:
    embed(flavour, ["word " * 400])


def test_an_error_is_raised_before_anything_is_sent(flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ContextLengthError, match=r"input 1, 3; the longest is 1, with 9,000 characters. Nothing was sent"):
        embed(flavour, ["a", LONG, "b", LONG], long_texts="error")
    assert emulator.requests == []
    assert len(embed(flavour, ["a", "b"], long_texts="error")) == 2


def test_texts_are_truncated(flavour: Any, emulator: Emulator) -> None:
    embed(flavour, ["a", LONG], long_texts="truncate")
    first, second = sent(emulator)
    assert first == "a" and LONG.startswith(second) and 500 <= estimated_tokens(second) <= 512
    emulator.clear()
    embed(flavour, LONG, long_texts="truncate")
    assert sent(emulator) == [second]


def test_texts_are_split(flavour: Any, emulator: Emulator) -> None:
    vectors = embed(flavour, ["a", LONG, "b", LONG], long_texts="split")
    parts = sent(emulator)[1:-1]
    assert "".join(parts) == LONG and len(parts) > 4
    assert all(estimated_tokens(part) <= 512 and part.endswith(" ") for part in parts)
    assert hypot(*vectors[1]) == pytest.approx(1.0) and vectors[1] == vectors[3]
    expected = weighted_mean(embed(flavour, parts), [estimated_tokens(part) for part in parts])
    assert vectors[1] == pytest.approx(expected)
    assert vectors[0] == embed(flavour, ["a"])[0] and vectors[2] == embed(flavour, "b")[0]
    assert embed(flavour, LONG, long_texts="split")[0] == vectors[1]


def test_the_length_of_a_model_must_be_known(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    with pytest.raises(ConfigurationError, match="how long a text my/embedder reads"):
        flavour.run(client.embeddings.create(model="my/embedder", input=["a"], long_texts="split"))
    with pytest.raises(ValueError, match="long_texts must be one of"):
        flavour.run(client.embeddings.create(model=MODEL, input=["a"], long_texts="cut"))


@given(text=st.text(max_size=400), limit=st.integers(2, 40))
def test_parts_are_whole_and_short(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(estimated_tokens(part) <= limit for part in parts)


@given(
    st.lists(st.sampled_from(["a", "b", "c d " * 30, "ü" * 90]), min_size=1, max_size=12), st.sampled_from(["truncate", "split"])
)
def test_every_input_has_its_row(texts: list[str], long_texts: Any) -> None:
    plan = plan_inputs(texts, long_texts, 30)
    rows = plan.rows([{"index": index, "embedding": [float(len(text)), 1.0]} for index, text in enumerate(plan.texts)])
    assert [row["index"] for row in rows] == list(range(len(texts)))
    assert {texts[plan.indices(index)[0]] for index in range(len(plan.texts))} == set(texts)
    assert plan.rows([]) == []


def test_vectors_that_cancel_each_other_out() -> None:
    assert weighted_mean([[1.0, 0.0], [-1.0, 0.0]], [1, 1]) == [1.0, 0.0]
