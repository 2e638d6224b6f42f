"""Completions of a plain prompt. Chunks have both `text` and `delta.content`."""

from typing import Annotated, Any, Required

from together_adapters.types.chat import ChatDelta, Choice, GeneratedText
from together_adapters.types.logprobs import TokenLogprobs
from together_adapters.types.requests import SamplingParams


class CompletionParams(SamplingParams, total=False):
    """Parameters of `completions.create`, besides those of `SamplingParams`."""

    model: Required[Annotated[str, "The model's name."]]
    prompt: Required[Annotated[str, "The text to complete."]]
    suffix: Annotated[str | None, "The text after the completion, for models that fill in the middle."]


class CompletionChoice(Choice):
    """One of the requested completions."""

    logprobs: TokenLogprobs | None = None


class CompletionChunkChoice(Choice):
    """The part of one completion in a chunk."""

    delta: ChatDelta | None = None
    logprobs: Any = None


class Completion(GeneratedText):
    """The response to a completion request."""

    choices: list[CompletionChoice] = []
    prompt: Any = None


class CompletionChunk(GeneratedText):
    """One event of a streamed completion."""

    choices: list[CompletionChunkChoice] = []
    token: Any = None
    finish_reason: str | None = None
