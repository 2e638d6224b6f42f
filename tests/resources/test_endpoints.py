"""Endpoints: created once, updated without losing other settings, listed with invalid entries."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.conftest import HANG
from tests.resources.response_variants import find_unreadable
from together_adapters import APIResponseValidationError, BadRequestError, InternalServerError, NotFoundError
from together_adapters.emulator import Emulator

HARDWARE = "1x_nvidia_h100_80gb_sxm"
NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "object": "endpoint", "id": "endpoint-1", "name": "user/M-abc", "display_name": "The ep", "model": "M", "hardware": HARDWARE, "type": "dedicated",
    "owner": "user", "state": "DREAMING", "autoscaling": {"min_replicas": 1, "max_replicas": 1, **NEW}, "inactive_timeout": 5,
    "created_at": "2025-02-04T10:43:55.405Z", **NEW,
}  # fmt: skip
MACHINE: dict[str, Any] = {
    "object": "hardware", "id": HARDWARE, "pricing": {"cents_per_minute": 5.6, **NEW}, "specs": {"gpu_type": "h100", "gpu_link": "sxm", "gpu_memory": 80, "gpu_count": 1},
    "availability": {"status": "dreaming"}, "updated_at": "2025-01-01T00:00:00Z", **NEW,
}  # fmt: skip


def create(flavour: Any, client: Any, **changes: Any) -> Any:
    kwargs = {"model": "acme/chat", "hardware": HARDWARE, "min_replicas": 1, "max_replicas": 2, **changes}
    return flavour.run(client.endpoints.create(**kwargs))


def test_the_lifecycle_of_an_endpoint(flavour: Any) -> None:
    client = flavour.client()
    result = create(flavour, client, display_name="mine", inactive_timeout=0)
    assert (result.state, result.display_name, result.autoscaling.max_replicas) == ("PENDING", "mine", 2)
    deadline = time.monotonic() + HANG
    while (now := flavour.run(client.endpoints.get(result.id))).state != "STARTED":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert now.name == result.name
    assert flavour.run(client.endpoints.update(result.id, state="STOPPED")).state == "STOPPING"
    assert result.id in [one.id for one in flavour.run(client.endpoints.list(type="dedicated", mine=True))]
    assert flavour.run(client.endpoints.delete(result.id)) is None
    with pytest.raises(NotFoundError):
        flavour.run(client.endpoints.retrieve(result.id))


def test_what_create_sends(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)
    create(flavour, client)
    kwargs = {
        "display_name": "n",
        "disable_prompt_cache": False,
        "disable_speculative_decoding": True,
        "state": "STOPPED",
        "inactive_timeout": 0,
        "availability_zone": "z",
    }
    create(flavour, client, **kwargs)
    minimum = {"model": "acme/chat", "hardware": HARDWARE, "autoscaling": {"min_replicas": 1, "max_replicas": 2}}
    assert [json.loads(request.content) for request in service.requests] == [minimum, {**minimum, **kwargs}]


@pytest.mark.parametrize(
    ("kwargs", "becomes"),
    [({"min_replicas": 0}, (0, 2)), ({"max_replicas": 5}, (1, 5)), ({"min_replicas": 2, "max_replicas": 3}, (2, 3))],
)
def test_a_replica_limit_by_itself_keeps_the_other(
    kwargs: dict[str, int], becomes: tuple[int, int], flavour: Any, emulator: Emulator
) -> None:
    client = flavour.client()
    id = create(flavour, client).id
    emulator.clear()
    variant = flavour.run(client.endpoints.update(id, **kwargs)).autoscaling
    assert (variant.min_replicas, variant.max_replicas) == becomes
    assert [request.method for request in emulator.requests] == ["GET", "PATCH"][2 - len(emulator.requests) :]
    assert len(emulator.requests) == (1 if len(kwargs) == 2 else 2)


def test_changing_nothing_is_refused(flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="nothing to update"):
        flavour.run(flavour.client().endpoints.update("endpoint-1"))
    assert emulator.requests == []


def test_what_list_asks(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"object": "list", "data": []})
    flavour.run(client.endpoints.list())
    flavour.run(client.endpoints.list("serverless", usage_type="reserved", mine=True))
    assert [str(request.url.query.decode()) for request in service.requests] == [
        "",
        "type=serverless&usage_type=reserved&mine=true",
    ]


def test_hardware_and_zones(flavour: Any) -> None:
    client = flavour.client()
    assert all(machine.availability is None for machine in flavour.run(client.endpoints.list_hardware()))
    for_model = flavour.run(client.endpoints.list_hardware(model="acme/chat"))
    assert {machine.availability.status for machine in for_model.data} == {"available", "unavailable", "insufficient"}
    assert HARDWARE in [machine.id for machine in for_model]
    zones = flavour.run(client.endpoints.list_avzones())
    assert zones == zones.avzones != []


def test_refusals_name_the_parameter(flavour: Any) -> None:
    client = flavour.client()
    for changes, param in (
        ({"hardware": "abacus"}, "hardware"),
        ({"min_replicas": 3}, "autoscaling"),
        ({"availability_zone": "moon"}, "availability_zone"),
    ):
        with pytest.raises(BadRequestError) as error_info:
            create(flavour, client, **changes)
        assert error_info.value.param == param


def test_an_endpoint_that_may_have_been_created_is_not_created_again(flavour: Any, emulator: Emulator) -> None:
    emulator.inject("503")
    with pytest.raises(InternalServerError, match=r"check endpoints.list\(mine=True\)"):
        create(flavour, flavour.client())
    assert len(emulator.requests) == 1


def test_every_field_is_kept_and_any_may_be_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)

    def read(sample: Any) -> Any:
        service.reply = sample
        return flavour.run(client.endpoints.get("endpoint-1")).model_dump(exclude_unset=True)

    def read_machine(sample: Any) -> Any:
        service.reply = {"object": "list", "data": [sample]}
        return flavour.run(client.endpoints.list_hardware()).model_dump(exclude_unset=True)[0]

    assert read(RESPONSE) == RESPONSE
    assert find_unreadable(RESPONSE, read) == {}
    assert read_machine(MACHINE) == MACHINE
    assert find_unreadable(MACHINE, read_machine) == {}


def test_one_unexpected_entry_does_not_hide_the_others(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": [RESPONSE, {"id": "endpoint-2", "autoscaling": 5}, "three"]})
    assert [one.id for one in flavour.run(client.endpoints.list())] == ["endpoint-1", "endpoint-2", "three"]


@pytest.mark.parametrize("reply", [{"data": None}, {}, []])
def test_an_empty_list_in_any_format(reply: Any, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(reply)
    assert flavour.run(client.endpoints.list()) == flavour.run(client.endpoints.list_avzones()) == []


def test_a_response_that_is_no_list_is_reported(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": "soon"})
    with pytest.raises(APIResponseValidationError):
        flavour.run(client.endpoints.list())
