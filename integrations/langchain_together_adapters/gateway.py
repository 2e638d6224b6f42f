"""The LangSmith gateway, as langchain-core 1.8 has it: chat models go through it with its key, never with that of Together AI.

It is set for a context (`langsmith_gateway`), where it counts over everything that is passed, or by `LANGSMITH_GATEWAY`, where a base URL
counts over it. langchain-openai sends the provider's key to the gateway if there is no other; this library refuses that. That
`together/v1` is the path of Together AI there follows the pattern of other providers, and was not checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import SecretStr

from together_adapters.errors import ConfigurationError

try:
    from langchain_core.utils import _gateway as core
except ImportError:  # an older langchain-core
    core = None  # type: ignore[assignment]

METADATA: Final = "lc_gateway_metadata"
"""The key of what the gateway says of a request, in `generation_info`, where LangSmith's tracer reads it."""
_PATH: Final = "together/v1"
_KEY_VARIABLES: Final = ("LANGSMITH_GATEWAY_API_KEY", "LANGSMITH_API_KEY")
_KEY_PREFIX: Final = "lsv2_"


class Gateway(NamedTuple):
    """Where requests go, with which key, and with which headers beside those of the model."""

    base_url: str
    api_key: SecretStr
    headers: Mapping[str, str]


def find_gateway(base_url: str | None, api_key: SecretStr | None, *, has_url_variable: bool) -> Gateway | None:
    """Return the gateway of the context, else that of the environment; None where there is none, or a base URL counts over it.

    Raises:
        ConfigurationError: There is a gateway, but no key for it.
    """
    if core is None or not hasattr(core, "_langsmith_gateway_active"):
        return None
    if core._langsmith_gateway_active():
        config = core._resolve_gateway_config(base_url=base_url, api_key=None, provider_path=_PATH)
        return Gateway(str(config.base_url), config.api_key, core._gateway_headers())
    url = None if base_url or has_url_variable else core._resolve_gateway_base_url(_PATH)
    return Gateway(url, _environment_key(api_key), {}) if url else None


def _environment_key(api_key: SecretStr | None) -> SecretStr:
    """Return a key that is passed if it is one of LangSmith, else that of the environment."""
    if api_key and is_gateway_key(api_key):
        return api_key
    key = next(filter(None, map(os.environ.get, _KEY_VARIABLES)), None)
    if key is None:
        names = " or ".join(_KEY_VARIABLES)
        raise ConfigurationError(
            f"LANGSMITH_GATEWAY is set, but no key for it: set {names}; the key of Together AI is not sent there"
        )
    return SecretStr(key)


def merge_headers(headers: Mapping[str, str] | None, gateway: Mapping[str, str]) -> dict[str, Any]:
    """Return headers with those of the gateway, which replace others of the same name; credentials of the model are left out."""
    names = {"authorization", *map(str.lower, gateway)}
    return {**{name: value for name, value in (headers or {}).items() if name.lower() not in names}, **gateway}


def is_gateway_key(api_key: SecretStr | None) -> bool:
    """Whether a key is one of LangSmith, so that requests with it go through the gateway."""
    return api_key is not None and api_key.get_secret_value().startswith(_KEY_PREFIX)


def gateway_metadata(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what the gateway says of a request in the headers of its response, as a field of the response."""
    parse: Any = getattr(core, "_parse_gateway_metadata", None)
    header: str = getattr(core, "GATEWAY_METADATA_HEADER", "")
    metadata = parse({header: headers.get(header.lower())}) if parse else None
    return {} if metadata is None else {METADATA: metadata}
