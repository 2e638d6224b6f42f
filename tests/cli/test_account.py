"""`whoami`, `usage costs`, `projects`, `deployments`, `adapters`, and `request` for any path."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.emulator import Emulator

CHAT = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Say hello to Ann."}]})


def test_whoami_and_costs(run: Run) -> None:
    assert run("whoami", "--json").json["project"]["id"] == "emulated-project"
    empty = run("usage", "costs")
    assert (empty.out, "No costs." in empty.err) == ("", True)
    run("request", "POST", "/v1/chat/completions", "--body", CHAT)
    costs = run("usage", "costs", "--granularity", "hour")
    assert MODEL in costs.out
    assert "total: $0.0" in costs.err
    (window,) = run("usage", "costs", "--json").json["data"]
    assert window["line_items"][0]["pricing_dimensions"] == {"model": MODEL}
    assert "month" in one_error(run("usage", "costs", "--month", "May", code=3))


def test_request_prints_json(run: Run, emulator: Emulator) -> None:
    models = json.loads(run("request", "get", "/v1/models", "--query", "a=1", "--query", "a=2").out)
    assert MODEL in {model["id"] for model in models}
    assert emulator.requests[-1].query == "a=1&a=2"
    answer = run("request", "POST", "/v1/chat/completions", "--body", "-", input=CHAT).json
    lines = run("request", "POST", "/v1/chat/completions", "--body", CHAT, "--stream").out.splitlines()
    text = "".join(json.loads(line)["choices"][0]["delta"]["content"] for line in lines)
    assert text == answer["choices"][0]["message"]["content"]
    events = run("request", "POST", "/v1/chat/completions", "--body", CHAT, "--stream", "--json").json
    assert len(events) == len(lines)


def test_request_with_other_content(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n')
    file = run("files", "upload", "rows.jsonl", "--json").json["id"]
    path = f"/v1/files/{file}/content"
    assert run("request", "GET", path).out == '{"text": "a"}\n'
    assert run("request", "GET", path, "--json").json == '{"text": "a"}\n'
    assert run("request", "GET", path, "--output", "copy.jsonl").out == "copy.jsonl\n"
    assert (tmp_path / "copy.jsonl").read_text() == '{"text": "a"}\n'
    assert "copy.jsonl" in one_error(run("request", "GET", path, "--output", "copy.jsonl", code=2))


def test_request_refuses_urls_and_shows_errors(run: Run, emulator: Emulator) -> None:
    assert "path" in one_error(run("request", "GET", "https://example.com/v1/models", code=2))
    assert "NAME=VALUE" in one_error(run("request", "GET", "/v1/models", "--query", "a", code=2))
    assert emulator.requests == []
    assert "/v1/nothing" in one_error(run("request", "GET", "/v1/nothing", code=3))
    emulator.inject("500")
    one_error(run("request", "POST", "/v1/chat/completions", "--body", CHAT, code=3))
    emulator.inject("500")
    assert run("request", "POST", "/v1/chat/completions", "--body", CHAT, "--idempotent").json["choices"]


def test_a_deployment_with_an_adapter(run: Run, emulator: Emulator) -> None:
    assert "emulated-project" in run("projects", "list").out
    endpoint = run("projects", "endpoints", "create", "mine", "--json").json["id"]
    place = ("--endpoint", endpoint)
    model = "projects/emulated-project/models/base"
    creation = run("deployments", "create", "main", *place, "--model", model, "--max-replicas", 2, "--min-replicas", 1, "--wait")
    id = creation.out.strip()
    assert "Created deployment" in creation.err
    body = next(request.json for request in emulator.requests if request.path.endswith("/deployments"))
    assert body == {"name": "main", "model": model, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}
    assert (id in run("deployments", "list", *place).out, run("deployments", "get", id, *place, "--json").json["name"]) == (
        True,
        "emulated-project/mine/main",
    )
    where = (*place, "--deployment", id)
    adapter = run("adapters", "create", *where, "--model", "lora", "--json").json["id"]
    loaded = run("adapters", "wait", adapter, *where, "--poll-interval", 0.1, "--json").json
    assert loaded["per_cluster"][0]["state"] == "ADAPTER_LOAD_STATE_READY"
    assert "READY" in run("adapters", "list", *where).out
    etag = run("adapters", "update", adapter, *where, "--revision", "r2", "--etag", loaded["etag"], "--json").json["etag"]
    assert "changed" in one_error(run("adapters", "delete", adapter, *where, "--etag", loaded["etag"], code=3))
    assert run("adapters", "delete", adapter, *where, "--etag", etag).out == f"{adapter}\n"
    assert "nothing to change" in one_error(run("deployments", "update", id, *place, code=2))
    assert "nothing to change" in one_error(run("projects", "endpoints", "update", endpoint, "--etag", "x", code=2))
    assert run("deployments", "update", id, *place, "--min-replicas", 0, "--max-replicas", 0).out == f"{id}\n"
    run("deployments", "wait", id, *place, "--state", "STOPPED", "--poll-interval", 0.1)
    assert mine(run, endpoint) == (1, "VISIBILITY_INTERNAL")
    assert run("deployments", "delete", id, *place, "--json").json == {"id": id, "deleted": True}
    assert run("projects", "endpoints", "delete", endpoint).out == f"{endpoint}\n"
    one_error(run("projects", "endpoints", "get", endpoint, code=3))


def mine(run: Run, endpoint: str) -> tuple[int, str]:
    """Shares an endpoint; returns how many deployments it has, and its visibility."""
    run("projects", "endpoints", "update", endpoint, "--visibility", "VISIBILITY_INTERNAL")
    (item,) = run("projects", "endpoints", "list", "--json").json
    return len(item["deployments"]), item["visibility"]
