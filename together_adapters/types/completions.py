"""Completions of a plain prompt. `object` is `text.completion` on the wire; chunks carry both `text` and `delta.content`."""

from __future__ import annotations

from typing import Any, TypedDict

from together_adapters.types.chat import ChatDelta
from together_adapters.types.logprobs import TokenLogprobs
from together_adapters.types.response import ResponseModel, Usage
from together_adapters.types.sampling import SamplingParams


class _Prompt(TypedDict):
    model: str
    prompt: str


class CompletionParams(_Prompt, SamplingParams, total=False):
    """Parameters of `completions.create`: these, and those of `SamplingParams`.

    Attributes:
        model: The model's name.
        prompt: The text to go on from.
        suffix: The text that follows the gap, for models that fill in the middle.
    """

    suffix: str | None


class CompletionChoice(ResponseModel):
    """One of the continuations that were asked for."""

    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: TokenLogprobs | None = None
    seed: int | float | None = None


class Completion(ResponseModel):
    """The answer to a completion request."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChoice] = []
    prompt: Any = None
    usage: Usage | None = None


class CompletionChunkChoice(ResponseModel):
    """What one chunk adds to one continuation."""

    index: int | None = None
    text: str | None = None
    delta: ChatDelta | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    seed: int | float | None = None


class CompletionChunk(ResponseModel):
    """One event of a streamed completion."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChunkChoice] = []
    token: Any = None
    finish_reason: str | None = None
    usage: Usage | None = None
