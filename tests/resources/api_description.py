"""Validates requests against the vendor's OpenAPI description, whose file `TOGETHER_OPENAPI` names; and the known deviations.

Path, query, content type and body are validated; a body may not have unknown fields.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import Any

import pytest

DESCRIPTION = os.environ.get("TOGETHER_OPENAPI")
DEVIATIONS: dict[tuple[str, str], str] = {
    ("/images/generations", "aspect_ratio"): "taken by some models",
    ("/images/generations", "guidance"): "taken by some models",
    ("/images/generations", "prompt_upsampling"): "taken by some models",
    ("/images/generations", "image_base64"): "the 1.x SDK has it",
    ("/audio/speech", "extra_params"): "a newer field",
    ("/audio/speech", "alignment"): "a newer field, for time stamps of words",
    ("/chat/completions", "stream_options"): "seen in recordings",
    ("/chat/completions", "top_logprobs"): "newer models want `logprobs: true` and this",
    ("/chat/completions", "logprobs"): "described as a number; newer models want true",
    ("/chat/completions", "tool_choice"): "described as a whole tool call; recordings have a function's name alone",
    ("/completions", "stream_options"): "seen in recordings",
    ("/completions", "top_logprobs"): "newer models want `logprobs: true` and this",
    ("/completions", "response_format"): "taken, though not described",
    ("/completions", "tools"): "forwarded for users of the 1.x SDK",
    ("/completions", "tool_choice"): "forwarded for users of the 1.x SDK",
    ("/fine-tunes", "wandb_key"): "what both SDKs send; described as wandb_api_key",
    ("/fine-tunes", "gradient_accumulation_steps"): "a newer field",
    ("/fine-tunes", "early_stopping_enabled"): "a newer field",
    ("/fine-tunes", "early_stopping_patience"): "a newer field",
    ("/fine-tunes", "early_stopping_min_delta"): "a newer field",
    ("/fine-tunes", "early_stopping_warmup_evals"): "a newer field",
    ("/fine-tunes/{id}/metrics", "resolution"): "a newer field",
}
"""Fields that the service takes but the description does not have, or has otherwise, with the reason. They are not compared."""
IN_QUERY = {
    "/fine-tunes/{id}/metrics": "described as the body of a GET; the vendor's SDK puts it into the query",
}
"""Paths whose fields are described in another part of the request."""
NOT_IN_DESCRIPTION: dict[str, str] = {
    r"POST /files(/multipart/(initiate|complete|abort)|/[^/]+/preprocess)?": "uploads as the SDKs make them; only /files/upload is described",
    r"PUT /uploads/.+": "storage, at an address that the service gives",
    r"GET /fine-tunes/[^/]+/download-tokenized-dataset": "newer than the description",
    r"POST /fine-tunes/preview": "newer than the description",
    r"GET /autoscale/models": "the 1.x SDK asks for dedicated models there",
}
"""Requests that are missing in the description."""
OPTIONAL = {"/fine-tunes": {"model"}}
"""Fields that are described as required but are not: a job may continue from a checkpoint instead of a model."""


@cache
def description() -> dict[str, Any]:
    if not DESCRIPTION:
        pytest.skip("TOGETHER_OPENAPI names no description of the API")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    with open(DESCRIPTION) as file:
        return _opened(yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # type: ignore[no-any-return]


def _opened(value: Any) -> Any:
    """Returns an OpenAPI schema as JSON Schema: null where it is allowed, and `anyOf` for `oneOf`, of which a body often fits two.

    A `type` next to alternatives is dropped: it adds nothing, and contradicts those of `train_on_inputs`.
    """
    if isinstance(value, dict):
        remaining = {name: item for name, item in value.items() if name != "type" or "oneOf" not in value}
        schema = {"anyOf" if name == "oneOf" else name: _opened(item) for name, item in remaining.items()}
        return {"anyOf": [{"type": "null"}, schema]} if schema.get("nullable") is True else schema
    return [_opened(item) for item in value] if isinstance(value, list) else value


def operation(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """Returns the path template of an operation, and its description."""
    for template, methods in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods:
            return template, methods[method.lower()]
    raise AssertionError(f"{method} {path} is not described")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a body, resolved one level, without additional properties."""
    if "$ref" in schema:
        schema = description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**schema, "additionalProperties": False, "components": description()["components"]}


def form_fields(request: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a form as JSON for the description."""
    boundary = re.search(r"boundary=(\S+)", request.headers["content-type"])
    assert boundary
    fields: dict[str, Any] = {}
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        result = re.search(rb'name="([^"]*)"', head)
        assert result
        name, text = result[1].decode(), content.removesuffix(b"\r\n").decode()
        if name.endswith("[]"):
            fields.setdefault(name[:-2], []).append(text)
        else:
            typed = schema["properties"].get(name, {}).get("type")
            fields[name] = json.loads(text) if typed in ("number", "integer", "boolean") else text
    return fields


def validate(request: Any) -> None:
    """Validates one request against the description.

    Raises:
        AssertionError: The path, a query parameter or the content type is not described.
        jsonschema.ValidationError: The body is not as described.
    """
    path = re.sub("^/v[12]", "", request.path)
    if any(re.fullmatch(pattern, f"{request.method} {path}") for pattern in NOT_IN_DESCRIPTION):
        return
    template, spec = operation(request.method, path)
    assert request.path.startswith("/v2/") is (template.startswith("/videos"))
    known_names = {parameter["name"] for parameter in spec.get("parameters", ()) if parameter["in"] == "query"}
    if template in IN_QUERY:
        ((_, content),) = spec["requestBody"]["content"].items()
        known_names |= closed(content["schema"])["properties"].keys()
    query_names = {pair.partition("=")[0] for pair in request.query.split("&") if pair}
    assert {name for name in query_names if (template, name) not in DEVIATIONS} <= known_names
    if "requestBody" not in spec or template in IN_QUERY:
        assert request.body == b""
        return
    ((kind, content),) = spec["requestBody"]["content"].items()
    assert request.headers["content-type"].startswith(kind)
    schema = closed(content["schema"])
    body = request.json if kind == "application/json" else form_fields(request, schema)
    body = {field: value for field, value in body.items() if (template, field) not in DEVIATIONS}
    if isinstance(body.get("file"), str):
        schema["properties"] = {**schema["properties"], "file": {"type": "string"}}
    schema["required"] = [name for name in schema.get("required", ()) if name not in OPTIONAL.get(template, ())]

    import jsonschema

    jsonschema.Draft202012Validator(schema).validate(body)
