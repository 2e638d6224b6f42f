"""`models`: the list, and uploads."""

from __future__ import annotations

import json

from tests.cli.conftest import MODEL, Run, one_error
from together_adapters.emulator import Emulator


def test_models(run: Run, emulator: Emulator) -> None:
    table = run("models", "list").out.splitlines()
    assert table[0].split()[:2] == ["ID", "Name"]
    assert any(line.startswith(MODEL) for line in table)
    all_models, dedicated_models = (
        run("models", "list", "--json").json,
        run("models", "list", "--type", "dedicated", "--json").json,
    )
    assert MODEL in {model["id"] for model in all_models}
    assert len(dedicated_models) <= len(all_models)
    token = "hf_secrettoken123456"
    options = ("models", "upload", "--model-name", "mine", "--model-source", "me/model", "--hf-token", token)
    started = run(*options)
    assert json.loads(started.out)["job_id"]
    assert run(*options, "--json").json["job_id"]
    emulator.inject("401")
    assert token not in one_error(run(*options, code=3))
