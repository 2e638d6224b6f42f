"""Lines of answers as they usually are, parsed only as far as they must be; needs msgspec (extra `bulk`).

What fits these types is the answer to a request: its JSON is valid, it is no error, it has content, and counts of tokens that can be.
Anything else is a DecodeError, and for `outcomes.read_line` to understand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct
from msgspec.json import Decoder

from together_adapters.bulk.outcomes import COMPLETIONS, EMBEDDINGS
from together_adapters.control.estimates import MAX_COUNT
from together_adapters.control.prices import Tokens
from together_adapters.resources.batches import CHAT

__all__ = ["DecodeError", "lines_decoder", "tokens_of"]

_Count = Annotated[int, Meta(ge=0, lt=MAX_COUNT)]


class _PromptDetails(Struct, gc=False):
    cached_tokens: _Count = 0


class _CompletionDetails(Struct, gc=False):
    reasoning_tokens: _Count = 0


class _Usage(Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count = 0
    cached_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Message(Struct, gc=False):
    content: str | None = None


class _ChatChoice(Struct, gc=False):
    message: _Message


class _TextChoice(Struct, gc=False):
    text: str


class _Chat(Struct, gc=False):
    choices: Annotated[list[_ChatChoice], Meta(min_length=1)]
    usage: _Usage
    error: None = None


class _Completion(Struct, gc=False):
    choices: Annotated[list[_TextChoice], Meta(min_length=1)]
    usage: _Usage
    error: None = None


class _Embeddings(Struct, gc=False):
    data: Annotated[list[Raw], Meta(min_length=1)]
    usage: _Usage
    error: None = None


B = TypeVar("B")


class _Response(Struct, Generic[B], gc=False):
    body: B
    status_code: Literal[200] = 200


class _Line(Struct, Generic[B], gc=False):
    custom_id: str
    response: _Response[B]
    error: None = None


def tokens_of(answers: list[Any]) -> Tokens:
    """Returns the tokens of parsed lines; nested counts count over flat ones."""
    tokens = Tokens()
    for answer in answers:
        usage: _Usage = answer.response.body.usage
        tokens.input += usage.prompt_tokens
        tokens.output += usage.completion_tokens
        if (prompt := usage.prompt_tokens_details) is not None:
            tokens.cached += prompt.cached_tokens
        elif usage.cached_tokens:
            tokens.cached += usage.cached_tokens
        if (completion := usage.completion_tokens_details) is not None:
            tokens.reasoning += completion.reasoning_tokens
        elif usage.reasoning_tokens:
            tokens.reasoning += usage.reasoning_tokens
    return tokens


_LINES: Final[Mapping[str, Any]] = {CHAT: _Line[_Chat], COMPLETIONS: _Line[_Completion], EMBEDDINGS: _Line[_Embeddings]}


def lines_decoder(endpoint: str) -> Callable[[bytes], list[Any]] | None:
    """Returns a function that parses lines of an endpoint's answers; None for an endpoint whose answers have no type here."""
    line = _LINES.get(endpoint)
    return None if line is None else Decoder(line).decode_lines
