"""Endpoints of projects, deployments and LoRA adapters, from their creation to their end; names on the wire are camelCase."""

from __future__ import annotations

from typing import Any

import pytest

from together_adapters import APITimeoutError, ConfigurationError, JobFailedError
from together_adapters.emulator import Emulator
from together_adapters.errors import BadRequestError, ConflictError, InternalServerError, NotFoundError
from together_adapters.types.account.deployments import Deployment, LoraAdapter, to_wire

MODEL = "projects/emulated-project/models/mine"
SCALE = {"min_replicas": 1, "max_replicas": 2, "scale_up": {"select_policy": "MAX"}}


def paths(emulator: Emulator) -> list[str]:
    return [f"{request.method} {request.path}" for request in emulator.requests]


def deploy(flavour: Any, client: Any, label: str = "main", **options: Any) -> tuple[str, Any]:
    """Creates an endpoint with a deployment; returns its id, and the deployment."""
    endpoint = flavour.run(client.projects.endpoints.create(f"for-{label}"))
    options = {"name": label, "model": MODEL, "autoscaling": SCALE, **options}
    return endpoint.id, flavour.run(client.endpoints.deployments.create(endpoint.id, **options))


def test_the_life_of_a_deployment(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(project_id="proj-a")
    endpoint_id, deployment = deploy(flavour, client, inactive_timeout=30, max_concurrent_requests_per_replica=4)
    request = emulator.requests[-1]
    assert paths(emulator) == [
        "POST /v2/projects/proj-a/endpoints",
        f"POST /v2/projects/proj-a/endpoints/{endpoint_id}/deployments",
    ]
    assert request.json == {
        "name": "main", "model": MODEL, "inactiveTimeout": 30, "maxConcurrentRequestsPerReplica": "4",
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2, "scaleUp": {"selectPolicy": "MAX"}},
    }  # fmt: skip
    deployments = client.endpoints.deployments
    assert (deployment.state, deployment.name) == ("PROVISIONING", "proj-a/for-main/main")
    stages: list[Any] = []
    ready = flavour.run(deployments.wait(deployment.id, endpoint_id=endpoint_id, poll_interval=0.1, progress=stages.append))
    assert (ready.state, ready.status.ready_replicas, ready.autoscaling.max_replicas) == ("READY", 1, 2)
    assert [stages[0].stage, stages[-1].stage, stages[-1].fraction] == ["provisioning", "ready", 1.0]
    stop = {"min_replicas": 0, "maxReplicas": 0}
    flavour.run(deployments.update(deployment.id, endpoint_id=endpoint_id, autoscaling=stop, etag=ready.etag))
    stopped = flavour.run(deployments.wait(deployment.id, endpoint_id=endpoint_id, state="STOPPED", poll_interval=0.1))
    assert (stopped.state, stopped.model, stopped.etag != ready.etag) == ("STOPPED", f"{MODEL}/revisions/revision-1", True)
    with pytest.raises(ConflictError):
        flavour.run(deployments.update(deployment.id, endpoint_id=endpoint_id, name="other", etag=ready.etag))
    assert emulator.requests[-1].json == {"name": "other", "etag": ready.etag}
    listed = flavour.run(client.projects.endpoints.list()).data
    assert [(item.id, item.deployments[0].id, item.deployments[0].state) for item in listed] == [
        (endpoint_id, deployment.id, "STOPPED")
    ]
    with pytest.raises(ConflictError, match="deployments"):
        flavour.run(client.projects.endpoints.delete(endpoint_id))
    assert flavour.run(deployments.delete(deployment.id, endpoint_id=endpoint_id, etag=stopped.etag)) is None
    with pytest.raises(NotFoundError):
        flavour.run(deployments.get(deployment.id, endpoint_id=endpoint_id))
    assert flavour.run(client.projects.endpoints.delete(endpoint_id)) is None
    assert flavour.run(client.projects.endpoints.list()).data == []


