"""The reference and troubleshooting have every public name, and the tables say what the code says."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import runpy
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import Any

import langchain_together_adapters
import llama_index_together_adapters
import pytest

import together_adapters
from tests.docs.pages import ROOT, anchors
from together_adapters import AsyncTogether, Together
from together_adapters.transport.binding import Resource
from together_adapters.types.capabilities import MODELS

DOCS = ROOT / "docs"
NAMES = {
    match
    for page in (DOCS / "reference").glob("*.md")
    for match in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
}


def packages() -> list[ModuleType]:
    """The packages, without those that are not public: of them, none says what it exports."""
    roots = (together_adapters, langchain_together_adapters, llama_index_together_adapters)
    names = [root.__name__ for root in roots]
    for root in roots:
        names += [module.name for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}.") if module.ispkg]
    return [module for module in map(importlib.import_module, names) if hasattr(module, "__all__")]


def test_every_exported_name_is_in_the_reference() -> None:
    """Under one of its names: `Control` has two, and errors have those of the `together` 1.x SDK."""
    exported = {f"{package.__name__}.{name}": getattr(package, name) for package in packages() for name in package.__all__}
    newer = {"langchain_together_adapters.TogetherDecisions"}
    names = NAMES if newer & exported.keys() else NAMES - newer  # from langchain-core 1.8
    documented = {id(pkgutil.resolve_name(re.sub(r"\.(\w+)$", r":\1", name))) for name in names if ".types." not in name}
    assert len(exported) > 100
    assert {name for name, value in exported.items() if id(value) not in documented} == set()


def resources(resource: Any) -> set[type]:
    """The classes of the resources of a client, and of those below them."""
    found: set[type] = set()
    for name in dir(type(resource)):
        value = None if name.startswith("_") or name == "with_raw_response" else getattr(resource, name)
        if isinstance(value, Resource):
            found |= {type(value)} | resources(value)
    return found


def test_every_resource_is_in_the_reference() -> None:
    found = {f"{kind.__module__}.{kind.__name__}" for kind in resources(Together(api_key="k"))}
    groups = {"together_adapters.resources.chat.Chat", "together_adapters.resources.audio.Audio"}
    assert len(found) > 20
    assert found - NAMES == groups


def errors() -> set[type[BaseException]]:
    """The errors and warnings that users meet."""
    modules = [
        "together_adapters.errors", "together_adapters.finetune.errors", "together_adapters.testing.matching",
        "langchain_together_adapters.errors", "llama_index_together_adapters.refusals",
    ]  # fmt: skip
    return {
        value
        for module in map(importlib.import_module, modules)
        for name, value in vars(module).items()
        if isclass(value) and issubclass(value, Exception) and value.__module__ == module.__name__ and name == value.__name__
    }


def test_every_error_has_an_anchor_in_troubleshooting() -> None:
    names = {error.__name__.lower() for error in errors()}
    assert len(names) > 35
    assert names - anchors(DOCS / "troubleshooting.md") == set()


def test_every_error_says_what_to_do() -> None:
    sections = re.split(
        r"^### ", (DOCS / "troubleshooting.md").read_text("utf-8").partition("\n## Other symptoms")[0], flags=re.M
    )
    assert all(section.count("**Cause.**") == section.count("**Do.**") == 1 for section in sections[1:])


SDK_PYTHON = os.environ.get("TOGETHER_SDK_PYTHON_3", "")
TABLES = runpy.run_path(str(ROOT / "tools" / "site" / "tables.py"))
METHODS = json.loads((DOCS / "migration" / "sdk-3-methods.json").read_text("utf-8"))


def test_the_table_of_models_has_every_model() -> None:
    table = TABLES["model_tables"]()
    rows = re.findall(r"^\| `([^`]+)`.*\|$", table, re.MULTILINE)
    assert sorted(rows) == sorted(MODELS)
    (row,) = re.findall(r"^\| `openai/gpt-oss-120b` .*$", table, re.MULTILINE)
    assert re.fullmatch(
        r"\| `openai/gpt-oss-120b` \| serverless, listed \d{4}-\d\d-\d\d \| 131,072 \| yes \| yes \| - \| yes \| 0.15\s/\s0.6 \| .* \|",
        row,
    )


@pytest.mark.parametrize("page", TABLES["PAGES"], ids=lambda page: page.stem)
def test_pages_have_the_tables_of_today(page: Path) -> None:
    assert page.read_text("utf-8") == TABLES["filled"](page), "run python tools/site/tables.py"


def test_pages_that_only_the_site_has_say_so() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        text = page.read_text("utf-8")
        assert ("\n::: " in text) == ("`make docs` builds" in text), page


@pytest.mark.parametrize("kind", [Together, AsyncTogether])
def test_methods_that_the_table_of_the_sdk_names_are_here(kind: Any) -> None:
    client = kind(api_key="k")
    here = [entry["here"] for entry in METHODS["methods"].values() if "here" in entry]
    assert len(here) > 60
    for name in here:
        value = client
        for part in name.split("."):
            value = getattr(value, part)
        assert callable(value), name


def test_what_is_here_under_the_same_name_is_not_called_missing() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "sdk_methods.py"))
    here = tool["methods_here"](Together(api_key="k"))
    missing = {name for name, entry in METHODS["methods"].items() if "here" not in entry}
    assert missing & here == {"models.list"}  # another list there


@pytest.mark.skipif(
    not Path(os.environ.get("TOGETHER_SDK_PYTHON_3", "")).is_file(), reason="TOGETHER_SDK_PYTHON_3 names no Python"
)
def test_the_table_has_every_method_of_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "sdk_methods.py"))
    written = tmp_path / "methods.json"
    tool["main"].__globals__["FILE"] = written
    monkeypatch.setattr("sys.argv", ["sdk_methods.py", SDK_PYTHON])
    tool["main"]()
    assert json.loads(written.read_text("utf-8")) == METHODS, "run python tools/sdk_methods.py"
