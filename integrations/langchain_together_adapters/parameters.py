"""Sampling parameters as fields. `language_model` merges them with those of a call."""

from __future__ import annotations

import warnings
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_OPENAI_SETTINGS = frozenset({
    "openai_api_key", "openai_api_base", "openai_organization", "organization", "openai_proxy", "root_client", "root_async_client",
    "http_socket_options", "disabled_params", "include_response_headers", "stream_chunk_timeout", "tiktoken_model_name",
    "use_responses_api", "use_previous_response_id",
})  # fmt: skip
"""Settings of OpenAI's client, which users of `langchain-together` may have set, and which are never sent. One is a secret."""


class Sampling(BaseModel):
    """The parameters that chat and completion requests share. Those that are None are not sent, so the service's defaults apply.

    Every field can also be bound (`llm.bind(top_k=5)`) or passed with a single call, which takes precedence.

    Attributes:
        temperature: Randomness of sampling, from 0.
        max_tokens: Maximum number of tokens of the response.
        stop: Texts at which the response ends (alias `stop_sequences`).
        n: Number of choices, 1 to 128; more than 1 cannot be streamed.
        top_p: Share of probability that sampling considers, 0 to 1.
        top_k: Number of tokens that sampling considers.
        min_p: Minimum probability, relative to the likeliest token, 0 to 1.
        repetition_penalty: Above 1 discourages repetition.
        presence_penalty: From -2 to 2; above 0 encourages new topics.
        frequency_penalty: From -2 to 2; above 0 discourages frequent words.
        logit_bias: From token id (as a string) to a bias of -100 to 100.
        seed: For repeatable sampling.
        logprobs: Classic models take a number from 0 to 20, newer ones True with `top_logprobs`.
        top_logprobs: Alternatives for each token.
        echo: Whether the prompt is returned as well.
        safety_model: A moderation model that checks the response.
        response_format: `{"type": "json_schema", ...}`, `{"type": "json_object"}` or `{"type": "regex", "pattern": ...}`.
        context_length_exceeded_behavior: `error`, or `truncate` to lower `max_tokens` until it fits.
        compliance: `hipaa`, for accounts with such an agreement.
        model_kwargs: Further parameters of the request. Unknown keywords of the constructor are moved here, with a warning.
        extra_body: Further JSON fields of the request; they override the parameters.
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())

    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = Field(default=None, validation_alias="stop_sequences")
    n: int | None = Field(default=None, ge=1)
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    echo: bool | None = None
    safety_model: str | None = None
    response_format: Any = None
    context_length_exceeded_behavior: str | None = None
    compliance: str | None = None
    streaming: bool = False
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    extra_body: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _move_extra_to_model_kwargs(cls, values: Any) -> Any:
        """Move keywords that are no fields to `model_kwargs`, as users of LangChain expect."""
        if not isinstance(values, dict):
            return values
        names = _names_of(cls)
        extra = {name: value for name, value in values.items() if name not in names}
        if not extra:
            return values
        fields = {name: value for name, value in values.items() if name in names}
        if openai_settings := extra.keys() & _OPENAI_SETTINGS:
            listing = ", ".join(sorted(openai_settings))
            warnings.warn(f"{cls.__name__} has no field {listing}, which has no effect here", UserWarning, stacklevel=2)
            extra = {name: value for name, value in extra.items() if name not in openai_settings}
        if not extra:
            return fields
        message = f"{cls.__name__} has no field {', '.join(sorted(extra))}: sent with every request, as model_kwargs"
        warnings.warn(message, UserWarning, stacklevel=2)
        return {**fields, "model_kwargs": {**extra, **(fields.get("model_kwargs") or {})}}

    @model_validator(mode="after")
    def _reject_n_with_streaming(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            raise ValueError("n > 1 does not go with streaming=True")
        return self


def _names_of(cls: type[BaseModel]) -> frozenset[str]:
    """Return the names and aliases of the fields of a class, cached on the class."""
    if "__field_names__" not in cls.__dict__:
        aliases = {str(field.validation_alias) for field in cls.model_fields.values() if field.validation_alias}
        cls.__field_names__ = frozenset({*cls.model_fields, *aliases, "request_timeout"})  # type: ignore[attr-defined]
    names: frozenset[str] = cls.__field_names__  # type: ignore[attr-defined]
    return names
