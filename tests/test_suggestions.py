"""What somebody may have meant: parameters, arguments of constructors, resources, subcommands."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from functools import partial
from typing import Any, cast

import langchain_together_adapters.finetuning as langchain_finetuning
import llama_index_together_adapters.finetuning as llama_index_finetuning
import pytest

from tests.conftest import Flavour
from together_adapters import AsyncTogether, Control, Together
from together_adapters.bulk import BatchAPI
from together_adapters.emulator import Behaviour, Emulator, Engine, Fault, Limits, serve
from together_adapters.finetune import Fixes, RagPrompt, astart, start
from together_adapters.suggestions import PARAMETERS
from together_adapters.types.chat import ChatParams


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_completion_tokens", "max_tokens"),
        ("temprature", "temperature"),
        ("stop_sequences", "stop"),
        ("respons_format", "response_format"),
    ],
)
def test_parameters(name: str, hint: str, flavour: Flavour) -> None:
    with pytest.raises(TypeError, match=rf"^unknown parameter '{name}' \(do you mean '{hint}'\?\); fields .* extra_body="):
        flavour.run(flavour.client().chat.completions.create(model="m", messages=[], **{name: 1}))


def test_a_parameter_that_resembles_none(flavour: Flavour) -> None:
    with pytest.raises(TypeError, match=r"^unknown parameter 'xyz'; fields"):
        flavour.run(flavour.client().chat.completions.create(model="m", messages=[], xyz=1))


def test_parameters_of_fine_tuning(flavour: Flavour) -> None:
    """`model` is a parameter of the function, the others are swallowed by `**`."""
    start_job = astart if flavour.is_async else start
    for call in (
        partial(start_job, flavour.client(), "none.jsonl"),
        partial(flavour.client().fine_tuning.create, training_file="f"),
    ):
        for name, hint in (("modle", "model"), ("lerning_rate", "learning_rate")):
            with pytest.raises(TypeError, match=rf"unknown parameter '{name}' \(do you mean '{hint}'\?\)"):
                flavour.run(call(**{name: "x"}))


def test_every_synonym_is_of_a_parameter() -> None:
    names = ChatParams.__required_keys__ | ChatParams.__optional_keys__
    assert set(PARAMETERS.values()) <= names
    assert not PARAMETERS.keys() & names


@pytest.mark.parametrize(
    "create",
    [
        *(Together, AsyncTogether, Control, BatchAPI, RagPrompt, Fixes, Behaviour, Emulator, Engine, Fault, Limits, serve),
        *(langchain_finetuning.FinetuneRecorder, llama_index_finetuning.FinetuneRecorder),
    ],
    ids=lambda create: f"{create.__module__}.{create.__name__}",
)
def test_arguments_of_constructors(create: Any) -> None:
    """What users create suggests each of its own arguments; Python does not before 3.13."""
    for name in inspect.signature(create).parameters:
        if len(name) > 4:
            hint = rf"^{create.__name__}\(\) got an unexpected keyword argument '{name}x' \(do you mean '{name}'\?\)$"
            with pytest.raises(TypeError, match=hint):
                create(**{f"{name}x": 1})


def test_an_argument_as_others_name_it_and_other_errors_of_constructors() -> None:
    with pytest.raises(TypeError, match=r"'request_timeout' \(do you mean 'timeout'\?\), 'xyz'$"):
        Together(request_timeout=3, xyz=1)  # type: ignore[call-arg]
    for name, hint in (("api_base", "base_url"), ("url", "base_url"), ("token", "api_key"), ("headers", "default_headers")):
        with pytest.raises(TypeError, match=rf"'{name}' \(do you mean '{hint}'\?\)$"):
            AsyncTogether(**cast("Any", {name: "x"}))
    with pytest.raises(TypeError, match=r"^with_options\(\) .* 'api_base' \(do you mean 'base_url'\?\)$"):
        Together(api_key="k").with_options(api_base="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional argument"):
        Control(3)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("create", "name", "hint"),
    [
        (serve, "strict", "behaviour=Behaviour(strict=...)"), (serve, "unscripted", "behaviour=Behaviour(unscripted=...)"),
        (serve, "concurrent", "limits=Limits(concurrent=...)"), (serve, "any_modle", "'any_model'"),
    ],
)  # fmt: skip
def test_a_field_of_what_an_argument_takes(create: Any, name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=rf"'{name}' {re.escape(f'(do you mean {hint}?)')}$"):
        create(**{name: 1})


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("embedding", r" \(do you mean 'embeddings'\?\)"),
        ("chat.completion", r" \(do you mean 'completions'\?\)"),
        ("chat.completions.crate", r" \(do you mean 'create'\?\)"),
        ("responses", ": Together has no Responses API; use client.chat.completions.create"),
        ("beta", ": client.chat.completions.create takes a class"),
        ("nothing_like_it", ""),
        ("_repr_html_", ""),
    ],
)
def test_resources(path: str, hint: str, flavour: Flavour) -> None:
    value = flavour.client()
    *parents, name = path.split(".")
    for parent in parents:
        value = getattr(value, parent)
    with pytest.raises(
        AttributeError, match=rf"^'\w+' object has no attribute '{name}'{hint}$" if hint.endswith(")") or not hint else hint
    ):
        getattr(value, name)
    assert not hasattr(value, name)


def test_a_traceback_suggests_once() -> None:
    code = "from together_adapters import Together; Together(api_key='k').embedding"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.count("embeddings") == 1


def test_subcommands() -> None:
    command = [sys.executable, "-m", "together_adapters"]
    for arguments, hint in ((["modls"], "models"), (["ft", "prepar"], "prepare")):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert f"error: no such command '{arguments[-1]}' (do you mean '{hint}'?)" in done.stderr
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("together-adapters ")
    assert not hasattr(Together, "responses")
