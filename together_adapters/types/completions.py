"""Completions of a plain prompt. `object` is `text.completion` on the wire; chunks carry both `text` and `delta.content`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from together_adapters.types.answer import Answer, Usage
from together_adapters.types.chat import ChatDelta
from together_adapters.types.logprobs import TokenLogprobs
from together_adapters.types.requests import RequestOptions


class _Prompt(TypedDict):
    model: str
    prompt: str


class CompletionParams(_Prompt, RequestOptions, total=False):
    """Parameters of `completions.create`. What is not given is not sent, so the service's own defaults apply.

    Attributes:
        model: The model's name.
        prompt: The text to go on from.
        suffix: The text that follows the gap, for models that fill in the middle.

    The others mean what they mean in `ChatParams`.
    """

    suffix: str | None
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


class CompletionChoice(Answer):
    """One of the continuations that were asked for."""

    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: TokenLogprobs | None = None
    seed: int | float | None = None


class Completion(Answer):
    """The answer to a completion request."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChoice] = []
    prompt: Any = None
    usage: Usage | None = None


class CompletionChunkChoice(Answer):
    """What one chunk adds to one continuation."""

    index: int | None = None
    text: str | None = None
    delta: ChatDelta | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    seed: int | float | None = None


class CompletionChunk(Answer):
    """One event of a streamed completion."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChunkChoice] = []
    token: Any = None
    finish_reason: str | None = None
    usage: Usage | None = None
