"""`GET /v1/models`: the table of models, and those that were fine-tuned here.

As with the service, a model in the list is not always served: removed models and those that need an endpoint stay in it.
"""

from __future__ import annotations

from typing import Any

from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.remote.connection import HOP
from together_adapters.emulator.store.catalogue import prices_of
from together_adapters.types.capabilities import MODELS, Capabilities, capabilities


def _list(context: RequestContext) -> list[dict[str, Any]]:
    """Lists models, as a bare array like the service; those of engines among them."""
    jobs = context.stores.jobs.completed()
    tuned_models = [_model(job.output_name, capabilities(job.base_model), "fine-tuned") for job in jobs]
    models = MODELS if context.state.models is None or "*" in context.state.models else context.state.models
    engines = {} if HOP in context.request.headers else context.state.remote.names()
    of_engines = {name: facts for name, facts in engines.items() if name not in models}
    return [_model(name, facts) for name, facts in {**models, **of_engines}.items()] + tuned_models


def _list_autoscaled(context: RequestContext) -> list[dict[str, Any]]:
    """Lists the models that run on dedicated endpoints: every fourth chat model; the service offers no others for that."""
    return [{"name": name} for name in [name for name, facts in MODELS.items() if facts.type == "chat"][::4]]


def _model(name: str, facts: Capabilities, license: str = "other") -> dict[str, Any]:
    organization, _, short = name.partition("/")
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
        "pricing": {"hourly": 0, "base": 0, "finetune": 0, **prices_of(facts)},
    }


ROUTES: Any = [
    json_route("/v1/models", _list, method="GET", in_thread=True),  # engines are asked
    json_route("/v1/autoscale/models", _list_autoscaled, method="GET"),
]