def test_the_project_of_the_key_is_asked_for_once(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    for _ in range(2):
        flavour.run(client.with_options(timeout=9).projects.endpoints.list())
    assert paths(emulator) == ["GET /v3/whoami", *["GET /v2/projects/emulated-project/endpoints"] * 2]
    flavour.run(client.projects.endpoints.list(project_id="another"))
    flavour.run(client.with_options(project_id="copy").projects.endpoints.list())
    assert paths(emulator)[4] == "GET /v2/projects/copy/endpoints"
    assert paths(emulator)[3] == "GET /v2/projects/another/endpoints"


def test_a_key_without_a_project(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"type": "org_api_key", "organization": {"id": "o"}})
    with pytest.raises(ConfigurationError, match="TOGETHER_PROJECT_ID"):
        flavour.run(client.projects.endpoints.list())
    assert [request.url.path for request in service.requests] == ["/v3/whoami"]
    with pytest.raises(ValueError, match="project_id"):
        flavour.run(client.projects.endpoints.list(project_id=""))


def test_ids_that_are_empty_or_have_a_slash(flavour: Any, emulator: Emulator) -> None:
    deployments = flavour.client(project_id="p").endpoints.deployments
    for options in ({"id": "", "endpoint_id": "e"}, {"id": "d", "endpoint_id": ""}):
        with pytest.raises(ValueError, match="must not be empty"):
            flavour.run(deployments.retrieve(**options))
    assert emulator.requests == []
    with pytest.raises(NotFoundError):
        flavour.run(deployments.retrieve("../../x", endpoint_id="e"))


