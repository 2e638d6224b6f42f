"""What good rows look like, as types: narrow ones for plain texts, wide ones for tools, weights, reasoning and parts."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

_Positive = Annotated[float, Meta(gt=0)]
_Named = Annotated[str, Meta(min_length=1)]
_Weight = Literal[0, 1]


class System(Struct, tag_field="role", tag="system", forbid_unknown_fields=True, gc=False):
    """An instruction."""

    content: str


class User(Struct, tag_field="role", tag="user", forbid_unknown_fields=True, gc=False):
    """A question."""

    content: str


class Assistant(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True, gc=False):
    """An answer."""

    content: str


class Talk(Struct, forbid_unknown_fields=True, gc=False):
    """A conversation of texts alone."""

    messages: list[System | User | Assistant]


class TextPart(Struct, forbid_unknown_fields=True, gc=False):
    """A part of a content. A tag could be missing, since there is no other kind of part; a field cannot."""

    type: Literal["text"]
    text: str


class Function(Struct, forbid_unknown_fields=True, gc=False):
    """What is called."""

    name: _Named
    arguments: str


class Call(Struct, forbid_unknown_fields=True, gc=False):
    """A call of a tool."""

    id: _Named
    type: Literal["function"]
    function: Function


class WideSystem(Struct, tag_field="role", tag="system", forbid_unknown_fields=True, gc=False):
    """An instruction, with all that it may have."""

    content: str | list[TextPart]
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET


class WideUser(Struct, tag_field="role", tag="user", forbid_unknown_fields=True, gc=False):
    """A question, with all that it may have."""

    content: str | list[TextPart]
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET


class WideAnswer(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True, gc=False):
    """An answer, with all that it may have."""

    content: str | list[TextPart] | UnsetType | None = UNSET
    tool_calls: list[Call] | UnsetType = UNSET
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class Result(Struct, tag_field="role", tag="tool", forbid_unknown_fields=True, gc=False):
    """What a tool gave."""

    content: str | list[TextPart]
    tool_call_id: _Named
    weight: _Weight | UnsetType = UNSET
    name: str | UnsetType = UNSET


class Conversation(Struct, forbid_unknown_fields=True, gc=False):
    """A conversation with all that messages may have. Declarations of tools are read apart, once for many rows."""

    messages: list[WideSystem | WideUser | WideAnswer | Result]
    weight: _Positive | UnsetType = UNSET


class Answer(Struct, forbid_unknown_fields=True, gc=False):
    """One of the two answers of a preference."""

    role: Literal["assistant"]
    content: str


class Asked(Struct, forbid_unknown_fields=True, gc=False):
    """What both answers are to."""

    messages: list[System | User | Assistant]


class Pair(Struct, forbid_unknown_fields=True, gc=False):
    """A preference of texts alone."""

    input: Asked
    preferred_output: tuple[Answer]
    non_preferred_output: tuple[Answer]


class General(Struct, forbid_unknown_fields=True, gc=False):
    """A text."""

    text: str
    weight: _Positive | UnsetType = UNSET


class Instruction(Struct, forbid_unknown_fields=True, gc=False):
    """A prompt with its completion."""

    prompt: str
    completion: str
    weight: _Positive | UnsetType = UNSET
