"""What the chat model and the completion model share: fields, identity, and the parameters of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.language_models import LangSmithParams
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from langchain_together_adapters.connection import Connection, field_errors, names_of
from together_adapters.transport.config import check_seconds
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL
from together_adapters.types.requests import RequestOptions

_ALIASES = {"model_name": "model", "stop_sequences": "stop", "request_timeout": "timeout"}
_FRAMEWORK_KEYWORDS = frozenset({"ls_structured_output_format", "structured_output_format", "stream", "streaming"})
"""Keywords of calls that LangChain passes along and that are not sent."""
CALL_SETTINGS = ("include_response_headers", "stream_chunk_timeout")
"""Fields of the chat model that are no parameters of a request, and can be passed with a call."""
READ_HEADERS = "read_headers"
"""A keyword of requests: what returns fields of the response from its headers."""
BYTES_PER_TOKEN = 4
"""An estimate, because each model has a tokenizer of its own."""
_SETTINGS_OF_OPENAI = frozenset({
    "openai_api_key", "openai_api_base", "openai_organization", "organization", "openai_proxy", "root_client", "root_async_client",
    "http_socket_options", "disabled_params", "include_response_headers", "stream_chunk_timeout", "tiktoken_model_name",
    "use_responses_api", "use_previous_response_id",
})  # fmt: skip
"""Settings of OpenAI's client, which users of `langchain-together` may have set, and which are never sent. One is a secret."""


class Sampling(BaseModel):
    """The parameters that chat and completion requests share. Those that are None are not sent, so the service's defaults apply.

    Every field can also be bound (`llm.bind(top_k=5)`) or passed with a single call, which takes precedence.
    Other keywords of a call are sent unchanged, with a warning where they are nearly a parameter.

    The parameters of the request are those of `together_adapters.types.chat.ChatParams`.

    Attributes:
        streaming: Whether `invoke` and `ainvoke` stream.
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
        extra = values.keys() - names_of(cls)
        if not extra:
            return values
        from together_adapters.adapters.keywords import suggest
        from together_adapters.transport.config import warn_user

        fields = {name: value for name, value in values.items() if name not in extra}
        if openai_settings := extra & _SETTINGS_OF_OPENAI:
            listing = ", ".join(sorted(openai_settings))
            warn_user(f"{cls.__name__} has no field {listing}, which has no effect here")
        if params := sorted(extra - openai_settings):
            listing = ", ".join(name + suggest(name, names_of(cls)) for name in params)
            warn_user(f"{cls.__name__} has no field {listing}: sent with every request, as model_kwargs")
            fields["model_kwargs"] = {name: values[name] for name in params} | (fields.get("model_kwargs") or {})
        return fields

    @model_validator(mode="after")
    def _reject_n_with_streaming(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            raise field_errors(type(self), "value_error", {"streaming": "n > 1 does not go with streaming=True"})
        return self


class LanguageModel(Connection, Sampling):
    """The base of `ChatTogether` and `Together`, which document its fields."""

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True)

    model_name: str = Field(default=DEFAULT_CHAT_MODEL, alias="model")
    stream_usage: bool = True
    stream_chunk_timeout: float | None = None

    _request_names: ClassVar[frozenset[str]]
    """The names of the parameters of a request; others are sent in `extra_body`."""

    if TYPE_CHECKING:
        custom_get_token_ids: Callable[[str], list[int]] | None = None

    @field_validator("stream_chunk_timeout")
    @classmethod
    def _check_chunk_timeout(cls, value: float | None) -> float | None:
        if value:
            check_seconds("stream_chunk_timeout", value)
        return value

    @property
    def model(self) -> str:
        """The model's name."""
        return self.model_name

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "model_name": self.model_name,
            "base_url": self._clients.config.base_url,
            "streaming": self.streaming,
            **self._sampling(),
            **self.model_kwargs,
            **({"extra_body": self.extra_body} if self.extra_body else {}),
        }

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: LangSmithParams = super()._get_ls_params(stop=stop, **kwargs)  # type: ignore[misc]
        params["ls_provider"] = "together"
        if (stops := stop or kwargs.get("stop") or self.stop) is not None:
            params["ls_stop"] = [stops] if isinstance(stops, str) else stops
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return `custom_get_token_ids(text)`, or as many numbers as the text is estimated to have tokens. Sends no request."""
        if self.custom_get_token_ids:
            return self.custom_get_token_ids(text)
        data = text.encode("utf-8", "surrogatepass")
        return [int.from_bytes(data[start : start + BYTES_PER_TOKEN]) for start in range(0, len(data), BYTES_PER_TOKEN)]

    def _sampling(self) -> dict[str, Any]:
        """Return the sampling parameters that are set."""
        fields = self.__dict__
        return {name: fields[name] for name in _sampling_fields(type(self)) if fields[name] is not None}

    def _request_params(self, stop: Any, kwargs: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the parameters of a request: fields, `model_kwargs`, `extra_body`, and those of the call, in rising precedence."""
        call = {_ALIASES.get(name, name): value for name, value in kwargs.items() if name not in _FRAMEWORK_KEYWORDS}
        if stop is not None:
            call["stop"] = stop
        usage, call_extra = call.pop("stream_usage", self.stream_usage), call.pop("extra_body", None)
        params = {"model": self.model_name, **self._sampling(), **self.model_kwargs, **call}
        extra = {name: params.pop(name) for name in params.keys() - self._request_names}
        if extra:
            from together_adapters.adapters.keywords import warn_of_typos

            warn_of_typos(extra.keys() - self.model_kwargs.keys(), self._request_names)
        if self.extra_body:
            extra.update({name: value for name, value in self.extra_body.items() if name not in call})
        if call_extra:
            extra.update(call_extra)
        if extra:
            params["extra_body"] = {name: value for name, value in extra.items() if value is not None}
        if stream and usage:
            params["stream_options"] = {"include_usage": True, **(params.get("stream_options") or {})}
        return params


@lru_cache
def _sampling_fields(cls: type[LanguageModel]) -> tuple[str, ...]:
    names = (cls._request_names - RequestOptions.__optional_keys__) | {"context_length_exceeded_behavior", "compliance"}
    return tuple(name for name in cls.model_fields if name in names)
