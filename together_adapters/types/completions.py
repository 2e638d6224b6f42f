"""Completions of a plain prompt. Chunks have both `text` and `delta.content`."""

from typing import Annotated, Any, Required

from together_adapters.types.chat import ChatDelta
from together_adapters.types.logprobs import TokenLogprobs
from together_adapters.types.requests import SamplingParams
from together_adapters.types.response import ResponseModel, Usage


class CompletionParams(SamplingParams, total=False):
    """Parameters of `completions.create`, besides those of `SamplingParams`."""

    model: Required[Annotated[str, "The model's name."]]
    prompt: Required[Annotated[str, "The text to complete."]]
    suffix: Annotated[str | None, "The text after the completion, for models that fill in the middle."]


class CompletionChoice(ResponseModel):
    """One of the requested completions."""

    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: TokenLogprobs | None = None
    seed: int | float | None = None


class Completion(ResponseModel):
    """The response to a completion request."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[CompletionChoice] = []
    prompt: Any = None
    usage: Usage | None = None


class CompletionChunkChoice(ResponseModel):
    """The part of one completion in a chunk."""

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
