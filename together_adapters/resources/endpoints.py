"""Dedicated endpoints: a model on hardware of one's own, paid by the minute while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, response_parser, segment
from together_adapters.types.endpoints import Autoscaling, Endpoint, Hardware, Zones
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import ResponseList, ResponseModel

M = TypeVar("M", bound=ResponseModel)
_PATH = "/v1/endpoints"
_parse = response_parser(Endpoint)


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
    """Create an endpoint. It costs money while it runs, so the request is not repeated where it may have arrived.

    Args:
        model: The model to run.
        hardware: What to run it on, as `list_hardware` names it: `1x_nvidia_h100_80gb_sxm`.
        min_replicas: Replicas that run even without load.
        max_replicas: Replicas under full load.
        display_name: A name for people.
        disable_prompt_cache: Without effect now; the service still takes it.
        disable_speculative_decoding: Whether to do without speculative decoding.
        state: `STARTED`, as the service does by itself, or `STOPPED`.
        inactive_timeout: Minutes without requests after which it stops; 0 for never.
        availability_zone: Where to run it, as `list_avzones` names it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The endpoint, starting. Its `name` goes into `model=` of chats.

    Raises:
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the endpoint may have been created.
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
    """List endpoints.

    Args:
        type: Only `dedicated` or only `serverless` ones.
        usage_type: Only `on-demand` or only `reserved` ones.
        mine: Only those of this account.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list, which also answers to `.data`.

    Raises:
        APIStatusError: The service refused.
    """
    return request(
        "GET", _PATH, _entries(Endpoint), query={"type": type, "usage_type": usage_type, "mine": mine}, options=options
    )


def get(endpoint_id: str, **options: Unpack[RequestOptions]) -> Call[Endpoint]:
    """Look at an endpoint.

    Args:
        endpoint_id: Its `id`.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The endpoint as it is now.

    Raises:
        NotFoundError: There is no such endpoint.
    """
    return request("GET", _place(endpoint_id), _parse, options=options)


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
    """Change an endpoint, or start or stop it. What is not given stays as it is.

    Args:
        endpoint_id: Its `id`.
        min_replicas: Replicas that run even without load; 0 counts.
        max_replicas: Replicas under full load. If one of the two is given alone, the endpoint is asked for the other first.
        state: `STARTED` or `STOPPED`.
        display_name: A name for people.
        inactive_timeout: Minutes without requests after which it stops; 0 for never.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The endpoint as it is now.

    Raises:
        ValueError: Nothing to change was given.
        NotFoundError: There is no such endpoint.
    """
    params: dict[str, Any] = {"state": state, "display_name": display_name, "inactive_timeout": inactive_timeout}
    if (min_replicas is None) != (max_replicas is None):
        now: Endpoint = yield request("GET", _place(endpoint_id), _parse, options={**options, "extra_body": None})
        kept = now.autoscaling or Autoscaling()
        min_replicas = kept.min_replicas if min_replicas is None else min_replicas
        max_replicas = kept.max_replicas if max_replicas is None else max_replicas
    replicas = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    params["autoscaling"] = {name: number for name, number in replicas.items() if number is not None} or None
    if not options.get("extra_body") and all(value is None for value in params.values()):
        raise ValueError("nothing to change was given: name state, replicas, display_name or inactive_timeout")
    changed: Endpoint = yield request("PATCH", _place(endpoint_id), _parse, params, options=options)
    return changed


def delete(endpoint_id: str, **options: Unpack[RequestOptions]) -> Call[None]:
    """Stop an endpoint and remove it.

    Args:
        endpoint_id: Its `id`.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Raises:
        NotFoundError: There is no such endpoint.
    """
    return request("DELETE", _place(endpoint_id), lambda response: None, options=options)


def list_hardware(model: str | None = None, **options: Unpack[RequestOptions]) -> Call[ResponseList[Hardware]]:
    """List the hardware there is.

    Args:
        model: Only what this model runs on, and whether it is free now.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list, which also answers to `.data`.

    Raises:
        APIStatusError: The service refused.
    """
    return request("GET", "/v1/hardware", _entries(Hardware), query={"model": model}, options=options)


def list_avzones(**options: Unpack[RequestOptions]) -> Call[Zones]:
    """List the zones that an endpoint can run in.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list of names, which also answers to `.avzones`.

    Raises:
        APIStatusError: The service refused.
    """
    return request("GET", "/v1/clusters/availability-zones", _read_zones, options=options)


def _place(endpoint_id: str) -> str:
    return f"{_PATH}/{segment(endpoint_id, 'endpoint_id')}"


def _entries(model: type[M]) -> Callable[[Response], ResponseList[M]]:
    """Return a reader of lists. An entry that cannot be read is kept as far as it can, for the sake of the others."""

    def entry(item: Any) -> M:
        try:
            return model.model_validate(item)
        except ValueError:
            return model.model_construct(None, **(item if isinstance(item, dict) else {"id": str(item)}))

    def parse(response: Response) -> ResponseList[M]:
        body = response.json()
        items = body.get("data") if isinstance(body, dict) else body
        return ResponseList(entry(item) for item in _a_list(items))

    return parse


def _read_zones(response: Response) -> Zones:
    body = response.json()
    return Zones(str(zone) for zone in _a_list(body.get("avzones") if isinstance(body, dict) else body))


def _a_list(items: Any) -> list[Any]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise ValueError(f"a list was expected, not {type(items).__name__}")
    return items


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
