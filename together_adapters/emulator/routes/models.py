"""`GET /v1/models`: the capability table, and the models that were fine-tuned here."""

from __future__ import annotations

from typing import Any

from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.store.catalogue import price_of
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities


def _list(context: RequestContext) -> list[dict[str, Any]]:
    """Lists models, as a bare array like the service."""
    jobs = context.stores.jobs.completed()
    tuned_models = [_model(job.output_name, capabilities(job.base_model), "fine-tuned") for job in jobs]
    return [_model(name, facts) for name, facts in MODELS.items()] + tuned_models


def _list_autoscaled(context: RequestContext) -> list[dict[str, Any]]:
    """Lists the models that run on dedicated endpoints: the rerankers, and every fourth chat model."""
    chat = [name for name, facts in MODELS.items() if facts.type == "chat"][::4]
    rerank = [name for name, facts in MODELS.items() if facts.type == "rerank"]
    return [{"name": name} for name in (*chat, *rerank)]


def _model(name: str, facts: Capabilities, license: str = "other") -> dict[str, Any]:
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
    json_route("/v1/models", _list, method="GET"),
    json_route("/v1/autoscale/models", _list_autoscaled, method="GET"),
]
