"""Which models can be fine-tuned, and within which limits. The numbers are examples, not the service's."""

from __future__ import annotations

import re
from typing import Any, Final

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.store.catalogue import find_model
from together_adapters.types.capabilities import MODELS

_LORA_MODULES: Final = ["k_proj", "o_proj", "q_proj", "v_proj", "up_proj", "gate_proj", "down_proj"]
_MIN_LORA_ONLY: Final = 60.0
"""Billions of weights from which on a model can only be trained with LoRA."""


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
