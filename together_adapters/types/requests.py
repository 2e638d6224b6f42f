"""Parameters that several requests share: the options of every request, and sampling."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import httpx


class ExtraOptions(TypedDict, total=False):
    """Additions to a request; see `RequestOptions`."""

    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None


class RequestOptions(ExtraOptions, total=False):
    """Options of every call.

    Attributes:
        extra_body: JSON fields that this library does not know yet, or that replace its own.
        extra_headers: Headers for this call.
        extra_query: Query parameters for this call.
        timeout: Seconds, or an `httpx.Timeout`, for each attempt of this call.
    """

    timeout: float | httpx.Timeout | None


class SamplingParams(RequestOptions, total=False):
    """Parameters of sampling. Those that are not passed are not sent, so the defaults of the service apply.

    Attributes:
        max_tokens: Maximum number of tokens to generate.
        stop: Texts at which generation stops.
        temperature: Randomness of sampling, from 0.
        top_p: Cumulative probability of the tokens to sample from, 0 to 1.
        top_k: Number of tokens to sample from.
        min_p: Minimum probability of a token relative to the most likely one, 0 to 1.
        repetition_penalty: Values above 1 reduce repetition.
        presence_penalty: -2 to 2; values above 0 favour new topics.
        frequency_penalty: -2 to 2; values above 0 reduce frequent tokens.
        logit_bias: Token ids (as strings) with a bias of -100 to 100.
        seed: Seed for reproducible sampling.
        n: Number of completions, 1 to 128; a stream has only one.
        stream_options: `{"include_usage": True}` adds usage to a stream.
        logprobs: Classic models take a number from 0 to 20, newer ones True with `top_logprobs`.
        top_logprobs: Number of alternatives for each token.
        echo: Whether to return the prompt, too.
        safety_model: A moderation model that checks the response.
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


def attribute_docs(*params: type) -> dict[str, str]:
    """Returns the descriptions of the keys of TypedDicts, from the `Attributes` sections of their docstrings."""
    sections = [inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2] for kind in params]
    entries = [entry for section in sections for entry in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)]
    return {name: " ".join(text.split()) for name, text in entries}
