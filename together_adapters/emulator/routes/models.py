"""`GET /v1/models`, built from the capability table, and the check of model names that all routes share."""

from __future__ import annotations

from typing import Any

from together_adapters.emulator.http.errors import bad_request, model_not_available
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.store.fine_tune_job import jobs_of
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities

_PRICE_PER_MILLION = {"chat": 0.88, "language": 0.6, "embedding": 0.02, "rerank": 0.1}


def served(body: dict[str, Any]) -> tuple[str, Capabilities]:
    """Return the model that a request names, with its capabilities.

    A model that is not in the table is served too, unless its name says that it is meant to be missing.

    Raises:
        ApiError: No model is named, or it is not available.
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


def list_models(context: RequestContext) -> list[dict[str, Any]]:
    """Answer with a bare array, as the service does: the catalogue, and what was tuned here."""
    tuned = [
        _card(job.output, capabilities(job.base), "fine-tuned")
        for job in jobs_of(context).values()
        if job.status() == "completed"
    ]
    return [_card(name, facts) for name, facts in MODELS.items()] + tuned


def list_autoscaled(context: RequestContext) -> list[dict[str, Any]]:
    """Answer with the models that run on dedicated endpoints: here the rerankers, and every fourth chat model."""
    chat = [name for name, facts in MODELS.items() if facts.type == "chat"][::4]
    rerank = [name for name, facts in MODELS.items() if facts.type == "rerank"]
    return [{"name": name} for name in (*chat, *rerank)]


def price_of(facts: Capabilities) -> float:
    """US dollars per million tokens: an example, not the vendor's."""
    return _PRICE_PER_MILLION[facts.type]


def _card(name: str, facts: Capabilities, license: str = "other") -> dict[str, Any]:
    organization, _, short = name.partition("/")
    price = price_of(facts)
    return {
        "id": name,
        "object": "model",
        "created": 1_700_000_000,
        "type": facts.type,
        "running": False,
        "display_name": short.replace("-", " "),
        "organization": organization,
        "link": f"https://huggingface.co/{name}",
        "license": license,
        "context_length": facts.context_length,
        "config": {"chat_template": None, "stop": [], "bos_token": None, "eos_token": None},
        "pricing": {"hourly": 0, "input": price, "output": price, "base": 0, "finetune": 0, "cached_input": price / 4},
    }


ROUTES: Any = [
    json_route("/v1/models", list_models, method="GET"),
    json_route("/v1/autoscale/models", list_autoscaled, method="GET"),
]
