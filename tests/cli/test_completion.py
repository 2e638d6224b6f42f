"""`completion`: a script for each shell, and its completions."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.cli.conftest import Run


def completions(run: Run, line: str) -> list[str]:
    words = line.split(" ")
    result = run(COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _TOGETHER_ADAPTERS_COMPLETE="bash_complete")
    return [entry.partition(",")[2] for entry in result.out.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_valid(run: Run, shell: str) -> None:
    script = run("completion", shell).out
    assert f"_TOGETHER_ADAPTERS_COMPLETE={shell}_complete" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, timeout=30, check=True)


def test_script_as_json(run: Run) -> None:
    assert run("completion", "bash", "--json").json["shell"] == "bash"


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("together-adapters fi", {"files", "fine-tuning"}),
        ("together-adapters chat.", {"chat.completions", "chat.interactive"}),
        ("together-adapters files ret", {"retrieve", "retrieve-content"}),
        ("together-adapters endpoints create --gpu h", {"h100", "h200"}),
        ("together-adapters completions --max", {"--max-tokens"}),
    ],
)
def test_completions(run: Run, line: str, some: set[str]) -> None:
    assert some <= set(completions(run, line))
