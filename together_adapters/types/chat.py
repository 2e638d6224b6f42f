"""Chat completions: messages and parameters of requests, completions and chunks of responses.

The models allow for what services send: `finish_reason`, `content`, `tool_calls` and `usage` may be null; continuation
chunks of a tool call carry an index and arguments alone; `seed` exceeds 64 bits; log probabilities come in two shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from pydantic import Field

from together_adapters.types.logprobs import TokenLogprobs
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
    """One message of the conversation.

    Attributes:
        role: The author.
        content: Text, or a list of parts (`text`, `image_url`, `video_url`, `audio_url`, `input_audio`).
        name: A name for the author.
        tool_calls: Tool calls of the assistant.
        tool_call_id: The call of which a `tool` message is the result.
        reasoning: The assistant's reasoning in an earlier turn.
    """

    role: Required[Literal["system", "user", "assistant", "tool"] | str]
    content: str | Sequence[Mapping[str, Any]] | None
    name: str
    tool_calls: Sequence[ToolCallParam | Mapping[str, Any]]
    tool_call_id: str
    reasoning: str
    reasoning_content: str


class _RequiredChatParams(TypedDict):
    model: str
    messages: Sequence[MessageParam | Mapping[str, Any]]


class ChatParams(_RequiredChatParams, SamplingParams, total=False):
    """Parameters of `chat.completions.create`, besides those of `SamplingParams`.

    Attributes:
        model: The name of a model or a dedicated endpoint.
        messages: The conversation so far.
        parallel_tool_calls: Whether a message may have several tool calls, where the model supports it.
        function_call: The older name of `tool_choice`.
        reasoning: `{"enabled": bool}` for models with optional reasoning.
        reasoning_effort: `low`, `medium` or `high`, where the model supports it.
        chat_template_kwargs: Arguments of the model's chat template.
        context_length_exceeded_behavior: `error`, or `truncate` to reduce `max_tokens`.
        compliance: `hipaa`, with an agreement.
    """

    parallel_tool_calls: bool | None
    function_call: str | Mapping[str, Any] | None
    reasoning: Mapping[str, Any] | None
    reasoning_effort: str | None
    chat_template_kwargs: Mapping[str, Any] | None
    context_length_exceeded_behavior: str | None
    compliance: str | None


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

    @property
    def thinking(self) -> str | None:
        """The reasoning, under either of its two names."""
        return self.reasoning if self.reasoning is not None else self.reasoning_content


class ChatChoice(ResponseModel):
    """One of the requested completions."""

    index: int | None = None
    message: ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: TokenLogprobs | None = None
    seed: int | float | None = None
    text: str | None = None


class ChatCompletion(ResponseModel):
    """The response to a chat request."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[ChatChoice] = []
    prompt: Any = None
    usage: Usage | None = None
    system_fingerprint: str | None = None
    warnings: Any = None


class ChatDelta(ResponseModel):
    """The part of the message in one chunk."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    token_id: int | None = None

    @property
    def thinking(self) -> str | None:
        """The part of the reasoning, under either of its two names."""
        return self.reasoning if self.reasoning is not None else self.reasoning_content


class ChatChunkChoice(ResponseModel):
    """The part of one completion in a chunk. `logprobs` is a number on classic engines."""

    index: int | None = None
    delta: ChatDelta = Field(default_factory=ChatDelta)
    finish_reason: str | None = None
    logprobs: Any = None
    seed: int | float | None = None
    text: str | None = None


class ChatCompletionChunk(ResponseModel):
    """One event of a stream. Usage is in the last one, or in an event without choices."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    choices: list[ChatChunkChoice] = []
    usage: Usage | None = None
