"""Log probabilities of every format are converted into one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from together_adapters.types.logprobs import TokenLogprobs, content_logprobs


def entry(token: str | None, logprob: float | None, **top: float) -> dict[str, Any]:
    def with_logprobs(text: str | None, value: float | None) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": None if text is None else list(text.encode())}

    return {**with_logprobs(token, logprob), "top_logprobs": [with_logprobs(text, value) for text, value in top.items()]}


PARALLEL: dict[str, Any] = {
    "tokens": ["Hé", "llo"],
    "token_logprobs": [-0.25, -3.5],
    "top_logprobs": [{"Hé": -0.25, "he": -13.5}, {"llo": -3.5}],
}
EXPECTED = [entry("Hé", -0.25, Hé=-0.25, he=-13.5), entry("llo", -3.5, llo=-3.5)]


@pytest.mark.parametrize(
    "shape",
    [
        PARALLEL,
        {**PARALLEL, "content": None},
        {**PARALLEL, "content": []},
        {**PARALLEL, "token_ids": [1, 2]},
        {"content": EXPECTED},
        {"content": EXPECTED, "tokens": None, "token_logprobs": None, "top_logprobs": None, "refusal": None},
    ],
    ids=["parallel", "null content", "empty content", "token ids", "content", "content and nulls"],
)
def test_both_formats(shape: dict[str, Any]) -> None:
    assert content_logprobs(shape) == EXPECTED
    assert content_logprobs(TokenLogprobs.model_validate(shape).model_dump()) == EXPECTED


@pytest.mark.parametrize(
    "empty", [None, {}, {"content": None}, {"tokens": []}, {"tokens": None, "token_logprobs": None}], ids=str
)
def test_nothing(empty: Any) -> None:
    assert content_logprobs(empty) == []


@pytest.mark.parametrize("number", [-0.25, 0, -1, 0.0])
def test_a_number_belongs_to_the_token_of_its_chunk(number: float) -> None:
    (result,) = content_logprobs(number, token="é", top={"é": number, "e": -2.0})
    assert result == entry("é", float(number), é=number, e=-2.0)
    assert isinstance(result["logprob"], float)
    assert content_logprobs(number, token="é") == [entry("é", float(number))]


def test_the_first_token_of_a_prompt_has_none() -> None:
    with_echo = {"tokens": ["Once", " upon"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {" upon": -0.5}]}
    assert content_logprobs(with_echo) == [entry("Once", None), entry(" upon", -0.5, **{" upon": -0.5})]


def test_arrays_of_unequal_length_lose_no_token() -> None:
    assert content_logprobs({"tokens": ["a", "b"], "token_logprobs": [-1.0]}) == [entry("a", -1.0), entry("b", None)]
    assert content_logprobs({"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0], "top_logprobs": [{"a": -1.0}]}) == [
        entry("a", -1.0, a=-1.0),
        entry("b", -2.0),
    ]


def test_a_token_that_is_null_stays_null() -> None:
    assert content_logprobs({"tokens": [None, "b"], "token_logprobs": [-1.0, -2.0]}) == [entry(None, -1.0), entry("b", -2.0)]


def test_one_dict_of_alternatives_serves_a_single_token() -> None:
    assert content_logprobs({"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": {"a": -1.0, "b": -2.0}}) == [
        entry("a", -1.0, a=-1.0, b=-2.0)
    ]


def test_half_a_character_has_bytes_too() -> None:
    (result,) = content_logprobs({"tokens": ["\ud83e"], "token_logprobs": [-1.0]})
    assert result["bytes"] == [0xED, 0xA0, 0xBE]


@pytest.mark.parametrize("top", [None, [{"a": -1.0}], [None], {"a": -1.0}, [{"a": None}]], ids=str)
def test_the_model_takes_every_format_of_alternatives(top: Any) -> None:
    request_body = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": top}
    assert TokenLogprobs.model_validate_json(json.dumps(request_body)).model_dump(exclude_unset=True) == request_body
