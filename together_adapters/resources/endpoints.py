"""Dedicated endpoints: a model on dedicated hardware, billed by the minute while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, Unpack

from together_adapters.resources.account.deployments import Deployments
from together_adapters.resources.account.lora_adapters import LoraAdapters
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.endpoints import Autoscaling, Endpoint, Hardware, Zones
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import ResponseList, ResponseModel

M = TypeVar("M", bound=ResponseModel)
_PATH = "/v1/endpoints"
_parse = ResponseParser(Endpoint)


def create(
    *,
    model: str,
    hardware: str,
    min_replicas: int,
    max_replicas: int,
    display_name: str | None = None,
    disable_prompt_cache: bool | None = None,
    disable_speculative_decoding: bool | None = None,
    state: Literal["STARTED", "STOPPED"] | str | None = None,
    inactive_timeout: int | None = None,
    availability_zone: str | None = None,
    **options: Unpack[RequestOptions],
) -> Call[Endpoint]:
    """Creates an endpoint. It costs money while it runs, so the request is not retried where it may have been accepted.

    Args:
        model: The model to run.
        hardware: A hardware id from `list_hardware`, such as `1x_nvidia_h100_80gb_sxm`.
        min_replicas: Minimum number of replicas.
        max_replicas: Maximum number of replicas.
        display_name: A display name.
        disable_prompt_cache: Has no effect any more.
        disable_speculative_decoding: Whether to disable speculative decoding.
        state: `STARTED`, the service's default, or `STOPPED`.
        inactive_timeout: Minutes without requests after which it stops; 0 disables this.
        availability_zone: A zone from `list_avzones`.

    Returns:
        The endpoint, which is starting. Pass its `name` to `model=` of chats.

    Raises:
        APIConnectionError: No response arrived; the message says whether the endpoint may have been created.
    """
    params = {name: value for name, value in locals().items() if name not in ("options", "min_replicas", "max_replicas")}
    params["autoscaling"] = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    return request("POST", _PATH, _parse, params, billable="endpoints.list(mine=True)", options=options)


def list_endpoints(
    type: Literal["dedicated", "serverless"] | str | None = None,
    usage_type: Literal["on-demand", "reserved"] | str | None = None,
    mine: bool | None = None,
    **options: Unpack[RequestOptions],
) -> Call[ResponseList[Endpoint]]:
    """Lists endpoints.

    Args:
        type: Only `dedicated` or only `serverless` ones.
        usage_type: Only `on-demand` or only `reserved` ones.
        mine: Only those of this account.
    """
    return request(
        "GET", _PATH, _list_of(Endpoint), query={"type": type, "usage_type": usage_type, "mine": mine}, options=options
    )


def get(endpoint_id: str, **options: Unpack[RequestOptions]) -> Call[Endpoint]:
    """Retrieves an endpoint."""
    return request("GET", _endpoint_path(endpoint_id), _parse, options=options)


def update(
    endpoint_id: str,
    *,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    state: Literal["STARTED", "STOPPED"] | str | None = None,
    display_name: str | None = None,
    inactive_timeout: int | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[Endpoint]:
    """Updates, starts or stops an endpoint. Parameters that are not passed stay unchanged.

    Args:
        endpoint_id: Its `id`.
        min_replicas: Minimum number of replicas.
        max_replicas: Maximum number of replicas. If only one of the two is passed, the other is retrieved first.
        state: `STARTED` or `STOPPED`.
        display_name: A display name.
        inactive_timeout: Minutes without requests after which it stops; 0 disables this.

    Raises:
        ValueError: No parameter was passed.
    """
    params: dict[str, Any] = {"state": state, "display_name": display_name, "inactive_timeout": inactive_timeout}
    if (min_replicas is None) != (max_replicas is None):
        endpoint: Endpoint = yield request("GET", _endpoint_path(endpoint_id), _parse, options={**options, "extra_body": None})
        autoscaling = endpoint.autoscaling or Autoscaling()
        min_replicas = autoscaling.min_replicas if min_replicas is None else min_replicas
        max_replicas = autoscaling.max_replicas if max_replicas is None else max_replicas
    replicas = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    params["autoscaling"] = {name: number for name, number in replicas.items() if number is not None} or None
    if not options.get("extra_body") and all(value is None for value in params.values()):
        raise ValueError("nothing to update: pass state, replicas, display_name or inactive_timeout")
    updated: Endpoint = yield request("PATCH", _endpoint_path(endpoint_id), _parse, params, options=options)
    return updated


def delete(endpoint_id: str, **options: Unpack[RequestOptions]) -> Call[None]:
    """Stops and deletes an endpoint."""
    return request("DELETE", _endpoint_path(endpoint_id), lambda response: None, options=options)


def list_hardware(model: str | None = None, **options: Unpack[RequestOptions]) -> Call[ResponseList[Hardware]]:
    """Lists the available hardware.

    Args:
        model: Only hardware for this model, with its current availability.
    """
    return request("GET", "/v1/hardware", _list_of(Hardware), query={"model": model}, options=options)


def list_avzones(**options: Unpack[RequestOptions]) -> Call[Zones]:
    """Lists the names of the availability zones."""
    return request("GET", "/v1/clusters/availability-zones", _read_zones, options=options)


def _endpoint_path(endpoint_id: str) -> str:
    return f"{_PATH}/{segment(endpoint_id, 'endpoint_id')}"


def _list_of(model: type[M]) -> Callable[[Response], ResponseList[M]]:
    return lambda response: ResponseList[M].parse(response.json(), model)


def _read_zones(response: Response) -> Zones:
    body = response.json()
    zones = body.get("avzones") if isinstance(body, dict) else body
    if not isinstance(zones, list | None):
        raise ValueError(f"a list was expected, not {type(zones).__name__}")
    return Zones(str(zone) for zone in zones or ())


class Endpoints(Resource[D, R]):
    """`client.endpoints`."""

    with_raw_response: Endpoints[R, R]
    create = method(create)
    list = method(list_endpoints)
    get = method(get)
    retrieve = get
    update = method(update)
    delete = method(delete)
    list_hardware = method(list_hardware)
    list_avzones = method(list_avzones)

    @property
    def deployments(self) -> Deployments[D, R]:
        """Deployments of endpoints of a project (`client.projects.endpoints`)."""
        return Deployments(self._driver)

    @property
    def adapters(self) -> LoraAdapters[D, R]:
        """LoRA adapters on deployments."""
        return LoraAdapters(self._driver)
