"""How an answer is sampled: the parameters that chat and plain completions share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from together_adapters.types.requests import RequestOptions


class SamplingParams(RequestOptions, total=False):
    """Parameters of an answer. What is not given is not sent, so the service's own defaults apply.

    Attributes:
        max_tokens: Most tokens of the answer.
        stop: Texts at which the answer ends.
        temperature: Randomness of sampling, from 0.
        top_p: Share of probability that sampling considers, 0 to 1.
        top_k: Number of tokens that sampling considers.
        min_p: Least probability, relative to the likeliest token, 0 to 1.
        repetition_penalty: Above 1 discourages repetition.
        presence_penalty: From -2 to 2; above 0 encourages new topics.
        frequency_penalty: From -2 to 2; above 0 discourages frequent words.
        logit_bias: From token id (as a string) to a bias of -100 to 100.
        seed: For repeatable sampling.
        n: Number of answers, 1 to 128. Above 1 it does not go with `stream`.
        stream_options: `{"include_usage": True}` asks for usage in a stream.
        logprobs: Classic models take a number from 0 to 20, newer ones True with `top_logprobs`.
        top_logprobs: Alternatives for each token.
        echo: Whether the prompt comes back too.
        safety_model: A moderation model that checks the answer.
        response_format: `{"type": "json_schema", ...}`, `{"type": "json_object"}` or `{"type": "regex", "pattern": ...}`.
        tools: Functions that the model may call.
        tool_choice: `auto`, `required`, `none`, or one function.
    """

    max_tokens: int | None
    stop: str | Sequence[str] | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | None
    seed: int | None
    n: int | None
    stream_options: Mapping[str, Any] | None
    logprobs: int | bool | None
    top_logprobs: int | None
    echo: bool | None
    safety_model: str | None
    response_format: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
