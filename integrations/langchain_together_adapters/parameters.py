"""Sampling parameters as fields, and how they become one request together with what a single call brings."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_RENAMED = {"model_name": "model", "stop_sequences": "stop", "request_timeout": "timeout"}
_OURS = frozenset({"ls_structured_output_format", "structured_output_format", "stream", "streaming"})
"""Keywords that LangChain passes along and that are no fields of a request."""
_NOT_SENT = frozenset({
    "openai_api_key", "openai_api_base", "openai_organization", "organization", "openai_proxy", "root_client", "root_async_client",
    "http_socket_options", "disabled_params", "include_response_headers", "stream_chunk_timeout", "tiktoken_model_name",
    "use_responses_api", "use_previous_response_id",
})  # fmt: skip
"""Settings of OpenAI's client, which users of `langchain-together` may have set. One of them is a secret."""


class Sampling(BaseModel):
    """What chat and completion requests have in common. What is None is not sent, so the service's own default applies.

    Every field can also be bound (`llm.bind(top_k=5)`) or given with a single call, which then wins.

    Attributes:
        temperature: Randomness of sampling, from 0.
        max_tokens: Most tokens of the answer.
        stop: Texts at which the answer ends (alias `stop_sequences`).
        n: Number of answers, 1 to 128; above 1 it does not go with streaming.
        top_p: Share of probability that sampling considers, 0 to 1.
        top_k: Number of tokens that sampling considers.
        min_p: Least probability, relative to the likeliest token, 0 to 1.
        repetition_penalty: Above 1 discourages repetition.
        presence_penalty: From -2 to 2; above 0 encourages new topics.
        frequency_penalty: From -2 to 2; above 0 discourages frequent words.
        logit_bias: From token id (as a string) to a bias of -100 to 100.
        seed: For repeatable sampling.
        logprobs: Classic models take a number from 0 to 20, newer ones True with `top_logprobs`.
        top_logprobs: Alternatives for each token.
        echo: Whether the prompt comes back too.
        safety_model: A moderation model that checks the answer.
        response_format: `{"type": "json_schema", ...}`, `{"type": "json_object"}` or `{"type": "regex", "pattern": ...}`.
        context_length_exceeded_behavior: `error`, or `truncate` to lower `max_tokens` until it fits.
        compliance: `hipaa`, where agreed.
        model_kwargs: Further parameters of the request. Keywords that the class does not know end up here, with a warning.
        extra_body: JSON fields of the request that this library does not know yet, or that replace its own.
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
    def _move_unknown(cls, values: Any) -> Any:
        """Move keywords that are no fields to `model_kwargs`, as LangChain's users expect."""
        if not isinstance(values, dict):
            return values
        known = _names_of(cls)
        unknown = {name: value for name, value in values.items() if name not in known}
        if not unknown:
            return values
        kept = {name: value for name, value in values.items() if name in known}
        if foreign := unknown.keys() & _NOT_SENT:
            listed = ", ".join(sorted(foreign))
            warnings.warn(f"{cls.__name__} has no field {listed}, which has no effect here", UserWarning, stacklevel=2)
            unknown = {name: value for name, value in unknown.items() if name not in foreign}
        if not unknown:
            return kept
        listed = ", ".join(sorted(unknown))
        message = f"{cls.__name__} has no field {listed}: sent with every request, as model_kwargs"
        warnings.warn(message, UserWarning, stacklevel=2)
        return {**kept, "model_kwargs": {**unknown, **(kept.get("model_kwargs") or {})}}

    @model_validator(mode="after")
    def _one_answer_when_streaming(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            raise ValueError("n > 1 does not go with streaming=True")
        return self

    def _sampling(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The parameters that are set."""
        fields = self.__dict__
        return {name: fields[name] for name in names if fields[name] is not None}


def _names_of(kind: type[BaseModel]) -> frozenset[str]:
    """Every name under which the fields of a class can be given. Kept on the class, because there are many."""
    if "__given_names__" not in kind.__dict__:
        aliases = {str(field.validation_alias) for field in kind.model_fields.values() if field.validation_alias}
        kind.__given_names__ = frozenset({*kind.model_fields, *aliases, "request_timeout"})  # type: ignore[attr-defined]
    names: frozenset[str] = kind.__given_names__  # type: ignore[attr-defined]
    return names


def request_params(
    defaults: Mapping[str, Any],
    model_kwargs: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    given: Mapping[str, Any],
    stop: Any,
    known: frozenset[str],
) -> dict[str, Any]:
    """Put together the parameters of one request: the adapter's own, then those of the call, which win.

    Args:
        defaults: The adapter's parameters that are set.
        model_kwargs: Its further parameters.
        extra_body: Its extra fields, which win over what is named the same but for what the call brings.
        given: What the call brings.
        stop: The call's stop texts, which LangChain passes apart.
        known: Names that the request has; others travel in `extra_body`.
    """
    call = {_RENAMED.get(name, name): value for name, value in given.items() if name not in _OURS}
    if stop is not None:
        call["stop"] = stop
    own_extra = call.pop("extra_body", None)
    params = {**defaults, **model_kwargs, **call}
    extra = {name: params.pop(name) for name in params.keys() - known}
    if extra_body:
        extra.update({name: value for name, value in extra_body.items() if name not in call})
    if own_extra:
        extra.update(own_extra)
    if extra:
        params["extra_body"] = {name: value for name, value in extra.items() if value is not None}
    return params


def sum_usage(outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Combine the outputs of a batch: usage summed, the model of the first that names one."""
    usage: dict[str, Any] = {}
    combined: dict[str, Any] = {}
    for output in filter(None, outputs):
        usage = added(usage, output.get("token_usage") or {})
        if output.get("model_name"):
            combined.setdefault("model_name", output["model_name"])
    return {"token_usage": usage, **combined}


def added(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Add counts, also nested ones; what is no count is kept as it came first."""
    total = dict(left)
    for name, value in right.items():
        before = total.get(name)
        if isinstance(value, Mapping):
            total[name] = added(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, int | float) and isinstance(before, int | float):
            total[name] = before + value
        elif before is None:
            total[name] = value
    return total
