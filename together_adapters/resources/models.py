"""The catalogue of models, and models of one's own that are added to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, response_parser
from together_adapters.types.models import ModelList, ModelObject, ModelUpload
from together_adapters.types.requests import RequestOptions

_parse_upload = response_parser(ModelUpload)


def list_models(*, dedicated: bool = False, **options: Unpack[RequestOptions]) -> Flow[ModelList]:
    """List the models that can be called, sorted by name.

    Args:
        dedicated: Only those that can run on a dedicated endpoint.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list of models, which also answers to `.data`. An entry that cannot be read is kept as far as it can.

    Raises:
        APIError: The service refused.
    """
    models: ModelList = yield request("GET", "/v1/models", _read_models, options=options)
    if dedicated:
        names: set[str] = yield request("GET", "/v1/autoscale/models", _read_names, options=options)
        models = ModelList(model for model in models if model.id in names)
    return models


def upload(
    *,
    model_name: str,
    model_source: str,
    model_type: Literal["model", "adapter"] | str = "model",
    hf_token: str | None = None,
    description: str | None = None,
    base_model: str | None = None,
    lora_model: str | None = None,
    **options: Unpack[RequestOptions],
) -> Call[ModelUpload]:
    """Have the service fetch a model or an adapter of yours. The request is not repeated where it may have arrived.

    Args:
        model_name: The name it is to have.
        model_source: Where it is: a Hugging Face repository, or an S3 path or presigned address of an archive.
        model_type: `model`, or `adapter` for the weights of a LoRA.
        hf_token: A Hugging Face token, for a repository that is not public.
        description: For people.
        base_model: For an adapter: the serverless model that it goes with.
        lora_model: For an adapter: the dedicated model that it goes with.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The job, with `job_id` and `model_id`, at the top and in `data`.

    Raises:
        ValueError: `base_model` or `lora_model` was given for a whole model, or both of them.
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the upload may have been started.
    """
    if model_type == "model" and (base_model or lora_model):
        raise ValueError('base_model and lora_model go with model_type="adapter" alone')
    if base_model and lora_model:
        raise ValueError("an adapter goes with base_model or with lora_model, not with both")
    params = {name: value for name, value in locals().items() if name != "options"}
    described = request("POST", "/v1/models", _parse_upload, params, billable="models.list()", options=options)
    return replace(described, secrets=(hf_token,)) if hf_token else described


def _items(response: Response) -> list[Any]:
    """The entries of a list, bare as the service sends it, or under `data` as gateways do."""
    body = response.json()
    items = body.get("data") if isinstance(body, dict) else body
    if not isinstance(items, list):
        raise ValueError("a list of models was expected")
    return items


def _read_models(response: Response) -> ModelList:
    models = ModelList(_model(item) for item in _items(response))
    models.sort(key=lambda model: str(model.id or "").lower())
    return models


def _model(item: Any) -> ModelObject:
    try:
        return ModelObject.model_validate(item)
    except ValueError:
        # One odd entry must not hide the others.
        return ModelObject.model_construct(None, **(item if isinstance(item, dict) else {"id": str(item)}))


def _read_names(response: Response) -> set[str]:
    return {item["name"] for item in _items(response) if isinstance(item, dict) and isinstance(item.get("name"), str)}


class Models(Resource[D, R]):
    """`client.models`."""

    with_raw_response: Models[R, R]
    list = method(list_models)
    upload = method(upload)
