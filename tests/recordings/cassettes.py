"""Readable cassettes: bodies as parsed values instead of escaped text, without data of the machine.

This module is a serializer of vcrpy: it has `serialize` and `deserialize`.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

SERIALIZER = "cassette.yaml"
HOST = "https://emulator.invalid"
KEPT_HEADERS = ("content-type", "x-request-id", "retry-after", "accept")
"""The headers to record: those that the client reads."""


def serialize(cassette: dict[str, Any]) -> str:
    """Writes a cassette, with bodies as values."""
    interactions = [
        {
            "request": {**interaction["request"], "body": _value(interaction["request"]["body"])},
            "response": {**interaction["response"], "body": _value(interaction["response"]["body"]["string"])},
        }
        for interaction in cassette["interactions"]
    ]
    return yaml.safe_dump({**cassette, "interactions": interactions}, sort_keys=False, allow_unicode=True, width=120)


def deserialize(text: str) -> dict[str, Any]:
    """Reads a cassette, with bodies as text."""
    cassette: dict[str, Any] = yaml.safe_load(text)
    for interaction in cassette["interactions"]:
        interaction["request"]["body"] = _text(interaction["request"]["body"])
        interaction["response"]["body"] = {"string": _text(interaction["response"]["body"])}
    return cassette


def without_machine(request: Any) -> Any:
    """Returns a request as it is recorded and matched: without key, host and versions; None for that which ends a test's emulator."""
    if request.path == "/v1":
        return None
    request.uri = HOST + request.path + (f"?{request.uri.partition('?')[2]}" if "?" in request.uri else "")
    request.headers = {name: value for name, value in request.headers.items() if name.lower() in KEPT_HEADERS}
    return request


def without_noise(response: dict[str, Any]) -> dict[str, Any]:
    """Returns a response as it is recorded: without dates, lengths and the like."""
    remaining = {name: value for name, value in response["headers"].items() if name.lower() in KEPT_HEADERS}
    return {**response, "headers": remaining}


def _value(body: str | bytes | None) -> Any:
    """Returns the content of a body: JSON, the events of a stream, or text."""
    text = body.decode() if isinstance(body, bytes) else body
    if not text:
        return None
    if text.startswith("data: "):
        lines = [block.removeprefix("data: ") for block in text.split("\n\n") if block]
        return {"events": [line if line == "[DONE]" else json.loads(line) for line in lines]}
    try:
        return {"json": json.loads(text)}
    except ValueError:
        return {"text": text}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if "events" in value:
        lines = [event if event == "[DONE]" else _json(event) for event in value["events"]]
        return "".join(f"data: {line}\n\n" for line in lines)
    return value["text"] if "text" in value else _json(value["json"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
