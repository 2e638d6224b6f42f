"""The models of the service: which exist, which it serves today, their prices, and examples of the limits of fine-tuning."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from together_adapters.emulator.errors import (
    ApiError,
    bad_request,
    data_sharing_blocked,
    model_not_available,
    model_not_serverless,
)
from together_adapters.types.capabilities import (
    DEFAULT_CHAT_MODEL,
    DEFAULT_EMBEDDING_MODEL,
    MODELS,
    Capabilities,
    ModelType,
    Prices,
    capabilities,
    nearest_names,
)

OWNER: Final = "emulated-user"
MODEL_TYPES: Final[tuple[ModelType, ...]] = get_args(ModelType)
FACTS: Final = tomllib.loads(Path(__file__).with_name("facts.toml").read_text("utf-8"))
MediaKind = Literal["image", "video", "speech", "transcription"]
ModelKind = ModelType | MediaKind
ALL_KINDS: Final[tuple[ModelKind, ...]] = (*get_args(ModelType), *get_args(MediaKind))
MEDIA_MODELS: Final[dict[str, MediaKind]] = {name: kind for kind, names in FACTS["media"].items() for name in names}
TUNABLE: Final[frozenset[str]] = frozenset(FACTS["tunable"]["models"])
_EXAMPLES: Final[dict[str, str]] = {
    "chat": DEFAULT_CHAT_MODEL,
    "embedding": DEFAULT_EMBEDDING_MODEL,
    **{kind: names[0] for kind, names in FACTS["media"].items()},
}
_MIN_LORA_ONLY: Final = 60.0  # billions of weights from which on a model can only be trained with LoRA


ModelFacts = Mapping[str, Any]
"""A model that the table does not have: its `id`, and fields of `Capabilities`, `prices` as a mapping."""
NamedModels = Iterable[str | ModelFacts] | Mapping[str, str | ModelFacts | None]


def named_models(models: NamedModels) -> dict[str, Capabilities]:
    """Returns the models that whoever starts the emulator names; what is not said of one is as in the table, or else the default.

    Args:
        models: Names, `name=type`, or facts with an `id`; or types or facts by name.

    Raises:
        ValueError: A type is not one of the table's, a fact is unknown, or an `id` is missing.
    """
    named: dict[str, Capabilities] = {}
    if isinstance(models, Mapping):
        for name, facts in models.items():
            named[str(name)] = _named(str(name), {"type": facts} if isinstance(facts, str) else facts or {})
        return named
    for entry in [models] if isinstance(models, str) else models:
        if isinstance(entry, str):
            name, _, type = entry.partition("=")
            named[name] = _named(name, {"type": type} if type else {})
        elif isinstance(entry.get("id"), str):
            named[entry["id"]] = _named(entry["id"], {key: value for key, value in entry.items() if key != "id"})
        else:
            raise ValueError(f"a model is a name, or a dict with an id: {dict(entry)}")
    return named


def _named(name: str, facts: ModelFacts) -> Capabilities:
    if facts.get("type", "chat") not in MODEL_TYPES:
        raise ValueError(f"the model {name} has the type {facts['type']!r}, which is none of {', '.join(MODEL_TYPES)}")
    if unknown := sorted(facts.keys() - Capabilities.__dataclass_fields__.keys()):
        raise ValueError(f"the model {name} has no {unknown[0]!r}: known are {', '.join(Capabilities.__dataclass_fields__)}")
    prices = {"prices": Prices(**facts["prices"])} if isinstance(facts.get("prices"), Mapping) else {}
    return replace(capabilities(name), **{**facts, **prices})


def model_name(body: Mapping[str, Any]) -> str:
    """Returns the name of the model in a request."""
    model = body.get("model")
    if model is None or model == "":
        raise bad_request("model is required.", param="model")
    if not isinstance(model, str):
        raise bad_request("Invalid JSON data: model must be a string.", param="model")
    return model


def kind_of(model: str) -> ModelKind | None:
    """Returns what a model of the service is for; None if there is no model of this name, whether served or not."""
    if model in MODELS:
        return MODELS[model].type
    return MEDIA_MODELS.get(model) or ("chat" if model in TUNABLE else None)


def models_of(kinds: Iterable[ModelKind]) -> list[str]:
    """Returns the names of the models of some kinds, one that is a good example first."""
    kinds = tuple(kinds)
    names = [name for name in (*MODELS, *MEDIA_MODELS, *sorted(TUNABLE - MODELS.keys())) if kind_of(name) in kinds]
    examples = [_EXAMPLES[kind] for kind in kinds if kind in _EXAMPLES]
    return list(dict.fromkeys([*examples, *names]))


def a_model(kind: ModelKind) -> str:
    """Returns the kind in words, such as `an image model`."""
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind} model"


def refusal_of_today(model: str) -> tuple[ApiError, str] | None:
    """Returns what the service of today answers instead of serving a model, and what the model is; None if it serves it."""
    facts = MODELS.get(model)
    if facts is None:
        if model in TUNABLE:
            return model_not_serverless(model), "chat model without a dedicated endpoint"
        return model_not_available(model), "unknown model"
    if facts.is_removed:
        return model_not_available(model), f"removed {facts.type} model"
    if not facts.is_served:
        return model_not_serverless(model), f"{facts.type} model without a dedicated endpoint"
    if facts.needs_data_sharing:
        return data_sharing_blocked(model), "model of a third party"
    return None


def serverless_models(named: Mapping[str, Capabilities] | None) -> list[str]:
    """Returns the names of the models that need no endpoint: those that were named, or those of the service of today."""
    return [name for name, facts in MODELS.items() if facts.is_served] if named is None else list(named)


def prices_of(facts: Capabilities) -> dict[str, float]:
    """Returns US dollars per million tokens: those of the table, and examples where it has none. Cached input is then no cheaper."""
    prices, example = facts.prices, float(FACTS["prices"][facts.type])
    input = example if prices.input is None else prices.input
    return {
        "input": input,
        "output": example if prices.output is None else prices.output,
        "cached_input": input if prices.cached_input is None else prices.cached_input,
    }


def limits_of(name: str) -> dict[str, Any]:
    """Returns the limits of a model; raises `ApiError` for a model of the service that cannot be fine-tuned."""
    facts, kind = capabilities(name), kind_of(name)
    if kind is not None and name not in TUNABLE:
        names = (nearest_names(name, TUNABLE, with_removed=True) if kind == "chat" else []) or trainable_models()[:3]
        reason = "" if kind == "chat" else f": it is {a_model(kind)}"
        raise bad_request(
            f"The model {name} cannot be fine-tuned{reason}. Models that can are {', '.join(names)}.",
            param="model_name",
        )
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
    """Returns the names of the models that can be fine-tuned, those of the table first."""
    return sorted(TUNABLE, key=lambda name: (name not in MODELS, name))


def judges() -> list[str]:
    """Returns the names of the models that can answer and judge in evaluations."""
    return sorted(name for name, facts in MODELS.items() if facts.type in ("chat", "language"))
