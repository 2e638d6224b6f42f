"""The models of the service: which of them a request may name, and examples of prices and of the limits of fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from together_adapters.emulator.errors import bad_request, model_not_available
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities

OWNER: Final = "emulated-user"
_PRICES: Final = {"chat": 0.88, "language": 0.6, "embedding": 0.02, "rerank": 0.1}
_LORA_MODULES: Final = ["k_proj", "o_proj", "q_proj", "v_proj", "up_proj", "gate_proj", "down_proj"]
_MIN_LORA_ONLY: Final = 60.0
"""Billions of weights from which on a model can only be trained with LoRA."""


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


def limits_of(model: str) -> dict[str, Any]:
    """Returns the limits of a model; raises `ApiError` if it does not exist, or cannot be fine-tuned."""
    name, facts = find_model({"model": model})
    if facts.type in ("embedding", "rerank"):
        raise bad_request(f"The model {name} cannot be fine-tuned; it is a model for {facts.type}s.", param="model_name")
    full = None if _billions(name) >= _MIN_LORA_ONLY else {"min_batch_size": 8, "max_batch_size": 96, "max_batch_size_dpo": 48}
    return {
        "model_name": name,
        "max_num_epochs": 20,
        "max_num_evals": 100,
        "max_num_checkpoints": 10,
        "min_learning_rate": 1e-8,
        "max_learning_rate": 0.1,
        "full_training": full,
        "lora_training": {
            "min_batch_size": 8,
            "max_batch_size": 128,
            "max_batch_size_dpo": 64,
            "max_rank": 64,
            "default_rank": 8,
            "target_modules": _LORA_MODULES,
        },
        "supports_vision": facts.vision,
        "supports_tools": facts.tools,
        "supports_reasoning": facts.reasoning is not None,
        "supports_full_training": full is not None,
        "merge_output_lora": True,
        "min_max_seq_length": 64,
        "max_seq_length_sft": 32_768,
        "max_seq_length_dpo": 16_384,
        "default_gradient_accumulation_steps": 1,
    }


def _billions(model: str) -> float:
    return max(map(float, re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())), default=0.0)


def trainable_models() -> list[str]:
    """Returns the names of the models that can be fine-tuned."""
    return sorted(name for name, facts in MODELS.items() if facts.type in ("chat", "language"))
