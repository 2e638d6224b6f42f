"""Secrets in responses that repeat a request: masked while the response is read, so that no repr, dump or error has them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import model_validator

from together_adapters.types.response import ResponseModel

MASK: Final = "***"
_SECRET: Final = frozenset({"wandb_key", "wandb_api_key", "hf_api_token", "hf_token", "external_api_token"})


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
