"""`client.request`: any path, with the guarantees of every other method."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from together_adapters import APIConnectionError, APIError, APIResponseValidationError, APIStatusError, ConfigurationError
from together_adapters.emulator import Emulator, Fault
from together_adapters.errors import InternalServerError, NotFoundError

BODY = {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "Say hello to Ann."}]}


def test_json_with_query_and_raw_response(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    models = flavour.run(client.request("get", "/v1/models", query={"dedicated": True, "left_out": None}))
    assert len(models) > 10
    assert (emulator.requests[0].method, emulator.requests[0].query) == ("GET", "dedicated=true")
    raw = flavour.run(client.with_raw_response.request("GET", "/v1/models"))
    assert (raw.status_code, raw.parsed, raw.request_id is not None) == (200, models, True)


def test_it_equals_the_method_of_the_resource(flavour: Any) -> None:
    client = flavour.client()
    answer = flavour.run(client.request("POST", "/v1/chat/completions", body={**BODY, "seed": 1}))
    known = flavour.run(client.chat.completions.create(**BODY, seed=1))
    assert answer["choices"][0]["message"]["content"] == known.choices[0].message.content


def test_a_stream_of_events(flavour: Any) -> None:
    client = flavour.client()
    answer = flavour.run(client.request("POST", "/v1/chat/completions", body=BODY))
    events = list(flavour.iterate(flavour.run(client.request("POST", "/v1/chat/completions", body=BODY, stream=True))))
    text = "".join(event["choices"][0]["delta"]["content"] for event in events)
    assert (text, len(events) > 3) == (answer["choices"][0]["message"]["content"], True)


@pytest.mark.parametrize("events", [[{"step": 1}, {"step": 2}], [[1], "two", 3]])
def test_events_without_choices_are_complete_at_the_end(flavour: Any, stub_client: Any, event_stream: Any, events: Any) -> None:
    client, _ = stub_client(lambda body: event_stream(*events))
    assert list(flavour.iterate(flavour.run(client.request("GET", "/v1/events", stream=True)))) == events


def test_other_content_is_bytes_and_no_content_none(flavour: Any, stub_client: Any) -> None:
    contents = {"application/x-ndjson": b'{"a": 1}\n', "audio/wav": b"RIFF", "application/json": b""}
    for content_type, content in contents.items():
        client, service = stub_client(httpx.Response(200, content=content, headers={"content-type": content_type}))
        assert flavour.run(client.request("GET", "/v1/x")) == (content or None)
        assert "*/*" in service.requests[0].headers["accept"]
    client, _ = stub_client(httpx.Response(200, content=b"[1]", headers={"content-type": "application/problem+json; a=b"}))
    assert flavour.run(client.request("GET", "/v1/x")) == [1]


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ({"a": None, "b": [1]}, "application/json", b'{"a":null,"b":[1]}'),
        ([{"a": 1}], "application/json", b'[{"a":1}]'),
        ("text", "application/json", b'"text"'),
        (b"\x00raw", "application/octet-stream", b"\x00raw"),
    ],
)
def test_bodies(flavour: Any, stub_client: Any, body: Any, content_type: str, content: bytes) -> None:
    client, service = stub_client({})
    flavour.run(client.request("PUT", "/v1/x", body=body))
    (request,) = service.requests
    assert (request.content, request.headers["content-type"]) == (content, content_type)


def test_forms(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    client = flavour.client()
    speech = flavour.run(client.audio.speech.create(model="hexgrad/Kokoro-82M", input="Good morning.", voice="af_heart"))
    path = tmp_path / "speech.mp3"
    path.write_bytes(bytes(speech))
    fields = {"model": "openai/whisper-large-v3", "response_format": "verbose_json", "prompt": None}
    for file in (path, str(path), path.read_bytes(), ("a.mp3", path, "audio/mpeg"), (None, path.read_bytes(), "audio/mpeg")):
        emulator.inject(Fault("503", path="transcriptions", retry_after_ms=1))
        options = {"extra_body": {"temperature": 0}, "idempotent": True}
        result = flavour.run(client.request("POST", "/v1/audio/transcriptions", body=fields, files={"file": file}, **options))
        assert (result["text"], result["language"]) == ("Good morning.", "en")
    assert len(emulator.requests) == 11


def test_what_a_form_sends(flavour: Any, stub_client: Any, tmp_path: Path) -> None:
    client, service = stub_client({})
    body = {"a": [1, "b"], "c": True, "d": None, "e": 0.5}
    flavour.run(client.request("POST", "/v1/x", body=body, files={"f": ("name.bin", b"content", "text/x-a")}))
    (request,) = service.requests
    parts = request.content.decode().split(f"--{request.headers['content-type'].partition('boundary=')[2]}")[1:-1]
    named = [(re.findall(r'name="([^"]*)"', part), part.split("\r\n\r\n")[1].strip()) for part in parts]
    expected = [(["a"], "1"), (["a"], "b"), (["c"], "true"), (["e"], "0.5"), (["f", "name.bin"], "content")]
    assert sorted(named) == sorted(expected)
    assert "text/x-a" in parts[-1]
    for wrong in ({"body": [1]}, {"body": {"a": {}}}, {"body": {"a": b"b"}}, {"files": {"f": 7}}, {"files": {"f": io.BytesIO()}}):
        with pytest.raises(TypeError):
            flavour.run(client.request("POST", "/v1/x", **{"files": {"f": b""}, **wrong}))
    assert len(service.requests) == 1


def test_a_file_is_no_body_and_a_text_no_query(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    client = flavour.client()
    with path.open("rb") as file:
        for body in (path, file, io.StringIO("{}")):
            with pytest.raises(TypeError, match="pass its bytes"):
                flavour.run(client.request("POST", "/v1/chat/completions", body=body))
    with pytest.raises(TypeError, match="query must be a mapping"):
        flavour.run(client.request("GET", "/v1/models", query="dedicated=true"))
    assert emulator.requests == []


def test_options_of_the_call(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({})
    flavour.run(
        client.request(
            "POST", "/v1/x", body={"a": 1}, extra_body={"b": 2}, extra_headers={"Accept": "text/csv"}, extra_query={"q": 1}
        )
    )
    (request,) = service.requests
    assert (json.loads(request.content), request.headers["accept"], request.url.query) == ({"a": 1, "b": 2}, "text/csv", b"q=1")
    with pytest.raises(ValueError, match="extra_body"):
        flavour.run(client.request("POST", "/v1/x", body=[1], extra_body={"b": 2}))
    with pytest.raises(TypeError, match="colour"):
        flavour.run(client.request("POST", "/v1/x", colour=1))


@pytest.mark.parametrize(
    ("method", "options", "count"),
    [
        ("GET", {}, 3),
        ("DELETE", {}, 3),
        ("POST", {}, 1),
        ("PATCH", {}, 1),
        ("POST", {"idempotent": True}, 3),
        ("PUT", {"idempotent": False}, 1),
    ],
)
def test_only_what_is_safe_is_sent_again(flavour: Any, stub_client: Any, method: str, options: Any, count: int) -> None:
    client, service = stub_client(httpx.Response(500, json={"error": {"message": "broken"}}, headers={"retry-after-ms": "1"}))
    with pytest.raises(InternalServerError, match="broken") as caught:
        flavour.run(client.request(method, "/v1/x", **options))
    assert len(service.requests) == caught.value.attempts == count


def test_what_was_not_accepted_is_sent_again(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("429", retry_after_ms=1))
    assert flavour.run(flavour.client().request("POST", "/v1/chat/completions", body=BODY))["choices"]
    assert len(emulator.requests) == 2


def test_errors_are_those_of_the_library(flavour: Any, stub_client: Any) -> None:
    with pytest.raises(NotFoundError, match="/v1/nothing"):
        flavour.run(flavour.client().request("GET", "/v1/nothing"))
    client, _ = stub_client({"error": {"message": "out of order", "type": "server_error"}})
    with pytest.raises(APIError, match="out of order"):
        flavour.run(client.request("GET", "/v1/x"))
    client, _ = stub_client(httpx.Response(200, content=b"{", headers={"content-type": "application/json"}))
    with pytest.raises(APIResponseValidationError):
        flavour.run(client.request("GET", "/v1/x"))
    job = {"id": "job", "error": {"message": "of the job"}}
    client, _ = stub_client(job)
    assert flavour.run(client.request("GET", "/v1/x")) == job


def test_the_limit_of_time(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("slow", seconds=5))
    with pytest.raises(APIConnectionError, match="max_elapsed"):
        flavour.run(flavour.client(max_elapsed=0.2).request("GET", "/v1/models"))


@pytest.mark.parametrize(
    "path",
    ["https://example.com/v1", "//example.com/v1", "v1/models", "", "/v1/../../x", "/v1/%2e%2E/x", "/v1/a b", "/v1/a?b=1", "/v1/a#b", "/v1\\x", "/v1/\r\nx", 7, None],
)  # fmt: skip
def test_other_paths_are_refused_before_anything_is_sent(flavour: Any, stub_client: Any, path: Any) -> None:
    client, service = stub_client({})
    with pytest.raises(ValueError, match="path"):
        flavour.run(client.request("GET", path))
    with pytest.raises(ValueError, match="method"):
        flavour.run(client.request("GET /", "/v1/x"))
    assert service.requests == []


def test_secrets_are_not_shown(flavour: Any, stub_client: Any) -> None:
    secret = "hf_secret_of_a_user"
    with pytest.raises(ValueError, match="path") as refused:
        flavour.run(flavour.client().request("GET", f"https://user:{secret}@example.com/"))
    client, _ = stub_client(httpx.Response(400, json={"error": {"message": f"bad token {secret}"}}))
    with pytest.raises(APIStatusError) as caught:
        flavour.run(client.request("POST", "/v1/models", body={"hf_token": secret}))
    assert secret not in f"{refused.value}{caught.value!r}{caught.value}{vars(caught.value)}"


def test_the_key_goes_to_the_base_url_alone(flavour: Any, emulator: Emulator) -> None:
    flavour.run(flavour.client().request("GET", "/v1/models"))
    assert emulator.requests[0].headers["authorization"].startswith("Bearer ")
    with pytest.raises(ConfigurationError):
        flavour.client(base_url="https://user:pass@example.com")
