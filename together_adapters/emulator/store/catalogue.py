"""The models of the service: which of them a request may name, and examples of prices and of the limits of fine-tuning."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from together_adapters.emulator.errors import bad_request, model_not_available
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities

OWNER: Final = "emulated-user"
FACTS: Final = tomllib.loads(Path(__file__).with_name("facts.toml").read_text("utf-8"))
_MIN_LORA_ONLY: Final = 60.0  # billions of weights from which on a model can only be trained with LoRA


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
    return float(FACTS["prices"][facts.type])


def limits_of(model: str) -> dict[str, Any]:
    """Returns the limits of a model; raises `ApiError` if it does not exist, or cannot be fine-tuned."""
    name, facts = find_model({"model": model})
    if facts.type in ("embedding", "rerank"):
        raise bad_request(f"The model {name} cannot be fine-tuned; it is a model for {facts.type}s.", param="model_name")
    is_full = billions(name) < _MIN_LORA_ONLY
    limits = FACTS["fine_tuning"]
    return {
        "model_name": name,
        **limits,
        "full_training": limits["full_training"] if is_full else None,
        "supports_vision": facts.vision,
        "supports_tools": facts.tools,
        "supports_reasoning": facts.reasoning is not None,
        "supports_full_training": is_full,
    }


def billions(model: str) -> float:
    """Returns how many billions of weights a model has, as its name says; 0 where it does not."""
    return max(map(float, re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())), default=0.0)


def trainable_models() -> list[str]:
    """Returns the names of the models that can be fine-tuned."""
    return sorted(name for name, facts in MODELS.items() if facts.type in ("chat", "language"))
