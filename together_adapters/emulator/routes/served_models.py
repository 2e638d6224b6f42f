"""Which model answers a request: one of the account, one that the emulator was started with, or one that the service serves today."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from together_adapters.emulator.errors import ApiError, bad_request, endpoint_not_running, model_not_available
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.store.catalogue import find_model, model_name, refusal_of_today
from together_adapters.types.capabilities import MODELS, Capabilities, ModelType, capabilities

_TEXT_MODELS: Final[tuple[ModelType, ...]] = ("chat", "language")

_PROBES: Final = {"unknown model": "unknown-model", "removed embedding model": "embeddings", "removed rerank model": "rerank"}
"""What a record of the service calls the refusal of a model."""


def find_served_model(
    context: RequestContext, verb: str, types: tuple[ModelType, ...] = _TEXT_MODELS
) -> tuple[str, Capabilities]:
    """Returns the model that answers a request, with its capabilities; raises `ApiError` if it is not served or does not `verb`."""
    model = model_name(context.body)
    model, facts = _find_own(context, model) or _find_offered(context, model)
    named = context.state.models or {}
    if facts.type not in types and (model in MODELS or model in named):
        error = bad_request(f"The model {model} does not {verb}; it is a {facts.type} model.", param="model")
        if model in named or types == _TEXT_MODELS:
            raise error
        context.grant(error, f"{facts.type} model asked to {verb}")
    return model, facts


def find_media_model(context: RequestContext, noun: str) -> str:
    """Returns the model that a request for images, audio or video names: any that is not a text model; the table has no others."""
    model = model_name(context.body)
    if _find_own(context, model) is None:
        _refuse_unnamed(context, model)
        find_model(context.body)
    if model in MODELS:
        raise bad_request(f"{model} is not {noun}.", param="model")
    return model


def check_safety_model(context: RequestContext, model: str | None) -> None:
    """Refuses a moderation model, unless the account has an endpoint of it: the service of today serves none."""
    if model is not None and _find_own(context, model) is None:
        context.grant(replace(model_not_available(model), param="safety_model"), "moderation model")


def _find_own(context: RequestContext, model: str) -> tuple[str, Capabilities] | None:
    """Returns a model that was trained here, runs on a dedicated endpoint, or was named when the emulator was started."""
    if job := context.stores.jobs.of_model(model):
        return model, capabilities(job.base_model)
    for endpoint in context.stores.endpoints.values():
        if model in (endpoint.name, endpoint.model) and endpoint.state() == "STARTED":
            return endpoint.model, capabilities(endpoint.model)
    named = context.state.models or {}
    return (model, named.get(model, capabilities(model))) if model in named or "*" in named else None


def _find_offered(context: RequestContext, model: str) -> tuple[str, Capabilities]:
    """Returns a model of the service; in strict mode, only one that it serves today without an endpoint."""
    _refuse_unnamed(context, model)
    is_engines = model not in MODELS and bool(context.state.remote)  # by a name of its own
    try:
        name, facts = (model, capabilities(model)) if is_engines else find_model(context.body)
    except ApiError as error:
        raise context.state.record.error("unknown-model", error, model) or error from None
    if refusal := refusal_of_today(name):
        problem, what = refusal
        context.grant(
            endpoint_not_running(model) if _has_endpoint(context, model) else problem, what, _PROBES.get(what, ""), model
        )
    return name, facts


def _refuse_unnamed(context: RequestContext, model: str) -> None:
    """Refuses all other models where the emulator was started with names of models."""
    if context.state.models is not None:
        raise endpoint_not_running(model) if _has_endpoint(context, model) else model_not_available(model)


def _has_endpoint(context: RequestContext, model: str) -> bool:
    return any(model in (endpoint.name, endpoint.model) for endpoint in context.stores.endpoints.values())
