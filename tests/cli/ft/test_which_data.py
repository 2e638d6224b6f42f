"""The guide to forms of data is complete and current, and each of its commands reads its example."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from together_adapters.cli.ft.prepare import parse_fixes, prepare
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.formats.registry import DATA_FORMATS
from together_adapters.finetune.forms import FORMS, Form

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / "tools" / "which_data.py"))


def test_the_guide_names_every_format() -> None:
    assert {form.schema for form in FORMS} == DATA_FORMATS.keys()


def test_the_guide_is_current() -> None:
    assert (ROOT / "docs" / "which-data.md").read_text("utf-8") == TOOL["page"](), "run python tools/which_data.py"


def loaded(path: Path, **arguments: Any) -> str:
    return write_jsonl(load(path, **arguments), path.with_name("python.jsonl"), overwrite=True).path.read_text("utf-8")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.schema}: {form.about}")
def test_the_command_of_a_form_reads_its_example(form: Form, run: Run, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in form.rows), "utf-8")
    program, *words = shlex.split(TOOL["command"](form))
    assert program == "together-adapters"
    run(*words, "--fail-on", "warning")
    rows = (tmp_path / "train.jsonl").read_text("utf-8")
    assert rows and rows == loaded(tmp_path / "data.jsonl", **form.arguments)


def test_the_help_names_all_fixes_that_are_off() -> None:
    (option,) = [option for option in prepare.params if option.name == "fixes"]
    flags = re.findall(r"`--fix (\S+)`", "".join(TOOL["fixes"]()))
    assert len(flags) > 15
    names = {flag.partition("=")[0] for flag in flags if not flag.endswith("=off")}
    assert all(f" {name}" in option.help for name in names)  # type: ignore[attr-defined]
    for flag in flags:
        parse_fixes([flag], "raise")
