"""`endpoints`: stdout has only the ID, for the next command; notes are on stderr."""

from __future__ import annotations

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.cli.endpoints import hardware_id
from together_adapters.emulator import Emulator

CREATE = ("endpoints", "create", "--model", MODEL, "--gpu", "h100")


def test_endpoint_from_creation_to_deletion(run: Run, emulator: Emulator) -> None:
    creation = run(*CREATE, "--display-name", "Mine", "--no-prompt-cache", "--inactive-timeout", 5)
    id = creation.out.strip()
    assert "is started" in creation.err
    body = next(request.json for request in emulator.requests if request.method == "POST")
    assert (body["hardware"], body["state"], body["inactive_timeout"]) == ("1x_nvidia_h100_80gb_sxm", "STARTED", 5)
    assert body["disable_prompt_cache"] is True
    assert run("endpoints", "get", id, "--json").json["state"] == "STARTED"
    assert run("endpoints", "stop", id, "--json").json["state"] == "STOPPED"
    assert run("endpoints", "start", id, "--no-wait").out == f"{id}\n"
    endpoint = run("endpoints", "update", id, "--max-replicas", 3, "--min-replicas", 0, "--json").json
    assert endpoint["autoscaling"] == {"min_replicas": 0, "max_replicas": 3}
    assert "nothing to change" in one_error(run("endpoints", "update", id, code=2))
    assert id in run("endpoints", "list", "--mine", "true", "--type", "dedicated").out
    assert id in {item["id"] for item in run("endpoints", "list", "--usage-type", "on-demand", "--json").json}
    assert run("endpoints", "delete", id).out == f"{id}\n"
    one_error(run("endpoints", "get", id, code=3))


def test_no_auto_start(run: Run) -> None:
    assert run(*CREATE, "--no-auto-start", "--json").json["state"] == "STOPPED"


def test_hardware_and_availability_zones(run: Run) -> None:
    assert "1x_nvidia_h100_80gb_sxm" in run("endpoints", "hardware").out
    free = run("endpoints", "hardware", "--model", MODEL, "--available", "--json").json
    assert {item["availability"]["status"] for item in free} == {"available"}
    one_error(run("endpoints", "hardware", "--available", code=2))
    assert run("endpoints", "availability-zones").out.splitlines() == sorted(
        run("endpoints", "availability-zones", "--json").json["avzones"]
    )
    error = run("endpoints", "create", "--model", MODEL, "--gpu", "rtx-6000", code=3)
    assert error.err.splitlines()[0].startswith("hint: together-adapters endpoints hardware")


def test_hardware_id() -> None:
    assert hardware_id("a100", 1) == "1x_nvidia_a100_80gb_pcie"
    assert hardware_id("a100", 4) == "4x_nvidia_a100_80gb_sxm"
    assert hardware_id("l40s", 2) == "2x_nvidia_l40s"
