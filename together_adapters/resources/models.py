"""The catalogue of models."""

from __future__ import annotations

from typing import Any, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Flow, Response, request
from together_adapters.types.models import ModelList, ModelObject
from together_adapters.types.requests import RequestOptions


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


def _items(response: Response) -> list[Any]:
    """The entries of a list, bare as the service sends it, or under `data` as gateways do."""
    body = response.json()
    items = body.get("data") if isinstance(body, dict) else body
    if not isinstance(items, list):
        raise ValueError("a list of models was expected")
    return items


def _read_models(response: Response) -> ModelList:
    models = ModelList(_model(item) for item in _items(response))
    models.sort(key=lambda model: (model.id or "").lower())
    return models


def _model(item: Any) -> ModelObject:
    try:
        return ModelObject.model_validate(item)
    except ValueError:
        # One odd entry must not hide the others.
        return ModelObject.model_construct(None, **(item if isinstance(item, dict) else {"id": str(item)}))


def _read_names(response: Response) -> set[str]:
    return {item["name"] for item in _items(response) if isinstance(item, dict) and "name" in item}


class Models(Resource[D, R]):
    """`client.models`."""

    list = method(list_models)

    @property
    def with_raw_response(self) -> Models[R, R]:
        """The same methods, answering with status and headers as well."""
        return Models(self._driver.raw)
