"""The base of response models, with or without masked secrets; lists of them; and the token usage that several share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

MASK: Final = "***"
_SECRET: Final = frozenset({"wandb_key", "wandb_api_key", "hf_api_token", "hf_token", "external_api_token"})


class ResponseModel(BaseModel):
    """A response of the service, or a part of one.

    Every field may be missing or null, and enum fields accept new values. Fields that this library does not know are kept:
    they are attributes, and part of `model_dump()`.
    """

    model_config = ConfigDict(
        extra="allow", protected_namespaces=(), coerce_numbers_to_str=True, defer_build=True, validate_default=False
    )

    def to_dict(self, *, use_api_names: bool = True, exclude_unset: bool = True, **options: Any) -> dict[str, Any]:
        """Returns what the service sent, as in the `together` 3.x SDK; `options` are those of `model_dump()`."""
        return self.model_dump(by_alias=use_api_names, exclude_unset=exclude_unset, **options)

    def to_json(self, *, indent: int | None = 2, use_api_names: bool = True, exclude_unset: bool = True, **options: Any) -> str:
        """Returns what the service sent as JSON, as in the `together` 3.x SDK; `options` are those of `model_dump_json()`."""
        return self.model_dump_json(indent=indent, by_alias=use_api_names, exclude_unset=exclude_unset, **options)


def build_schemas(value: Any) -> None:
    """Builds the schemas of the models in a value: pydantic before 2.14 cannot write a model that only others contained."""
    values, visited = [value], set[int]()
    while values:
        item = values.pop()
        if id(item) in visited or isinstance(item, str | bytes):
            continue
        visited.add(id(item))
        if isinstance(item, BaseModel):
            type(item).model_rebuild()
            item = vars(item)
        if isinstance(item, Mapping | Sequence):
            values.extend(item.values() if isinstance(item, Mapping) else item)


class MaskedResponse(ResponseModel):
    """A response whose secrets are masked at any depth."""

    @model_validator(mode="before")
    @classmethod
    def _mask(cls, value: Any) -> Any:
        return mask_secrets(value)


def mask_secrets(value: Any) -> Any:
    """Returns a JSON value with every secret replaced, except empty ones and null."""
    if isinstance(value, dict):
        return {name: MASK if name in _SECRET and item else mask_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [mask_secrets(item) for item in value]
    return value


def secrets_in(value: Any) -> tuple[str, ...]:
    """Returns the secrets in a request's body, at any depth."""
    if isinstance(value, dict):
        secrets = [str(item) for name, item in value.items() if name in _SECRET and item]
        return (*secrets, *(secret for item in value.values() for secret in secrets_in(item)))
    if isinstance(value, list | tuple):
        return tuple(secret for item in value for secret in secrets_in(item))
    return ()


M = TypeVar("M", bound=ResponseModel)


class ResponseList(list[M]):
    """A plain list, as the `together` 1.x SDK returns it, with the `.data` of later SDKs."""

    @classmethod
    def parse(cls, body: Any, model: type[M], *, nullable: bool = True) -> Self:
        """Reads a JSON array, as the service sends it, or one in `data`, as gateways do; null is empty where it is allowed.

        An entry that is not valid does not hide the others: it is kept without validation.
        """
        items = body.get("data") if isinstance(body, dict) else body
        if not isinstance(items, list) and not (items is None and nullable):
            raise ValueError(f"a list was expected, not {type(items).__name__}")
        return cls(_parse_entry(item, model) for item in items or ())

    @property
    def data(self) -> list[M]:
        """The list itself."""
        return self

    def model_dump(self, **kwargs: Any) -> list[dict[str, Any]]:
        """Returns every entry as a dict."""
        return [entry.model_dump(**kwargs) for entry in self]


def _parse_entry(item: Any, model: type[M]) -> M:
    fields = item if isinstance(item, dict) else {"id": str(item)}
    for with_nulls in (True, False):
        try:
            return model.model_validate(item if with_nulls else {n: value for n, value in fields.items() if value is not None})
        except ValueError:
            continue
    return model.model_construct(None, **fields)


class PromptTokensDetails(ResponseModel):
    """Details of the prompt tokens."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionTokensDetails(ResponseModel):
    """Details of the completion tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(ResponseModel):
    """Tokens billed for a request.

    Some engines send the counts of cached and of reasoning tokens nested, some flat. A flat one that was not sent is taken from the
    details; `to_dict()` has what was sent.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    @model_validator(mode="after")
    def _fill_flat_counts(self) -> Self:
        sent, fields = self.model_fields_set, vars(self)  # an attribute that is set would count as sent
        if self.prompt_tokens_details is not None and "cached_tokens" not in sent:
            fields["cached_tokens"] = self.prompt_tokens_details.cached_tokens
        if self.completion_tokens_details is not None and "reasoning_tokens" not in sent:
            fields["reasoning_tokens"] = self.completion_tokens_details.reasoning_tokens
        return self

    @classmethod
    def sum(cls, usages: Iterable[Usage | None]) -> Usage | None:
        """Adds the tokens of several requests, without those that report none; None if no request reports any."""
        dumps = [usage.model_dump(exclude_none=True) for usage in usages if usage is not None]
        return cls.model_validate(_sum_counts(dumps)) if dumps else None


def _sum_counts(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds the numbers of objects, at any depth."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(name for count in counts for name in count):
        values = [count[name] for count in counts if name in count]
        if all(isinstance(value, dict) for value in values):
            result[name] = _sum_counts(values)
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            result[name] = sum(values)
    return result
