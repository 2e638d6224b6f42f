"""Whom a key belongs to, what was used, and the settings of projects and headers from the environment."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from together_adapters import APIResponseValidationError, AsyncTogether, ConfigurationError, Together
from together_adapters.emulator import Emulator
from together_adapters.emulator.store.cost_ledger import CostLedger
from together_adapters.errors import BadRequestError, NotFoundError, PermissionDeniedError
from together_adapters.types.account.costs import CostReport

MODEL = "openai/gpt-oss-120b"
SECRET = "gateway-secret-0123456789"


def test_whoami(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    identity = flavour.run(client.whoami())
    assert (identity.type, identity.project.slug, identity.user) == ("project_api_key", "emulated-project", None)
    assert emulator.requests[0].path == "/v3/whoami"
    assert flavour.run(client.with_raw_response.whoami()).parsed == identity


def test_a_key_of_an_organization(flavour: Any, stub_client: Any) -> None:
    body = {"type": "org_api_key", "api_key": {"id": "k"}, "organization": {"id": "o", "name": "O"}, "new": 1}
    client, _ = stub_client(body)
    identity = flavour.run(client.whoami())
    assert (identity.project, identity.organization.name, identity.new) == (None, "O", 1)


def test_costs_are_what_was_used(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    assert flavour.run(client.usage.costs()).total == 0
    answers = [
        flavour.run(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}]))
        for text in ("Hello!", "Why?")
    ]
    report = flavour.run(client.usage.costs())
    (window,) = report.data
    (item,) = window.line_items
    tokens = sum(answer.usage.total_tokens for answer in answers)
    assert (item.quantity, item.pricing_dimensions) == (str(tokens), {"model": MODEL})
    assert report.total == Decimal(str(emulator.bill.total().cost)) > 0
    assert float(Decimal(item.unit_price) * tokens) == pytest.approx(float(report.total))
    assert (report.next_cursor, report.currency) == (None, "USD")
    assert flavour.run(client.usage.costs(month="2020-01", granularity="hour")).data == []


def windows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"date": f"2026-10-{n + 1:02}", "line_items": [{"cost": "0.1"}]} for n in range(start, start + count)]


def test_all_pages_are_read(flavour: Any, stub_client: Any) -> None:
    pages = [
        {"data": windows(2), "next_cursor": "b"},
        {"data": windows(2, 2), "next_cursor": "c"},
        {"data": windows(1, 4), "next_cursor": ""},
    ]
    client, service = stub_client(lambda body: pages[len(service.requests) - 1])
    report = flavour.run(client.usage.costs(month="2026-10"))
    assert [window.date for window in report.data] == [f"2026-10-{n + 1:02}" for n in range(5)]
    assert (report.total, report.next_cursor) == (Decimal("0.5"), None)
    assert [dict(request.url.params) for request in service.requests] == [
        {"month": "2026-10"}, {"month": "2026-10", "after": "b"}, {"month": "2026-10", "after": "c"},
    ]  # fmt: skip


def test_a_limit_ends_the_list(flavour: Any, stub_client: Any) -> None:
    pages = [{"data": windows(2), "next_cursor": "b"}, {"data": windows(1, 2), "next_cursor": "c"}]
    client, service = stub_client(lambda body: pages[len(service.requests) - 1])
    report = flavour.run(client.usage.costs(limit=3))
    assert (len(report.data), report.next_cursor) == (3, "c")
    assert [request.url.params["limit"] for request in service.requests] == ["3", "1"]
    with pytest.raises(ValueError, match="limit"):
        flavour.run(client.usage.costs(limit=0))


def test_a_list_that_does_not_end_is_an_error(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"data": windows(1), "next_cursor": "again"})
    with pytest.raises(APIResponseValidationError, match="again"):
        flavour.run(client.usage.costs())
    assert len(service.requests) == 2


def test_the_service_refuses_other_questions(flavour: Any) -> None:
    usage = flavour.client().usage
    for error, options in ((BadRequestError, {"month": "October"}), (PermissionDeniedError, {"organization_id": "another"})):
        with pytest.raises(error):
            flavour.run(usage.costs(**options))


def test_windows_of_the_emulator() -> None:
    now = [datetime(2026, 11, 1, 22, 30, tzinfo=UTC)]
    ledger = CostLedger(clock=lambda: now[0])
    ledger.add(MODEL, 10, 4_000_000)
    now[0] = datetime(2026, 11, 1, 23, 1, tzinfo=UTC)
    ledger.add(MODEL, 5, 3_000_000)
    assert [window["start_time"] for window in ledger.windows("2026-11", "hour")] == [
        "2026-11-01T22:00:00Z",
        "2026-11-01T23:00:00Z",
    ]
    (day,) = ledger.windows("2026-11", "day")
    (item,) = day["line_items"]
    assert (day["end_time"], item["quantity"], Decimal(item["cost"])) == ("2026-11-02T00:00:00Z", "15", Decimal("0.000007"))


def test_a_total_that_is_no_number() -> None:
    report = CostReport.model_validate({"data": [{"line_items": [{"cost": "much"}]}]})
    with pytest.raises(ValueError, match="much"):
        _ = report.total


def test_the_job_of_an_upload(flavour: Any) -> None:
    client = flavour.client()
    upload = flavour.run(client.models.upload(model_name="mine", model_source="me/mine"))
    status = flavour.run(client.models.upload_status(upload.job_id))
    assert (status.job_id, status.args["modelName"]) == (upload.job_id, "mine")
    assert status.status in ("Queued", "Running", "Complete")
    with pytest.raises(NotFoundError):
        flavour.run(client.models.upload_status("job-unknown"))
    with pytest.raises(ValueError, match="job_id"):
        flavour.run(client.models.upload_status(""))


def test_models_of_evaluations(flavour: Any, emulator: Emulator) -> None:
    models = flavour.run(flavour.client().evaluation.models("serverless"))
    assert MODEL in models.model_list
    assert (emulator.requests[0].path, emulator.requests[0].query) == ("/v1/evaluation/model-list", "model_source=serverless")


def test_headers_of_the_environment(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", f"X-Team: blue\n\nX-Gateway-Token:  {SECRET}: \r\nX-Both: environment")
    client = flavour.client(default_headers={"x-both": "argument"})
    flavour.run(client.with_options(timeout=5).models.list())
    headers = emulator.requests[0].headers
    assert (headers["x-team"], headers["x-gateway-token"], headers["x-both"]) == ("blue", f"{SECRET}:", "argument")
    assert SECRET not in f"{client!r}{client.config!r}{pickle.dumps(client)!r}"
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", "X-Team: red")
    assert pickle.loads(pickle.dumps(client)).config.environment_headers == {"X-Team": "red"}
    assert copy.copy(client) is client


def test_headers_of_the_environment_go_where_its_key_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", "X-Team: blue")
    client = Together(api_key="k")
    assert client.config.environment_headers
    assert client.with_options(base_url="https://api.other.example").config.environment_headers == {}
    assert Together(api_key="k", base_url="https://api.other.example").config.environment_headers == {}
    monkeypatch.setenv("TOGETHER_BASE_URL", "https://gateway.example/v1")
    assert Together(api_key="k").config.environment_headers


@pytest.mark.parametrize("kind", [Together, AsyncTogether])
@pytest.mark.parametrize(
    "line",
    [
        f"no colon {SECRET}", f": {SECRET}", f"a b: {SECRET}", f"X-A: {SECRET}\x01", f"X-A: {SECRET}é", f"Content-Length: {SECRET}",
        f"transfer-encoding: {SECRET}", *(f"X-A: {SECRET}{end}X-B: 1" for end in ("\r", "\x0b", "\x0c", "\x1e", "\x85", "\u2028")),
    ],
)  # fmt: skip
def test_invalid_headers_of_the_environment(monkeypatch: pytest.MonkeyPatch, kind: Any, line: str) -> None:
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", f"X-Good: 1\n{line}")
    with pytest.raises(ConfigurationError, match="TOGETHER_CUSTOM_HEADERS") as caught:
        kind(api_key="k")
    assert SECRET not in str(caught.value)


def test_a_key_that_is_an_argument_precedes_the_environment(
    flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", "Authorization: Bearer of-the-environment\nUser-Agent: mine")
    monkeypatch.setenv("TOGETHER_API_KEY", "also-of-the-environment")
    clients = [
        flavour.client(api_key=None),
        flavour.client(api_key="of-the-argument"),
        flavour.client(api_key="x", default_headers={"authorization": "Bearer of-the-headers"}),
    ]
    for client in (*clients, clients[0].with_options(api_key="of-the-copy")):
        flavour.run(client.whoami())
    keys = [request.headers["authorization"] for request in emulator.requests]
    assert keys == ["Bearer of-the-environment", "Bearer of-the-argument", "Bearer of-the-headers", "Bearer of-the-copy"]
    assert {request.headers["user-agent"] for request in emulator.requests} == {"mine"}


def test_a_content_type_for_all_requests_leaves_forms_theirs(flavour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_CUSTOM_HEADERS", "Content-Type: text/plain")
    client = flavour.client()
    recording = flavour.run(client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Hi.", voice="af_heart"))
    assert flavour.run(client.audio.transcriptions.create(file=("a.wav", bytes(recording)))).text


def test_the_project_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Together(api_key="k").config.memory.project_id is None
    monkeypatch.setenv("TOGETHER_PROJECT_ID", " proj-environment ")
    client = Together(api_key="k")
    assert client.config.memory.project_id == "proj-environment"
    other = client.with_options(project_id="proj-2")
    assert (other.config.memory.project_id, client.config.memory.project_id) == ("proj-2", "proj-environment")
    assert pickle.loads(pickle.dumps(other)).config.memory.project_id == "proj-2"
    assert other.with_options(timeout=1).config.memory.project_id == "proj-2"
    for invalid in ("", " ", 7):
        with pytest.raises(ConfigurationError, match="project_id"):
            Together(api_key="k", project_id=invalid)  # type: ignore[arg-type]
