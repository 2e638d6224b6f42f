"""What models can be trained here, and within which limits. The numbers are examples, not the vendor's."""

from __future__ import annotations

import re
from typing import Any, Final

from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.routes.models import served
from together_adapters.types.capabilities import MODELS, Capabilities

_MODULES: Final = ["k_proj", "o_proj", "q_proj", "v_proj", "up_proj", "gate_proj", "down_proj"]
_LARGE: Final = 60.0
"""Billions of weights from which on a model can be trained with LoRA alone."""


def limits_of(model: str) -> dict[str, Any]:
    """The limits of a model.

    Raises:
        ApiError: It is not there, or cannot be trained.
    """
    name, facts = served({"model": model})
    if facts.type in ("embedding", "rerank"):
        raise bad_request(f"The model {name} cannot be fine-tuned; it is a model for {facts.type}s.", param="model_name")
    full = None if _is_large(name) else {"min_batch_size": 8, "max_batch_size": 96, "max_batch_size_dpo": 48}
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
            "target_modules": _MODULES,
        },
        **_abilities(facts),
        "supports_full_training": full is not None,
        "merge_output_lora": True,
        "min_max_seq_length": 64,
        "max_seq_length_sft": 32_768,
        "max_seq_length_dpo": 16_384,
        "default_gradient_accumulation_steps": 1,
    }


def _abilities(facts: Capabilities) -> dict[str, bool]:
    return {"supports_vision": facts.vision, "supports_tools": facts.tools, "supports_reasoning": facts.reasoning is not None}


def _is_large(model: str) -> bool:
    sizes = [float(size) for size in re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())]
    return any(size >= _LARGE for size in sizes)


def trainable() -> list[str]:
    """The models that can be trained, by name."""
    return sorted(name for name, facts in MODELS.items() if facts.type in ("chat", "language"))
