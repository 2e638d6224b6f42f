"""Completions of a plain prompt. Chunks have both `text` and `delta.content`."""

from typing import TYPE_CHECKING, Annotated, Any, Required, Self

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from together_adapters.types import old_type
from together_adapters.types.chat import ChatDelta, Choice, GeneratedText, is_plain_chunk, reject_error
from together_adapters.types.logprobs import ChunkLogprobs, LogprobEntry, TokenLogprobs
from together_adapters.types.requests import SamplingParams

if not TYPE_CHECKING:
    __getattr__ = old_type


class CompletionParams(SamplingParams, total=False):
    """Parameters of `completions.create`, besides those of `SamplingParams`."""

    model: Required[Annotated[str, "The model's name."]]
    prompt: Required[Annotated[str, "The text to complete."]]
    suffix: Annotated[str | None, "The text after the completion, for models that fill in the middle."]


class CompletionChoice(Choice):
    """One of the requested completions."""

    logprobs: TokenLogprobs | list[LogprobEntry] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        reject_error(self)
        return self


class CompletionChunkChoice(Choice):
    """The part of one completion in a chunk."""

    delta: ChatDelta | None = None
    logprobs: ChunkLogprobs = None
    top_logprobs: dict[str, float | None] | None = None


class Completion(GeneratedText):
    """The response to a completion request; it has at least one choice."""

    choices: list[CompletionChoice] = Field(min_length=1)
    prompt: Any = None


class Token(TypedDict, total=False):
    """The token of a chunk, as classic engines send it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    id: Any
    text: str | None


class CompletionChunk(GeneratedText):
    """One event of a streamed completion."""

    choices: list[CompletionChunkChoice] = []
    token: Token | None = None
    finish_reason: str | None = None


def is_plain_completion_chunk(chunk: Any) -> bool:
    """Whether parsed JSON is a chunk that adds text alone, with the types of its model where an adapter reads it."""
    try:
        (choice,) = chunk["choices"]
        return (
            type(choice["text"]) is type(chunk["id"]) is type(chunk["model"]) is str
            and choice.get("finish_reason") is choice.get("logprobs") is chunk.get("usage") is chunk.get("finish_reason") is None
            and type(choice["index"]) is int
            and ("delta" not in choice or is_plain_chunk(chunk))
            and ("token" not in chunk or type(chunk["token"]["text"]) is str)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
