"""The base of every answer: unknown fields are kept, missing ones are None, new enum values pass."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """An answer of the service, as it came.

    Fields that this library does not know are kept, and reachable as attributes and in `model_dump()`.
    """

    model_config = ConfigDict(
        extra="allow", protected_namespaces=(), coerce_numbers_to_str=True, defer_build=True, validate_default=False
    )


class PromptTokensDetails(Answer):
    """Where the tokens of the prompt came from."""

    cached_tokens: int | None = None


class CompletionTokensDetails(Answer):
    """What the tokens of the answer were spent on."""

    reasoning_tokens: int | None = None


class Usage(Answer):
    """Tokens that a request was billed for. Some engines nest the cached count, some give it flat."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None
