"""Writes `docs/migration/sdk-3-methods.json`: every method of the client of `together` 3, and what it is here.

`python tools/sdk_methods.py .venv/foreign/together-3/bin/python` asks a Python that has the SDK; `make test` installs one there. What has
the same name here is the same; what has another, or is missing, is listed below. A test compares the file with our client.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from together_adapters import Together
from together_adapters.transport.binding import Resource

FILE = Path(__file__).parent.parent / "docs" / "migration" / "sdk-3-methods.json"

LIST_METHODS = """
import inspect, json, together
from together._resource import SyncAPIResource

def methods(resource, path):
    for name in dir(type(resource)):
        if name.startswith("_") or name in ("with_raw_response", "with_streaming_response"):
            continue
        value = getattr(resource, name)
        if isinstance(value, SyncAPIResource):
            yield from methods(value, [*path, name])
        elif inspect.isfunction(getattr(type(resource), name)):
            yield ".".join([*path, name])

print(json.dumps([together.__version__, sorted(methods(together.Together(api_key="none"), []))]))
"""

OTHER_NAMES = {
    "beta.realtime.connect": ("audio.transcriptions.realtime", ""),
    "copy": ("with_options", ""),
    "delete": ("request", '`client.request("DELETE", path)`'),
    "endpoints.create": ("projects.endpoints.create", "`endpoints.create` is the classic form"),
    "endpoints.delete": ("projects.endpoints.delete", "likewise"),
    "endpoints.list": ("projects.endpoints.list", "likewise"),
    "endpoints.retrieve": ("projects.endpoints.retrieve", "likewise"),
    "endpoints.update": ("projects.endpoints.update", "likewise"),
    "fine_tuning.content": ("fine_tuning.download", "writes the archive to a file, and resumes"),
    "get": ("request", '`client.request("GET", path)`: parsed JSON; `stream=True` for events'),
    "models.remote_uploads.create": ("models.upload", "`/v1/models`; the SDK's is of a project"),
    "models.remote_uploads.retrieve": ("models.upload_status", "for jobs of `models.upload`"),
    "organization.usage.costs.list": ("usage.costs", "all pages in one report with its `total`"),
    "patch": ("request", '`client.request("PATCH", path, body=...)`'),
    "post": ("request", '`client.request("POST", path, body=...)`'),
    "put": ("request", '`client.request("PUT", path, body=...)`'),
}
"""Methods that have another name here, with a remark."""

_REACH = "`client.request` reaches it"
MISSING = {
    "agent_headers": "the SDK's own machinery",
    "get_api_list": "the SDK's own machinery",
    "is_closed": "",
    "platform_headers": "the SDK's own machinery",
    "beta.jig": "container deployments: out of scope",
    "beta.realtime.transcription": "opens a lost connection again; here a lost connection is an error",
    "clusters": "out of scope",
    "endpoints": _REACH,
    "models.list": f"custom models of a project: {_REACH}; `models.list` here is the catalogue of the service",
    "models": f"custom models of a project: {_REACH}",
    "post_training": "reinforcement learning: out of scope",
}
"""Methods, and groups of them, that are not here, and why."""


def methods_here(resource: Any, path: tuple[str, ...] = ()) -> set[str]:
    """The methods of our client, by their path."""
    names: set[str] = set()
    for name in dir(type(resource)):
        if name.startswith("_") or name == "with_raw_response":
            continue
        value = getattr(resource, name)
        if isinstance(value, Resource):
            names |= methods_here(value, (*path, name))
        elif callable(value):
            names.add(".".join((*path, name)))
    return names


def entry(name: str, here: set[str]) -> dict[str, str]:
    """What a method of the SDK is here."""
    if name in OTHER_NAMES:
        method, note = OTHER_NAMES[name]
    elif name in here and name not in MISSING:
        method, note = name, ""
    else:
        groups = [".".join(name.split(".")[:count]) for count in range(name.count(".") + 1, 0, -1)]
        reasons = [MISSING[group] for group in groups if group in MISSING]
        if not reasons:
            raise SystemExit(f"{name} is not here, and MISSING does not say why")
        method, note = "", reasons[0]
    return {"here": method, "note": note} if method else {"note": note}


def main() -> None:
    """Writes the file."""
    python = sys.argv[1] if len(sys.argv) > 1 else ".venv/foreign/together-3/bin/python"
    output = subprocess.run([python, "-c", LIST_METHODS], capture_output=True, text=True, check=True).stdout
    version, names = json.loads(output)
    here = methods_here(Together(api_key="none"))
    methods = {name: {key: text for key, text in entry(name, here).items() if text} for name in names}
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in methods.items())
    FILE.write_text(f'{{\n  "version": {json.dumps(version)},\n  "methods": {{\n{lines}\n  }}\n}}\n', "utf-8")


if __name__ == "__main__":
    main()
