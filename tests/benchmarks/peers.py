"""Other libraries for the same service, where they are installed. They are no part of the development environment."""

from __future__ import annotations

import importlib
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

DISTRIBUTIONS = ("openai", "together", "langchain-together", "llama-index-llms-together", "llama-index-embeddings-together")


def versions() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    versions: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def made(distribution: str, module: str, name: str, **options: Any) -> dict[str, Any]:
    """Return an object of a peer under the name and version it is shown by, or nothing where the peer is not installed."""
    if distribution not in versions():
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = getattr(importlib.import_module(module), name)
        return {f"{distribution} {version(distribution)}": kind(**options)}


def clients(url: str, key: str, *, asynchronous: bool = False) -> dict[str, Any]:
    """Return the clients of the two vendors, which take the same calls as ours."""
    prefix = "Async" if asynchronous else ""
    return {
        **made("openai", "openai", f"{prefix}OpenAI", base_url=url, api_key=key),
        **made("together", "together", f"{prefix}Together", base_url=url, api_key=key),
    }
