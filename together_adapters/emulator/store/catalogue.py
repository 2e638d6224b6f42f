"""The models of the service: which of them a request may name, and example prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from together_adapters.emulator.errors import bad_request, model_not_available
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities

OWNER: Final = "emulated-user"
_PRICES: Final = {"chat": 0.88, "language": 0.6, "embedding": 0.02, "rerank": 0.1}


def find_model(body: Mapping[str, Any]) -> tuple[str, Capabilities]:
    """Returns the model that a request names, with its capabilities.

    A model that is not in the table is served too, unless its name says that it does not exist.
    """
    model = body.get("model")
    if model is None or model == "":
        raise bad_request("model is required.", param="model")
    if not isinstance(model, str):
        raise bad_request("Invalid JSON data: model must be a string.", param="model")
    if model in MODELS:
        return model, MODELS[model]
    if "/" not in model or "unknown" in model.lower() or "does-not-exist" in model.lower():
        raise model_not_available(model)
    return model, capabilities(model)


def find_media_model(body: Mapping[str, Any], noun: str) -> str:
    """Returns the model that a request for images, audio or video names: any model that is not a text model."""
    model, _ = find_model(body)
    if model in MODELS:
        raise bad_request(f"{model} is not {noun}.", param="model")
    return model


def price_of(facts: Capabilities) -> float:
    """Returns US dollars per million tokens: an example, not the service's price."""
    return _PRICES[facts.type]
