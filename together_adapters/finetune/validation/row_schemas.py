"""Schemas of valid rows for msgspec (extra `finetune`); their fields stand in the order in which rows are written."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

PositiveFloat = Annotated[float, Meta(gt=0)]
NonEmptyStr = Annotated[str, Meta(min_length=1)]
Weight = Literal[0, 1]


# Benchmarks show that all kinds of schemas pay: without those for tools, weights, reasoning and content parts, rows with tools
# take three times as long; without those for text and calls only, a fourth longer; without those for text only, plain chats take
# twice as long.
class _Schema(Struct, forbid_unknown_fields=True, gc=False):
    """The base of all schemas, which inherit its options."""


class TextSystem(_Schema, tag_field="role", tag="system"):
    """A system message with text only."""

    content: str


class TextUser(_Schema, tag_field="role", tag="user"):
    """A question with text only."""

    content: str


class TextAssistant(_Schema, tag_field="role", tag="assistant"):
    """An answer with text only."""

    content: str


TextMessage = TextSystem | TextUser | TextAssistant


class TextConversation(_Schema):
    """A conversation with text only."""

    messages: list[TextMessage]


class TextPart(_Schema):
    """A content part with text."""

    type: Literal["text"]  # no tag, since a tag could be missing where there is only one kind
    text: str


class Function(_Schema):
    """The function of a tool call."""

    name: NonEmptyStr
    arguments: str


class ToolCall(_Schema):
    """A tool call."""

    id: NonEmptyStr
    type: Literal["function"]
    function: Function


class CallingAssistant(_Schema, tag_field="role", tag="assistant"):
    """An answer with text or tool calls only."""

    content: str | UnsetType | None = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class TextResult(_Schema, tag_field="role", tag="tool"):
    """The result of a tool call, as text only."""

    tool_call_id: NonEmptyStr
    content: str


class CallConversation(_Schema):
    """A conversation with text and tool calls only; declarations of tools are parsed separately, once for many rows."""

    messages: list[TextSystem | TextUser | CallingAssistant | TextResult]
    tools: Raw | UnsetType = UNSET


class System(_Schema, tag_field="role", tag="system", kw_only=True):
    """A system message."""

    name: str | UnsetType = UNSET
    content: str | list[TextPart]
    weight: Weight | UnsetType = UNSET


class User(System, tag_field="role", tag="user"):
    """A question."""


class Assistant(_Schema, tag_field="role", tag="assistant"):
    """An answer."""

    name: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    content: str | list[TextPart] | UnsetType | None = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET


class Tool(_Schema, tag_field="role", tag="tool", kw_only=True):
    """The result of a tool call."""

    name: str | UnsetType = UNSET
    tool_call_id: NonEmptyStr
    content: str | list[TextPart]
    weight: Weight | UnsetType = UNSET


Message = System | User | Assistant | Tool


class Conversation(_Schema):
    """A conversation; declarations of tools are parsed separately."""

    messages: list[Message]
    tools: Raw | UnsetType = UNSET
    weight: PositiveFloat | UnsetType = UNSET


class Output(_Schema):
    """An output of a preference, with text only."""

    role: Literal["assistant"]
    content: str


class Preference(_Schema):
    """A preference with text only."""

    input: TextConversation
    preferred_output: tuple[Output]
    non_preferred_output: tuple[Output]


class General(_Schema):
    """A text."""

    text: str
    weight: PositiveFloat | UnsetType = UNSET


class Instruction(_Schema):
    """A prompt with its completion."""

    prompt: str
    completion: str
    weight: PositiveFloat | UnsetType = UNSET
