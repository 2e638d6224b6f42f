"""Endpoints that start and stop, hardware, zones, and uploads of models."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.conftest import HANG

HARDWARE = "2x_nvidia_a100_80gb_sxm"
LIMITS = {"min_replicas": 1, "max_replicas": 2}


def create(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post(
        "/endpoints", json={"model": "essentialai/rnj-1-instruct", "hardware": HARDWARE, "autoscaling": LIMITS, **changes}
    )


def until(http: httpx.Client, id: str, state: str) -> list[str]:
    states: list[str] = []
    deadline = time.monotonic() + HANG
    while not states or states[-1] != state:
        assert time.monotonic() < deadline
        states.append(http.get(f"/endpoints/{id}").json()["state"])
        time.sleep(0.05)
    return list(dict.fromkeys(states))


def test_states(http: httpx.Client) -> None:
    endpoint = create(http).json()
    assert until(http, endpoint["id"], "STARTED") == ["PENDING", "STARTING", "STARTED"]
    assert http.patch(f"/endpoints/{endpoint['id']}", json={"state": "STOPPED"}).json()["state"] == "STOPPING"
    assert until(http, endpoint["id"], "STOPPED")[-1] == "STOPPED"
    assert http.patch(f"/endpoints/{endpoint['id']}", json={"state": "STARTED"}).json()["state"] == "PENDING"
    assert create(http, state="STOPPED").json()["state"] == "STOPPED"
    response = http.delete(f"/endpoints/{endpoint['id']}")
    assert (response.status_code, response.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert http.request(method, f"/endpoints/{endpoint['id']}", json={}).status_code == 404


def test_changes_keep_other_fields(http: httpx.Client) -> None:
    endpoint = create(http, display_name="a", inactive_timeout=5).json()
    updated = http.patch(f"/endpoints/{endpoint['id']}", json={"autoscaling": {"max_replicas": 9}}).json()
    assert (updated["autoscaling"], updated["display_name"], updated["inactive_timeout"]) == (
        {"min_replicas": 1, "max_replicas": 9},
        "a",
        5,
    )
    assert (
        http.patch(f"/endpoints/{endpoint['id']}", json={"display_name": "b", "inactive_timeout": 0}).json()["display_name"]
        == "b"
    )


def test_lists(http: httpx.Client) -> None:
    id = create(http).json()["id"]

    def ids(**query: str) -> dict[str, str]:
        return {one["id"]: one["type"] for one in http.get("/endpoints", params=query).json()["data"]}

    assert set(ids().values()) == {"dedicated", "serverless"}
    assert set(ids(type="serverless").values()) == {"serverless"}
    assert set(ids(type="dedicated").values()) == {"dedicated"}
    assert id in ids(mine="True")
    assert id in ids(mine="true", usage_type="on-demand")
    assert ids(usage_type="reserved") == {}
    entry = next(one for one in http.get("/endpoints").json()["data"] if one["id"] == id)
    assert entry.keys() == {"object", "id", "name", "model", "type", "owner", "state", "created_at"}
    assert http.get("/endpoints", params={"type": "free"}).status_code == 400


def test_hardware(http: httpx.Client) -> None:
    without_availability = http.get("/hardware").json()["data"]
    assert HARDWARE in [one["id"] for one in without_availability]
    assert all("availability" not in one for one in without_availability)
    assert {
        one["availability"]["status"]
        for one in http.get("/hardware", params={"model": "essentialai/rnj-1-instruct"}).json()["data"]
    } == {
        "available",
        "unavailable",
        "insufficient",
    }
    assert http.get("/hardware", params={"model": "unknown"}).status_code == 404
    assert http.get("/clusters/availability-zones").json()["avzones"]


WRONG: dict[str, list[Any]] = {
    "model": [None, 5, []], "hardware": [None, 5, "abacus"], "state": ["DREAMING", 5, {}], "inactive_timeout": [-1, "5", True], "availability_zone": ["moon", []], "display_name": [5, ""],
    "autoscaling": [None, 5, {}, {"min_replicas": 1}, {"min_replicas": 3, "max_replicas": 2}, {"min_replicas": "1", "max_replicas": 2}, {"min_replicas": 0, "max_replicas": 0}, {"min_replicas": -1, "max_replicas": 1}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_name_the_parameter(name: str, value: Any, http: httpx.Client) -> None:
    answer = create(http, **{name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"5",
        b"null",
        b"x",
        b'{"autoscaling": 5}',
        b'{"state": []}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_invalid_changes(body: bytes, http: httpx.Client) -> None:
    id = create(http).json()["id"]
    answer = http.patch(f"/endpoints/{id}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_an_upload_and_its_job(http: httpx.Client) -> None:
    answer = http.post("/models", json={"model_name": "m", "model_source": "org/repo", "description": "d"}).json()
    id = answer["data"]["job_id"]
    job = http.get(f"/jobs/{id}").json()
    assert (job["type"], job["args"]) == ("model_upload", {"description": "d", "modelName": "m", "modelSource": "org/repo"})
    deadline = time.monotonic() + HANG
    while http.get(f"/jobs/{id}").json()["status"] != "Complete":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert id in [one["job_id"] for one in http.get("/jobs").json()["data"]]
    assert http.get("/jobs/nothing").status_code == 404
    assert isinstance(http.get("/models").json(), list)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_name", None),
        ("model_name", 5),
        ("model_source", None),
        ("model_source", "nowhere"),
        ("model_type", "car"),
        ("base_model", "a/b"),
        ("hf_token", 5),
    ],
)
def test_invalid_uploads(name: str, value: Any, http: httpx.Client) -> None:
    assert http.post("/models", json={"model_name": "m", "model_source": "org/repo", name: value}).status_code == 400
