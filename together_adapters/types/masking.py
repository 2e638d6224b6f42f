"""Answers that echo a request may echo its secrets: they are masked as they are read, so that no repr, dump or error has them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import model_validator

from together_adapters.types.response import ResponseModel

MASK: Final = "***"
_SECRET: Final = frozenset({"wandb_key", "wandb_api_key", "hf_api_token", "hf_token", "external_api_token"})


class MaskedResponse(ResponseModel):
    """An answer whose secrets are masked at any depth before anything else sees them."""

    @model_validator(mode="before")
    @classmethod
    def _mask(cls, value: Any) -> Any:
        return masked(value)


def masked(value: Any) -> Any:
    """Return a JSON value with every secret replaced; a secret that is empty or null stays."""
    if isinstance(value, dict):
        return {name: MASK if name in _SECRET and item else masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def secrets_in(value: Any) -> tuple[str, ...]:
    """Return the secrets of a request's body, at any depth."""
    if isinstance(value, dict):
        own = [str(item) for name, item in value.items() if name in _SECRET and item]
        return (*own, *(found for item in value.values() for found in secrets_in(item)))
    if isinstance(value, list | tuple):
        return tuple(found for item in value for found in secrets_in(item))
    return ()
