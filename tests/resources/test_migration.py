"""The guides from the SDKs of `together` are correct: every name in it exists on both clients. `docs/test_pages.py` runs its examples."""

from __future__ import annotations

import json
import pydoc
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from together_adapters import AsyncTogether, Together, errors
from together_adapters.emulator import Emulator

FOLDER = Path(__file__).parents[2] / "docs" / "migration"
PAGE = (FOLDER / "together-1.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("kind", [Together, AsyncTogether])
def test_help_names_the_method(kind: Any) -> None:
    client = kind(api_key="k")
    assert pydoc.render_doc(client.audio.transcriptions.create, "%s").startswith("method create")
    assert client.files.upload.__qualname__.endswith(".upload")
    assert client.with_raw_response.models.list.__name__ == "list"


@pytest.mark.parametrize("flavour", [Together, AsyncTogether])
def test_every_method_that_it_names_is_there(flavour: Any) -> None:
    client = flavour(api_key="k")
    methods = set()
    for resource in ("files", "fine_tuning", "batches", "evaluation"):
        (row,) = re.findall(rf"^\| `{resource}\..*$", PAGE, re.MULTILINE)
        methods |= {f"{resource}.{word.rpartition('.')[2]}" for word in re.findall(r"`([\w.]+)`", row)} - {"evaluation.evals"}
    methods |= {"models.list", "models.upload"}
    assert len(methods) > 35
    for name in methods:
        resource, _, method = name.partition(".")
        assert callable(getattr(getattr(client, resource), method)), name
    for resource in (
        "completions",
        "embeddings",
        "rerank",
        "images",
        "audio",
        "videos",
        "code_interpreter",
        "endpoints",
        "evals",
    ):
        assert f"`{resource}" in PAGE
        assert getattr(client, resource)


def test_responses_are_written_as_in_sdk_3(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    answer = flavour.run(
        client.chat.completions.create(model="openai/gpt-oss-120b", messages=[{"role": "user", "content": "hi"}])
    )
    vectors = flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=["hi", "ho"]))
    model = flavour.run(client.models.list())[0]
    for response in (answer, vectors, model, answer.choices[0].message):
        assert json.loads(response.to_json()) == response.to_dict() == response.model_dump(exclude_unset=True)
        assert "\n  " in response.to_json()
        assert response.to_dict(exclude_unset=False) == response.model_dump()
    assert "warnings" not in answer.to_dict()  # which the service did not send


def test_every_error_that_it_names_is_there() -> None:
    section = PAGE.partition("## Errors")[2].partition("\n## ")[0]
    names = set(re.findall(r"`([A-Z]\w*(?:Error|Exception|Timeout))`|`(Timeout)`", section))
    assert len(names) > 12
    for name in {one or other for one, other in names}:
        assert issubclass(getattr(errors, name), errors.TogetherError), name


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_their_options(line: str) -> None:
    click = pytest.importorskip("click")
    from together_adapters.cli.app import cli

    command: Any = cli
    program, *words = shlex.split(line)
    assert program == "together-adapters"
    context = click.Context(command)
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        context = click.Context(command, parent=context)
    command.make_context(line, words, parent=context.parent, resilient_parsing=True)
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_what_is_out_of_scope_is_named() -> None:
    section = (FOLDER / "together-3.md").read_text("utf-8").partition("## What is missing")[2].lower()
    assert all(word in section for word in ("realtime", "clusters", "reinforcement learning"))
