"""Which model answers a request: one of the account, one that the emulator was started with, or one that the service has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from together_adapters.emulator.errors import bad_request, endpoint_not_running, model_not_available
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.store.catalogue import (
    OWNER,
    MediaKind,
    ModelKind,
    a_model,
    kind_of,
    model_name,
    models_of,
    refusal_of_today,
)
from together_adapters.types.capabilities import MODELS, Capabilities, ModelType, capabilities, nearest_names

_TEXT_MODELS: Final[tuple[ModelType, ...]] = ("chat", "language")
_ALLOW: Final = "The emulator takes any name with serve(any_model=True), @pytest.mark.together(any_model=True) or --any-model."
_MAX_NAME: Final = 200  # characters of a name that is compared with others
_NO_TEXT: Final = frozenset({"an image", "an audio clip", "a video"})  # as `conversation` calls parts of messages
_PROBES: Final = {"unknown model": "unknown-model", "removed embedding model": "embeddings", "removed rerank model": "rerank"}
"""What a record of the service calls the refusal of a model."""


def find_served_model(context: RequestContext, *kinds: ModelType) -> tuple[str, Capabilities]:
    """Returns the model that answers a request, with its capabilities; raises `ApiError` if it is not served, or not of these kinds.

    Args:
        context: The request.
        kinds: What the endpoint takes; by default models that write text.
    """
    kinds = kinds or _TEXT_MODELS
    model = model_name(context.body)
    result = _find_own(context, model)
    if result is None:
        _check_kind(model, kind_of(model), kinds)
        return _find_offered(context, model, kinds)
    name, facts = result
    _check_kind(model, _kind_of_own(context, model, name, facts), kinds)
    return name, facts


def find_media_model(context: RequestContext, kind: MediaKind) -> str:
    """Returns the model that a request for images, audio or video names; raises `ApiError` if it does not exist, or is of another kind."""
    model = model_name(context.body)
    _check_kind(model, kind_of(model), (kind,))
    if _find_own(context, model) is None:
        _refuse_unnamed(context, model, (kind,))
        check_exists(context, model, (kind,))
    return model


def check_exists(
    context: RequestContext, model: str, kinds: tuple[ModelKind, ...] = _TEXT_MODELS, names: Sequence[str] = ()
) -> None:
    """Refuses a name that no model has: of the service, of the account, or of those that the emulator was started with.

    Args:
        context: The request.
        model: The name.
        kinds: Of which kinds a model is wanted.
        names: The models among which the nearest is named; those of the kinds by default.
    """
    named = context.state.models or {}
    if context.behaviour.any_model or kind_of(model) or model in named or "*" in named:
        return
    if model in _account_models(context) or context.stores.jobs.by_output(model):
        return
    error = model_not_available(model, f"{_nearest(context, model, kinds, names)} {_ALLOW}")
    raise context.state.record.error("unknown-model", error, model) or error


def check_safety_model(context: RequestContext, model: str | None) -> None:
    """Refuses a moderation model, unless the account has an endpoint of it: the service of today serves none."""
    if model is not None and _find_own(context, model) is None:
        context.grant(replace(model_not_available(model), param="safety_model"), "moderation model")


def refuse_media(model: str, facts: Capabilities, media: Iterable[str]) -> None:
    """Refuses images, audio and videos in the messages to a model that reads text alone, as far as the vendor says what it reads."""
    is_described = any(source.startswith("vendor") for source in facts.sources)
    if is_described and not (facts.vision or facts.audio or facts.video) and not _NO_TEXT.isdisjoint(media):
        names = [name for name, other in MODELS.items() if other.vision and other.is_served and not other.alias_of]
        raise bad_request(
            f"The model {model} reads text alone: no images, audio or videos. Models that see images are {', '.join(names)}.",
            param="messages",
        )


def _check_kind(model: str, kind: ModelKind | None, kinds: tuple[ModelKind, ...]) -> None:
    if kind is not None and kind not in kinds:
        raise bad_request(
            f"The model {model} is {a_model(kind)}, and this endpoint takes {a_model(kinds[0])}, such as {models_of(kinds)[0]}.",
            param="model",
        )


def _find_own(context: RequestContext, model: str) -> tuple[str, Capabilities] | None:
    """Returns a model that was trained here, runs on a dedicated endpoint, or was named when the emulator was started."""
    if job := context.stores.jobs.of_model(model):
        return model, capabilities(job.base_model)
    for endpoint in context.stores.endpoints.values():
        if model in (endpoint.name, endpoint.model) and endpoint.state() == "STARTED":
            return endpoint.model, capabilities(endpoint.model)
    named = context.state.models or {}
    return (model, named.get(model, capabilities(model))) if model in named or "*" in named else None


def _kind_of_own(context: RequestContext, model: str, name: str, facts: Capabilities) -> ModelKind | None:
    """Returns the kind of a model of `_find_own`; None where nobody says."""
    if job := context.stores.jobs.of_model(model):
        return kind_of(job.base_model)
    return facts.type if model in (context.state.models or {}) else kind_of(name)


def _account_models(context: RequestContext) -> Iterator[str]:
    """Yields the names of what requests have created: endpoints, models of projects, uploads."""
    stores = context.stores
    for endpoint in stores.endpoints.values():
        yield from (endpoint.name, endpoint.model)
    yield from (record["name"] for store in (stores.project_models, stores.project_endpoints) for record in store.values())
    yield from (f"{OWNER}/{upload.name}" for upload in stores.model_uploads.values())
    yield from (job.output_name for job in stores.jobs.values())


def _find_offered(context: RequestContext, model: str, kinds: tuple[ModelKind, ...]) -> tuple[str, Capabilities]:
    """Returns a model of the service; in strict mode, only one that it serves today without an endpoint."""
    _refuse_unnamed(context, model, kinds)
    if not context.state.remote:  # an engine has models of its own
        check_exists(context, model, kinds)
    facts = capabilities(model)
    name = (facts.alias_of or model) if model in MODELS else model
    if refusal := refusal_of_today(name):
        problem, what = refusal
        if what == "unknown model" and context.behaviour.any_model:
            context.grants.append(what)
            return name, facts
        context.grant(
            endpoint_not_running(model) if _has_endpoint(context, model) else problem, what, _PROBES.get(what, ""), model
        )
    return name, facts


def _refuse_unnamed(context: RequestContext, model: str, kinds: tuple[ModelKind, ...]) -> None:
    """Refuses all other models where the emulator was started with names of models."""
    if context.state.models is None or context.behaviour.any_model:
        return
    if _has_endpoint(context, model):
        raise endpoint_not_running(model)
    names = ", ".join(context.state.models) or "no models but those of its account"
    advice = f"{_nearest(context, model, kinds)} The emulator was started with {names}. {_ALLOW}"
    raise model_not_available(model, advice)


def _nearest(context: RequestContext, model: str, kinds: tuple[ModelKind, ...], names: Sequence[str] = ()) -> str:
    """Returns which name may be meant, or a name that would do."""
    options = _served_names(kinds) if context.state.models is None else list(context.state.models)
    candidates = names or [*_account_models(context), *options]
    if len(model) <= _MAX_NAME and (similar := nearest_names(model, candidates, with_removed=True)):
        return f"The nearest name is {similar[0]}."
    return f"GET /v1/models lists the catalogue, such as {options[0]}." if options else "GET /v1/models lists the catalogue."


def _served_names(kinds: tuple[ModelKind, ...]) -> list[str]:
    """Returns the models of some kinds without those that are gone; all of them, where the service has none of the kind any more."""
    names = models_of(kinds)
    return [name for name in names if not capabilities(name).is_removed] or names


def _has_endpoint(context: RequestContext, model: str) -> bool:
    return any(model in (endpoint.name, endpoint.model) for endpoint in context.stores.endpoints.values())
