"""The catalogue of models, and the upload of custom models."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Unpack

from together_adapters.errors import APIResponseValidationError, APIStatusError, NotFoundError
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, once, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.capabilities import capabilities
from together_adapters.types.models import ModelInfo, ModelList, ModelObject, ModelUpload, ModelUploadStatus, model_info
from together_adapters.types.requests import RequestOptions

_NO_CATALOGUE = (405, 501)
_parse_upload = ResponseParser(ModelUpload)
_parse_upload_status = ResponseParser(ModelUploadStatus)


def list_models(*, dedicated: bool = False, **options: Unpack[RequestOptions]) -> Flow[ModelList]:
    """Lists the available models, sorted by name. An entry that is not valid is kept without validation.

    Args:
        dedicated: Whether to list only models that can run on a dedicated endpoint.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        for model in client.models.list():
            print(model.id, model.type, model.context_length)
        ```
    """
    models: ModelList = yield request("GET", "/v1/models", _read_models, options=options)
    if dedicated:
        names: set[str] = yield request("GET", "/v1/autoscale/models", _read_names, options=options)
        models = ModelList(model for model in models if str(model.id) in names)
    return models


def info(name: str, **options: Unpack[RequestOptions]) -> Flow[ModelInfo]:
    """Returns what is known of a model: its type, context length, abilities, prices, and whether it is said to be gone.

    The service's catalogue, which is requested once for each client, counts over the table of this library; the table knows
    abilities that the catalogue does not name. The catalogue does not say whether a model is served.

    Args:
        name: The model; letter case does not matter.

    Returns:
        The facts. `source` is `service`, `table` with its date, or `unknown`. A server without a catalogue leaves the table.
    """
    try:
        models: ModelList = yield from once("models", request("GET", "/v1/models", _read_models, options=options))
    except (NotFoundError, APIResponseValidationError):
        models = ModelList()
    except APIStatusError as error:
        if error.status_code not in _NO_CATALOGUE:
            raise
        models = ModelList()
    names = {name.lower(), (capabilities(name).alias_of or name).lower()}
    entries = [model for model in models if str(model.id or "").lower() in names]
    entries.sort(key=lambda model: (model.id != name, str(model.id).lower() != name.lower()))
    return model_info(name, entries[0] if entries else None)


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
    """Uploads a custom model or adapter from a URL or repository. The request is not retried where it may have been accepted.

    Args:
        model_name: The name of the new model.
        model_source: A Hugging Face repository, or an S3 path or presigned URL of an archive.
        model_type: `model`, or `adapter` for LoRA weights.
        hf_token: A Hugging Face token, for a private repository.
        description: A description of the model.
        base_model: For an adapter: its serverless base model.
        lora_model: For an adapter: its dedicated base model.

    Returns:
        The job, with `job_id` and `model_id`, at the top and in `data`.

    Raises:
        ValueError: `base_model` or `lora_model` was passed for a full model, or both of them.
        APIConnectionError: No response arrived; the message says whether the upload may have started.
    """
    if model_type == "model" and (base_model or lora_model):
        raise ValueError('base_model= and lora_model= require model_type="adapter"')
    if base_model and lora_model:
        raise ValueError("pass either base_model or lora_model, not both")
    params = {name: value for name, value in locals().items() if name != "options"}
    call = request("POST", "/v1/models", _parse_upload, params, billable="models.list()", options=options)
    return replace(call, secrets=(hf_token,)) if hf_token else call


def upload_status(job_id: str, **options: Unpack[RequestOptions]) -> Call[ModelUploadStatus]:
    """Retrieves the job of an upload. Its `status` is `Queued`, `Running`, `Complete` or `Failed`.

    Args:
        job_id: The `job_id` from `upload`.
    """
    return request("GET", f"/v1/jobs/{segment(job_id, 'job_id')}", _parse_upload_status, options=options)


def _read_models(response: Response) -> ModelList:
    models = ModelList.parse(response.json(), ModelObject, nullable=False)
    models.sort(key=lambda model: str(model.id or "").lower())
    return models


def _read_names(response: Response) -> set[str]:
    return {
        name
        for model in ModelList.parse(response.json(), ModelObject, nullable=False)
        if isinstance(name := getattr(model, "name", None), str)
    }


class Models(Resource[D, R]):
    """`client.models`."""

    with_raw_response: Models[R, R]
    list = method(list_models)
    info = method(info)
    upload = method(upload)
    upload_status = method(upload_status)
