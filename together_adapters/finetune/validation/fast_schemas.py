"""Schemas of valid rows for msgspec: strict ones for text only, and full ones for tools, weights, reasoning and content parts.

Benchmarks show that both pay: without the full schemas, rows with tools take three times as long; without the strict ones, plain
chats take twice as long.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

_PositiveFloat = Annotated[float, Meta(gt=0)]
_NonEmptyStr = Annotated[str, Meta(min_length=1)]
_Weight = Literal[0, 1]


class _Schema(Struct, forbid_unknown_fields=True, gc=False):
    """The base of all schemas, which inherit its options."""


class TextSystem(_Schema, tag_field="role", tag="system"):
    """A system message with text only."""

    content: str


class TextUser(_Schema, tag_field="role", tag="user"):
    """A user message with text only."""

    content: str


class TextAssistant(_Schema, tag_field="role", tag="assistant"):
    """An assistant message with text only."""

    content: str


class TextConversation(_Schema):
    """A conversation with text only, or the input of a preference."""

    messages: list[TextSystem | TextUser | TextAssistant]


class TextPart(_Schema):
    """A text part of a content. Its type is a field and no tag, since a tag could be missing where there is only one kind."""

    type: Literal["text"]
    text: str


class FunctionSchema(_Schema):
    """The function of a tool call."""

    name: _NonEmptyStr
    arguments: str


class ToolCallSchema(_Schema):
    """A tool call."""

    id: _NonEmptyStr
    type: Literal["function"]
    function: FunctionSchema


class _MessageSchema(_Schema):
    """The fields of all messages."""

    content: str | list[TextPart]
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET


class SystemSchema(_MessageSchema, tag_field="role", tag="system"):
    """A system message."""


class UserSchema(_MessageSchema, tag_field="role", tag="user"):
    """A user message."""


class AssistantSchema(_Schema, tag_field="role", tag="assistant"):
    """An assistant message."""

    content: str | list[TextPart] | UnsetType | None = UNSET
    tool_calls: list[ToolCallSchema] | UnsetType = UNSET
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class ToolSchema(_MessageSchema, tag_field="role", tag="tool", kw_only=True):
    """A tool message."""

    tool_call_id: _NonEmptyStr


class ConversationSchema(_Schema):
    """A conversation. Declarations of tools are parsed separately, once for many rows."""

    messages: list[SystemSchema | UserSchema | AssistantSchema | ToolSchema]
    weight: _PositiveFloat | UnsetType = UNSET


class OutputMessage(_Schema):
    """The message of an output of a preference, with text only."""

    role: Literal["assistant"]
    content: str


class PreferenceSchema(_Schema):
    """A preference with text only."""

    input: TextConversation
    preferred_output: tuple[OutputMessage]
    non_preferred_output: tuple[OutputMessage]


class GeneralSchema(_Schema):
    """A row of the format general."""

    text: str
    weight: _PositiveFloat | UnsetType = UNSET


class InstructionSchema(_Schema):
    """A prompt with its completion."""

    prompt: str
    completion: str
    weight: _PositiveFloat | UnsetType = UNSET
