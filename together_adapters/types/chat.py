"""Chat completions: messages and parameters of requests, completions and chunks of responses.

The models allow for what services send: `finish_reason`, `content`, `tool_calls` and `usage` may be null; continuation
chunks of a tool call carry an index and arguments alone; `seed` exceeds 64 bits; log probabilities come in two shapes.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Required, Self, TypedDict

from pydantic import AliasChoices, Field, model_validator

from together_adapters.types.logprobs import ChunkLogprobs, LogprobEntry, TokenLogprobs
from together_adapters.types.requests import SamplingParams
from together_adapters.types.response import ResponseModel, Usage


class FunctionCall(TypedDict, total=False):
    """A function's name and its arguments as a JSON string."""

    name: Required[str]
    arguments: Required[str]


class ToolCallParam(TypedDict, total=False):
    """A tool call of an earlier turn."""

    id: Required[str]
    type: Literal["function"]
    function: Required[FunctionCall]


class MessageParam(TypedDict, total=False):
    """One message of the conversation."""

    role: Required[Annotated[Literal["system", "user", "assistant", "tool"] | str, "The author."]]
    content: Annotated[
        str | Sequence[Mapping[str, Any]] | None, "Text, or parts: `text`, `image_url`, `video_url`, `audio_url`, `input_audio`."
    ]
    name: Annotated[str, "A name for the author."]
    tool_calls: Annotated[Sequence[ToolCallParam | Mapping[str, Any]], "Tool calls of the assistant."]
    tool_call_id: Annotated[str, "The call of which a `tool` message is the result."]
    reasoning: Annotated[str, "The assistant's reasoning in an earlier turn."]
    reasoning_content: str


class ChatParams(SamplingParams, total=False):
    """Parameters of `chat.completions.create`, besides those of `SamplingParams`."""

    model: Required[Annotated[str, "The name of a model or a dedicated endpoint."]]
    messages: Required[Annotated[Sequence[MessageParam | Mapping[str, Any]], "The conversation so far."]]
    parallel_tool_calls: Annotated[bool | None, "Whether a message may have several tool calls, where the model supports it."]
    function_call: Annotated[str | Mapping[str, Any] | None, "The older name of `tool_choice`."]
    reasoning: Annotated[Mapping[str, Any] | None, '`{"enabled": bool}` for models with optional reasoning.']
    reasoning_effort: Annotated[str | None, "`low`, `medium`, `high`, or another word that the model knows."]
    chat_template_kwargs: Annotated[Mapping[str, Any] | None, "Arguments of the model's chat template."]
    context_length_exceeded_behavior: Annotated[str | None, "`error`, or `truncate` to reduce `max_tokens`."]
    compliance: Annotated[str | None, "`hipaa`, with an agreement."]


class Function(ResponseModel):
    """The function of a tool call. In a stream, `arguments` is a fragment."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(ResponseModel):
    """A tool call. In a stream, only the first fragment has id, type and name."""

    id: str | None = None
    type: str | None = None
    index: int | None = None
    function: Function | None = None


class ChatMessage(ResponseModel):
    """The assistant's message."""

    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    function_call: Function | None = None

    @property
    def thinking(self) -> str | None:
        """The reasoning, under either of its two names."""
        return self.reasoning if self.reasoning is not None else self.reasoning_content


class ChatDelta(ChatMessage):
    """The part of the message in one chunk."""

    token_id: int | None = None


class Choice(ResponseModel):
    """One of the requested completions, or its part in a chunk."""

    index: int | None = None
    text: str | None = None
    finish_reason: str | None = None
    seed: int | float | None = None


def reject_error(choice: Choice) -> None:
    """Raises a ValueError for a choice that reports an error."""
    if (choice.model_extra or {}).get("error"):
        raise ValueError("the choice reports an error")


class ChatChoice(Choice):
    """One of the requested chat completions."""

    message: ChatMessage | None = None
    logprobs: TokenLogprobs | list[LogprobEntry] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        reject_error(self)
        if self.message is None and self.text is None:
            raise ValueError("a choice must have a message or a text")
        return self


class ChatChunkChoice(Choice):
    """The part of one chat completion in a chunk. `logprobs` is a number on classic engines."""

    delta: ChatDelta = Field(default_factory=ChatDelta, validation_alias=AliasChoices("delta", "message"))
    logprobs: ChunkLogprobs = None
    top_logprobs: dict[str, float | None] | None = None


class GeneratedText(ResponseModel):
    """The response to a request for text, or one event of its stream."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    usage: Usage | None = None


class ChatCompletion(GeneratedText):
    """The response to a chat request; it has at least one choice."""

    choices: list[ChatChoice] = Field(min_length=1)
    prompt: Any = None
    system_fingerprint: str | None = None
    warnings: Any = None

    @property
    def parsed(self) -> Any:
        """The answer as an object of the class that was `response_format`; None where it was no class."""
        return None


class ChatCompletionChunk(GeneratedText):
    """One event of a stream. Usage is in the last one, or in an event without choices."""

    choices: list[ChatChunkChoice] = []


def is_plain_chunk(chunk: Any) -> bool:
    """Whether parsed JSON is a chunk that adds text alone, with the types of its model where an adapter reads it.

    Most chunks are, and pydantic takes longer to say so.
    """
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        reasoning, other_reasoning = delta.get("reasoning"), delta.get("reasoning_content")
        return (
            type(delta["content"]) is str
            and delta.get("tool_calls") is choice.get("finish_reason") is choice.get("logprobs") is chunk.get("usage") is None
            and type(choice["index"]) is int
            and type(chunk["id"]) is type(chunk["model"]) is type(choice.get("text", "")) is str
            and (reasoning is None or type(reasoning) is str)
            and (other_reasoning is None or type(other_reasoning) is str)
            and "function_call" not in delta
            and "refusal" not in delta
            and "message" not in choice
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