def test_pages(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(project_id="p")
    endpoint_id, _ = deploy(flavour, client, "d0")
    deployments = client.endpoints.deployments
    for number in range(1, 5):
        flavour.run(deployments.create(endpoint_id, name=f"d{number}", model=MODEL, autoscaling={"minReplicas": 1}))
    first = flavour.run(deployments.list(endpoint_id, limit=3))
    rest = flavour.run(deployments.list(endpoint_id, after=first.next_cursor))
    names = [item.name.rpartition("/")[2] for item in first.data + rest.data]
    assert (len(first.data), names, rest.next_cursor) == (3, ["d0", "d1", "d2", "d3", "d4"], None)


def test_a_deployment_that_fails(flavour: Any) -> None:
    client = flavour.client()
    endpoint_id, deployment = deploy(flavour, client, "will-fail")
    deployments = client.endpoints.deployments
    with pytest.raises(JobFailedError, match="asks for a failure") as caught:
        flavour.run(deployments.wait(deployment.id, endpoint_id=endpoint_id, poll_interval=0.1))
    assert caught.value.completed.id == deployment.id
    stopped_endpoint, stopped = deploy(flavour, client, "off", autoscaling={"max_replicas": 0})
    with pytest.raises(APITimeoutError, match="'stopped'"):
        flavour.run(deployments.wait(stopped.id, endpoint_id=stopped_endpoint, poll_interval=0.05, timeout=0.2))
    with pytest.raises(ValueError, match="state"):
        flavour.run(deployments.wait(deployment.id, endpoint_id=endpoint_id, state="DONE"))


def test_what_the_service_refuses(flavour: Any) -> None:
    client = flavour.client()
    cases: list[dict[str, Any]] = [
        {"model": "mine"},
        {"autoscaling": {"min_replicas": 2, "max_replicas": 1}},
        {"inactive_timeout": 7},
        {"name": "a/b"},
    ]
    for number, options in enumerate(cases):
        with pytest.raises(BadRequestError, match=f"{next(iter(options)).split('_')[0]}"):
            deploy(flavour, client, f"case-{number}", **options)
    with pytest.raises(ConflictError):
        for _ in range(2):
            flavour.run(client.projects.endpoints.create("twice"))


def test_a_request_to_validate_creates_nothing(flavour: Any) -> None:
    client = flavour.client()
    endpoint_id, deployment = deploy(flavour, client, validate_only=True)
    assert deployment.name.endswith("/main")
    assert flavour.run(client.endpoints.deployments.list(endpoint_id)).data == []


def test_what_costs_money_is_not_sent_twice(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(project_id="p")
    endpoint_id, _ = deploy(flavour, client)
    emulator.inject("500")
    with pytest.raises(InternalServerError, match=r"endpoints\.deployments\.list\(\)"):
        flavour.run(client.endpoints.deployments.create(endpoint_id, name="b", model=MODEL, autoscaling=SCALE))
    assert len(emulator.requests) == 3


def test_the_traffic_of_an_endpoint(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    endpoint_id, deployment = deploy(flavour, client)
    endpoints = client.projects.endpoints
    split = [{"deployment_id": deployment.id, "weight": 2}]
    endpoint = flavour.run(endpoints.update(endpoint_id, traffic_split=split, visibility="VISIBILITY_INTERNAL"))
    assert emulator.requests[-1].json["trafficSplit"] == [{"deploymentId": deployment.id, "weight": 2}]
    assert (endpoint.traffic_split[0].weight, endpoint.visibility) == (2, "VISIBILITY_INTERNAL")
    assert flavour.run(endpoints.update(endpoint_id, traffic_split=[])).traffic_split == []
    assert flavour.run(endpoints.retrieve(endpoint_id)).visibility == "VISIBILITY_INTERNAL"


def test_the_life_of_an_adapter(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    endpoint_id, deployment = deploy(flavour, client)
    where = {"endpoint_id": endpoint_id, "deployment_id": deployment.id}
    adapters = client.endpoints.adapters
    adapter = flavour.run(adapters.create(**where, adapter_model_id="model-lora"))
    assert emulator.requests[-1].json == {"adapterModelId": "model-lora"}
    assert (adapter.state, adapter.desired_revision_id) == ("LOADING", "revision-1")
    ready = flavour.run(adapters.wait(adapter.id, **where, poll_interval=0.1))
    assert (ready.state, ready.per_cluster[0].ready_pod_count) == ("READY", 1)
    assert [item.id for item in flavour.run(adapters.list(**where)).data] == [adapter.id]
    with pytest.raises(ConflictError):
        flavour.run(adapters.create(**where, adapter_model_id="model-lora"))
    failing = flavour.run(adapters.update(adapter.id, **where, adapter_revision_id="fails", etag=ready.etag))
    with pytest.raises(JobFailedError, match="asks for a failure"):
        flavour.run(adapters.wait(adapter.id, **where, poll_interval=0.1))
    with pytest.raises(ConflictError):
        flavour.run(adapters.delete(adapter.id, **where, etag=ready.etag))
    assert flavour.run(adapters.delete(adapter.id, **where, etag=failing.etag)) is None
    with pytest.raises(NotFoundError):
        flavour.run(adapters.retrieve(adapter.id, **where))


def test_the_oldest_adapter_makes_room(flavour: Any) -> None:
    client = flavour.client()
    endpoint_id, deployment = deploy(flavour, client)
    where = {"endpoint_id": endpoint_id, "deployment_id": deployment.id}
    adapters = client.endpoints.adapters
    for number in range(8):
        flavour.run(adapters.create(**where, adapter_model_id=f"m{number}"))
    with pytest.raises(ConflictError, match="force"):
        flavour.run(adapters.create(**where, adapter_model_id="m8"))
    flavour.run(adapters.create(**where, adapter_model_id="m8", force=True))
    assert [item.adapter_model_id for item in flavour.run(adapters.list(**where)).data] == [f"m{n}" for n in range(1, 9)]


def test_projects(flavour: Any) -> None:
    (project,) = flavour.run(flavour.client().projects.list()).data
    assert (project.id, project.organization_id) == ("emulated-project", "org-emulator")


def test_names_on_the_wire() -> None:
    dump = Deployment.model_validate({"projectId": "p", "autoscaling": {"minReplicas": 1}, "newField": 1}).model_dump(
        exclude_none=True, by_alias=True
    )
    assert dump == {"project_id": "p", "autoscaling": {"min_replicas": 1}, "newField": 1}
    assert to_wire({"min_replicas": 1, "inline": {"compliance_policy": [{"a_b": 1}]}, "maxReplicas": 2}) == {
        "minReplicas": 1, "inline": {"compliancePolicy": [{"aB": 1}]}, "maxReplicas": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], "PENDING"),
        (["READY", "READY"], "READY"),
        (["READY", "LOADING"], "LOADING"),
        (["LOADING", "FAILED"], "FAILED"),
        ([None], "UNKNOWN"),
    ],
)
def test_the_state_of_an_adapter(states: list[str | None], state: str) -> None:
    loads = [{"state": name and f"ADAPTER_LOAD_STATE_{name}"} for name in states]
    assert LoraAdapter.model_validate({"perCluster": loads}).state == state
